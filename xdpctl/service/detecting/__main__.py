# SPDX-License-Identifier: GPL-2.0-or-later
"""`python -m xdpctl.service.detecting`."""

from xdpctl.service.detecting.main import main

main()
