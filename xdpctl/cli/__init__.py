# SPDX-License-Identifier: GPL-2.0-or-later
"""The command line: parses arguments, calls the API, prints text or JSON."""

from xdpctl.cli.app import main

__all__ = ["main"]
