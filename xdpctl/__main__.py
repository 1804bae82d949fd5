# SPDX-License-Identifier: GPL-2.0-or-later
"""`python -m xdpctl`, the same as the `xdpctl` command."""

from xdpctl.cli import main

main()
