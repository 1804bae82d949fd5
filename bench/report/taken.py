# SPDX-License-Identifier: GPL-2.0-or-later
"""Reading bench.json, for the plots and the page."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Entry = dict[str, Any]


class Taken:
    """The figures of one run; the figure of a case that was not measured is None."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.machine: dict[str, Any] = document["machine"]
        self.notes: list[str] = document["notes"]
        self._entries = {(e["part"], e["case"]): e for e in document["cases"]}

    def part(self, part: str) -> Iterator[Entry]:
        return (entry for entry in self._entries.values() if entry["part"] == part)

    def median(self, part: str, case: str) -> float | None:
        entry = self._entries.get((part, case))
        return entry["median"] if entry else None

    def over(self, part: str, case: str) -> float | None:
        """The nanoseconds over the case's floor."""
        entry = self._entries.get((part, case))
        return entry["over_ns"] if entry else None


def read(path: Path) -> Taken:
    return Taken(json.loads(path.read_text()))


def figure(value: float) -> str:
    """Format a figure with about three significant digits."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
