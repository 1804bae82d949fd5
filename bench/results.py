"""Cases with their rounds, what they are measured over, and the bars they must clear."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from statistics import median
from typing import Any


@dataclass(frozen=True, slots=True)
class Bar:
    """A median at most (or at least) `value`, or another case's median."""

    value: float | None = None
    case: str = ""
    at_least: bool = False

    def cleared(self, figure: float, limit: float) -> bool:
        return figure >= limit if self.at_least else figure <= limit


@dataclass(slots=True)
class Case:
    """One row: raw figures by round, in `unit`; `floor` names the row it is measured over."""

    part: str
    name: str
    unit: str
    floor: str = ""
    bar: Bar | None = None
    note: str = ""
    rounds: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        return median(self.rounds)

    @property
    def costs(self) -> list[float]:
        """The rounds as nanoseconds a packet."""
        return [1000 / value for value in self.rounds] if self.unit == "Mpps" else self.rounds


class Results:
    """Every case, by part and name, in the order they were declared."""

    def __init__(self) -> None:
        self.cases: dict[tuple[str, str], Case] = {}
        self.notes: list[str] = []

    def declare(self, case: Case) -> Case:
        return self.cases.setdefault((case.part, case.name), case)

    def part(self, part: str) -> list[Case]:
        return [case for case in self.cases.values() if case.part == part and case.rounds]

    def over(self, case: Case) -> tuple[float, float] | None:
        """Median ratio to the floor of the same round, and nanoseconds over it."""
        floor = self.cases.get((case.part, case.floor))
        if floor is None:
            return None
        pairs = list(zip(case.costs, floor.costs, strict=True))
        return median(a / b for a, b in pairs), median(a - b for a, b in pairs)

    def limit(self, case: Case) -> float | None:
        """What the case's bar comes to; None without one, or if its peer was not there."""
        if case.bar is None or case.bar.value is not None:
            return case.bar.value if case.bar else None
        peer = self.cases.get((case.part, case.bar.case))
        return peer.median if peer and peer.rounds else None

    def cleared(self, case: Case) -> bool | None:
        limit = self.limit(case)
        if case.bar is None or limit is None:
            return None
        return case.bar.cleared(case.median, limit)

    def missed(self) -> list[Case]:
        return [case for case in self.cases.values() if case.rounds and self.cleared(case) is False]

    def document(self) -> list[dict[str, Any]]:
        """What bench.json holds of the cases."""
        return [self._entry(case) for case in self.cases.values() if case.rounds]

    def _entry(self, case: Case) -> dict[str, Any]:
        over = self.over(case)
        bar = None
        if case.bar:
            bar = {
                "limit": self.limit(case),
                "at_least": case.bar.at_least,
                "peer": case.bar.case or None,
                "pass": self.cleared(case),
            }
        return {
            "part": case.part,
            "case": case.name,
            "unit": case.unit,
            "median": case.median,
            "floor": case.floor or None,
            "ratio": over[0] if over else None,
            "over_ns": over[1] if over else None,
            "bar": bar,
            "note": case.note or None,
            "rounds": case.rounds,
        }


def percentile(values: Iterable[float], percent: float) -> float:
    """The value that `percent` of the values do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]
