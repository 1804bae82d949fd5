# SPDX-License-Identifier: GPL-2.0-or-later
"""`python -m tools.notes VERSION`: prints what CHANGELOG.md says of a version."""

import re
import sys
from pathlib import Path

_CHANGES = Path(__file__).resolve().parents[1] / "CHANGELOG.md"


def notes(text: str, version: str) -> str:
    """The section of a version, without its heading; SystemExit if there is none."""
    heading = re.compile(rf"^## {re.escape(version)}(?: .*)?$", re.MULTILINE)
    if not (begins := heading.search(text)):
        raise SystemExit(f"CHANGELOG.md has no section {version}")
    ends = re.search(r"^## ", text[begins.end() :], re.MULTILINE)
    return text[begins.end() :][: ends.start() if ends else None].strip() + "\n"


if __name__ == "__main__":
    print(notes(_CHANGES.read_text(), sys.argv[1]), end="")
