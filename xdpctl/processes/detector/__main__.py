# SPDX-License-Identifier: GPL-2.0-or-later
"""`python -m xdpctl.processes.detector`."""

from xdpctl.processes.detector.main import main

main()
