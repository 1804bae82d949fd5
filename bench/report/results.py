# SPDX-License-Identifier: GPL-2.0-or-later
"""Cases with their rounds, the floors they are measured over, and their bars."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from statistics import median
from typing import Any


@dataclass(frozen=True, slots=True)
class Bar:
    """The limit of a case: a figure, or another case's median.

    It is an upper limit, or with `at_least` a lower one. It is compared with the case's median, or
    with `over` with the median nanoseconds over the floor.
    """

    value: float | None = None
    case: str = ""
    at_least: bool = False
    over: bool = False


@dataclass(slots=True)
class Case:
    """One row: raw figures by round, in `unit`; `floor` names the case it is measured over."""

    part: str
    name: str
    unit: str
    floor: str = ""
    bars: tuple[Bar, ...] = ()
    rounds: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        return median(self.rounds)

    @property
    def costs(self) -> list[float]:
        """The rounds in nanoseconds per packet."""
        return [1000 / value for value in self.rounds] if self.unit == "Mpps" else self.rounds


class Results:
    """All cases by part and name, in the order of their declaration."""

    def __init__(self) -> None:
        self.cases: dict[tuple[str, str], Case] = {}
        self.notes: list[str] = []

    def declare(self, case: Case) -> Case:
        return self.cases.setdefault((case.part, case.name), case)

    def part(self, part: str) -> list[Case]:
        return [case for case in self.cases.values() if case.part == part and case.rounds]

    def over(self, case: Case) -> tuple[float, float] | None:
        """The median ratio to the floor of the same round, and the median ns over it."""
        floor = self.cases.get((case.part, case.floor))
        if floor is None:
            return None
        pairs = list(zip(case.costs, floor.costs, strict=True))
        return median(a / b for a, b in pairs), median(a - b for a, b in pairs)

    def limit(self, case: Case, bar: Bar) -> float | None:
        """The value of a bar; None if the case it refers to was not measured."""
        if bar.value is not None:
            return bar.value
        peer = self.cases.get((case.part, bar.case))
        return peer.median if peer and peer.rounds else None

    def cleared(self, case: Case, bar: Bar) -> bool | None:
        limit, over = self.limit(case, bar), self.over(case)
        if limit is None:
            return None
        figure = over[1] if bar.over and over else case.median
        return figure >= limit if bar.at_least else figure <= limit

    def missed(self) -> list[tuple[Case, Bar]]:
        measured = [case for case in self.cases.values() if case.rounds]
        return [(c, bar) for c in measured for bar in c.bars if self.cleared(c, bar) is False]

    def document(self) -> list[dict[str, Any]]:
        """The cases as they are written to bench.json."""
        return [self._entry(case) for case in self.cases.values() if case.rounds]

    def _bar(self, case: Case, bar: Bar) -> dict[str, Any]:
        return {
            "limit": self.limit(case, bar),
            "of": "over_ns" if bar.over else "median",
            "at_least": bar.at_least,
            "peer": bar.case or None,
            "pass": self.cleared(case, bar),
        }

    def _entry(self, case: Case) -> dict[str, Any]:
        over = self.over(case)
        return {
            "part": case.part,
            "case": case.name,
            "unit": case.unit,
            "median": case.median,
            "floor": case.floor or None,
            "ratio": over[0] if over else None,
            "over_ns": over[1] if over else None,
            "bars": [self._bar(case, bar) for bar in case.bars],
            "rounds": case.rounds,
        }


def percentile(values: Iterable[float], percent: float) -> float:
    """The value that `percent` of the values do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]
