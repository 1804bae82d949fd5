# SPDX-License-Identifier: GPL-2.0-or-later
"""The command line: arguments in, API calls out, text or JSON back."""

from xdpctl.cli.app import main

__all__ = ["main"]
