# SPDX-License-Identifier: GPL-2.0-or-later
"""The command line: parses arguments, calls the API, prints text or JSON."""

import sys


def main() -> None:
    """Entry point of the `xdpctl` command."""
    try:
        from xdpctl.cli.app import main as run  # here, so that Ctrl-C during the import is caught

        run()
    except KeyboardInterrupt:
        sys.stderr.write("xdpctl: interrupted; no change was under way\n")
        sys.exit(130)


__all__ = ["main"]
