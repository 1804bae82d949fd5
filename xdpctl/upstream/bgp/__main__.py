# SPDX-License-Identifier: GPL-2.0-or-later
"""`python -m xdpctl.upstream.bgp FOLDER`: becomes ExaBGP, with the files that root wrote there."""

import os
import sys
from pathlib import Path

from xdpctl.base.system.die_with_parent import die_with
from xdpctl.upstream.bgp.exabgp import ENVIRONMENT, command


def main() -> None:
    """Become ExaBGP; with a second argument, end when that process ends."""
    if len(sys.argv) > 2:
        die_with(int(sys.argv[2]))
    words = command(Path(sys.argv[1]))
    os.execve(words[0], words, {"PATH": "/usr/bin:/bin", **ENVIRONMENT})  # noqa: S606


main()
