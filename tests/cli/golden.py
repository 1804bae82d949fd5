# SPDX-License-Identifier: GPL-2.0-or-later
"""Compares what commands print with files under golden/.

After a change of the output, `XDPCTL_GOLDEN=write .venv/bin/python -m pytest tests/cli` writes the
files again: read their difference before you commit it.
"""

import os
import re
from pathlib import Path

from tests.cli.terminal import PIPE

_FOLDER = Path(__file__).parent / "golden"
_STATUS = (
    "now|version|rules(?= +[0-9]+ of)|IPv[46] entries|matches|kernel memory|protected|bypass|isp0"
)
_STABLE = [
    (r"\d{4}-\d\d-\d\d([ T])\d\d:\d\d:\d\d(\.\d+)?", r"YYYY-MM-DD\1hh:mm:ss"),
    (r"\b\d{8}-\d{6}\b", "YYYYMMDD-hhmmss"),
    (r"(?m)^(\| )?\d\d:\d\d:\d\d(\.\d+)?", r"\1hh:mm:ss"),
    (r"\b59m [1-5]\ds", "59m SSs"),
    (r"\b(xdpctl undo|change|change\.undo of|change\.undo  ) \d{3}\b", r"\1 NNN"),
    (r"(?m)^( +)\d{3}(?=  YYYY)", r"\1NNN"),
    (r"\b(undo of NNN +)\d{3}\b", r"\1NNN"),
    (r"\bin (1m|59s) unless", "in 1m unless"),
    (r"(?m)^(IPv[46] entries +|protected +)\d+", r"\1N"),
    (r"(?ms)^clock  .*?(?=^hh)", ""),
    (r"  \d+s +((\d+ +)+open)", r"  Ns  \1"),
    (r"(?m)^(peak of drops +).*", r"\1…"),
    # a status line that depends on earlier tests, and the width that it gives the other lines
    (r"(?m)^overlaps of sets .*\n", ""),
    (rf"(?m)^({_STATUS})  +", r"\1  "),
    (r"(?m)^(slot +)\d+", r"\1N"),
    (r"xdpctl_[\w-]{43}", "xdpctl_SECRET"),
    (r"/tmp/xdpctl-lab-\w+", "/DIRECTORY"),
    (r"\bup \d[\dhms ]*", "up N"),
    (r"(?m)^(version +)[^,]+", r"\1V"),
    (r"\d+ MiB", "N MiB"),
    (r"(?m)^(  \w+) +[\d.]+( [kM])? packets", r"\1  N packets"),
    (r"(?m)^(country|network|AS) +.*\n", ""),  # of whatever database the machine has
]


def stable(text: str) -> str:
    """The text with placeholders for everything that differs between two runs."""
    for pattern, instead in _STABLE:
        text = re.sub(pattern, instead, text)
    return text


def compare(name: str, width: int, text: str) -> None:
    """Compare the output of a scene with its golden file."""
    file = _FOLDER / f"{name}.{'pipe' if width == PIPE else width}.txt"
    seen = stable(text)
    if os.environ.get("XDPCTL_GOLDEN") == "write":
        file.write_text(seen)
    assert file.exists(), f"{file.name} is missing: XDPCTL_GOLDEN=write makes it"
    assert seen == file.read_text()
