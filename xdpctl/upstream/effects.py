# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether an announcement helped: what it takes, with it and without it. Pure.

What it takes is compared just before and just after it is announced, and again whenever the link
has filled without it. Only a full link tells anything. A flood may end by itself at any moment: so
of a route that drops all of it, nothing is claimed before the link has filled without it.
"""

import math
import statistics
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

BEFORE, SETTLES = 10.0, 2.0  # seconds before it that count, and seconds after it that do not
PART = 0.25  # seconds of one value
LOOKS = (7.0, 15.0, 30.0)  # seconds after it at which it is judged, until that tells
_LEAST = 5  # values on each side
_CLEARLY = 0.2  # a route that takes less did nothing; a rate varies as much by itself
_LEAVES = 0.2  # of what a limit lets pass: if less arrives, the flood may be over
_BACK = 0.5  # of what it took at first: so much is back if the link has filled without the route
_T = {5: 2.78, 6: 2.57, 7: 2.45, 8: 2.36, 9: 2.31}  # Student, 95 %, of so many values
_T_MORE = 2.26


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a comparison tells: a route takes from `low` to `high` of its packets, or `why` not."""

    low: float = math.nan
    high: float = math.nan
    why: str = ""

    @property
    def helped(self) -> bool:
        return self.low >= _CLEARLY

    @property
    def nothing(self) -> bool:
        return self.high < _CLEARLY

    def __str__(self) -> str:
        if self.why:
            return f"cannot be told: {self.why}"
        if self.nothing:
            return "did nothing"
        return f"helped by {self.low:.0%} to {self.high:.0%}"


def compare(without: Sequence[float], with_it: Sequence[float], leaves: float) -> Verdict:
    """The verdict from the bits a second that a route takes, without it and with it.

    `leaves`: the bits a second that the route itself lets pass.
    """
    if min(len(without), len(with_it)) < _LEAST:
        return Verdict(why="too little was seen")
    before, after = statistics.fmean(without), statistics.fmean(with_it)
    if before <= 0:
        return Verdict(why="nothing that it takes arrived before")
    taken = 1 - after / before
    spread = math.hypot(_error(with_it) / before, after * _error(without) / before**2)
    low, high = max(taken - spread, -1.0), min(taken + spread, 1.0)
    if high < _CLEARLY:
        return Verdict(low, high)
    if low < _CLEARLY:
        return Verdict(why="what it takes varies as much by itself")
    if leaves and after < _LEAVES * min(leaves, before):
        return Verdict(low, high, "nothing of it arrives any more, so it may be over")
    return Verdict(low, high)


def _error(values: Sequence[float]) -> float:
    """The half width of the 95 % confidence interval of a mean."""
    if len(values) < 2:
        return math.inf
    return _T.get(len(values), _T_MORE) * statistics.stdev(values) / math.sqrt(len(values))


@dataclass(slots=True)
class Effect:
    """The effect of one announcement.

    `since`: when it was announced, the last time (monotonic). `full_for`: the seconds for which the
    link had been full then. `leaves`: the bits a second that it lets pass. `spreads`: the seconds
    until routers follow it; 0: at once. `refilled`: the link has filled without it.
    """

    since: float
    full_for: int
    leaves: float
    spreads: float = 0.0
    looks: int = 0
    settled: bool = False
    before: Sequence[float] | None = None  # what it took then; the traffic is known for a minute
    again: bool = False  # it was announced before, and paused
    refilled: bool = False
    first: float = math.nan  # what it took before it was announced, the first time
    told: list[Verdict] = field(default_factory=list)
    last: Verdict = field(default_factory=lambda: Verdict(why="it was announced just now"))

    @property
    def verdict(self) -> Verdict:
        """What all comparisons tell together."""
        if not self.told:
            return self.last
        if any(one.helped for one in self.told) and any(one.nothing for one in self.told):
            return Verdict(why="it helped at one time, and did nothing at another")
        low = statistics.fmean(one.low for one in self.told)
        high = statistics.fmean(one.high for one in self.told)
        maybe = self.told[-1].why or ("" if self.leaves else "the flood may have ended by itself")
        if self.refilled or not self.told[-1].helped:
            maybe = ""
        return Verdict(low, high, maybe)

    def due(self, now: float) -> bool:
        """Whether it is to be judged now."""
        return not self.settled and now >= self.since + (self.spreads or LOOKS[self.looks])

    def judge(self, before: Sequence[float], after: Sequence[float], disturbed: str = "") -> bool:
        """Judge by the rates before and after it was announced; whether that is final for now.

        `disturbed` says why these rates tell nothing about the route.
        """
        self.looks += 1
        found = Verdict(why="the link was not full")
        if self.full_for:
            found = compare(before, after, self.leaves)
            if found.helped and disturbed:
                found = Verdict(why=disturbed)
            took = statistics.fmean(before) if before else 0.0
            if not self.again:
                self.first = took
            elif took >= _BACK * self.first > 0:
                self.refilled = True
        self.last = found
        tells = not math.isnan(found.low)
        last = bool(self.spreads) or self.looks >= len(LOOKS)
        self.settled = not self.full_for or tells or last
        if tells:
            self.told.append(found)
        return self.settled


@dataclass(slots=True)
class Effects:
    """The effects of announcements, by id."""

    of: dict[str, Effect] = field(default_factory=dict)

    def begin(
        self, number: str, full_for: int, leaves: float, now: float, spreads: float = 0.0
    ) -> None:
        """A route was announced just now, for the first time or after a pause."""
        earlier = self.of.get(number)
        self.of[number] = Effect(now, full_for, leaves, spreads)
        if earlier is not None:
            self.of[number].again = True
            self.of[number].told = earlier.told
            self.of[number].refilled = earlier.refilled
            self.of[number].first = earlier.first

    def keep(self, standing: Collection[str]) -> None:
        """Forget all others."""
        self.of = {number: effect for number, effect in self.of.items() if number in standing}
