# SPDX-License-Identifier: GPL-2.0-or-later
"""The highest rates that were normal, by destination and kind, for a week. Pure.

A rate counts after ten minutes, so that an attack is not taken for normal traffic while it goes on.
After its first day a rate grows by a tenth a day at most: somebody who sends a little more each day
doubles what is normal in a week, and no more. On its first day it grows by a half an hour at most.
"""

import math
from collections import deque
from typing import Any

from xdpctl.abi.constants import Traffic
from xdpctl.base.net.prefix import Prefix, parse_prefix

Key = tuple[Prefix, Traffic]
_BUCKET, _WAIT, _DAY = 300.0, 600.0, 86_400.0
_STEP = 300.0  # seconds between two notes: more is a step of the clock
_DAYS, _GROWTH = 7, 1.1
_HOUR, _GROWTH_AN_HOUR = 3_600.0, 1.5  # on the first day
_MOST = 50_000  # keys
TIMES = 2.0  # the threshold, of the highest rate that was normal


class Usual:
    """`since` is the Unix time from which on it has learnt; times are Unix time in seconds.

    `observed` is for how many seconds it was there to learn.
    """

    def __init__(self, since: float, observed: float = 0.0) -> None:
        self.since, self.observed = since, observed
        self._noted_at: float | None = None
        self._days: dict[Key, dict[int, float]] = {}
        self._hours: dict[Key, tuple[float, float]] = {}  # begin, and the rate then
        self._bucket: dict[Key, float] = {}
        self._bucket_ends = 0.0
        self._waiting: deque[tuple[float, dict[Key, float]]] = deque()

    def note(self, unix: float, rates: dict[Key, float]) -> None:
        """The rates of a second in which these strata were not attacked."""
        if self._noted_at is not None and not 0 <= unix - self._noted_at <= _STEP:
            self._bucket, self._bucket_ends = (
                {},
                0.0,
            )  # the clock was set: how long ago is not known
            self._waiting.clear()
        self._noted_at = unix
        if unix >= self._bucket_ends:
            if self._bucket:
                self._waiting.append((self._bucket_ends, self._bucket))
            self._bucket, self._bucket_ends = {}, unix + _BUCKET
        for key, rate in rates.items():
            self._bucket[key] = max(self._bucket.get(key, 0.0), rate)
        while self._waiting and self._waiting[0][0] <= unix - _WAIT:
            ended, found = self._waiting.popleft()
            self._accept(ended, found)

    def restore(self, unix: float, rates: dict[Key, float]) -> None:
        """Take rates that were normal at that time."""
        self._accept(unix, rates)

    def forget(self, keys: set[Key]) -> None:
        """What waits about these strata was an attack."""
        for found in (self._bucket, *(each for _, each in self._waiting)):
            for key in keys & found.keys():
                del found[key]

    def _accept(self, unix: float, found: dict[Key, float]) -> None:
        day = int(unix // _DAY)
        for key, rate in found.items():
            days = self._days.setdefault(key, {})
            earlier = max((each for number, each in days.items() if number < day), default=0.0)
            most = _GROWTH * earlier if earlier else self._most_on_first_day(key, unix, rate)
            days[day] = max(days.get(day, 0.0), min(rate, most))
            for old in [number for number in days if number <= day - _DAYS]:
                del days[old]
        if len(self._days) > _MOST:
            order = sorted(self._days, key=lambda key: max(self._days[key].values()))
            for key in order[: len(order) - _MOST]:
                del self._days[key]
                self._hours.pop(key, None)

    def _most_on_first_day(self, key: Key, unix: float, rate: float) -> float:
        """What may be normal on the first day: what was before this hour, and half as much more."""
        hour, base = self._hours.get(key, (0.0, 0.0))
        if unix >= hour + _HOUR:
            base = max(self._days.get(key, {}).values(), default=0.0) or rate
            self._hours[key] = unix, base
        return _GROWTH_AN_HOUR * base

    def best(self, key: Key) -> float:
        """The highest rate that was normal, in packets a second; 0 if none is known."""
        return max(self._days.get(key, {}).values(), default=0.0)

    def threshold(self, key: Key, floor: float) -> float:
        """The rate from which on a stratum is looked at as an attack."""
        return max(floor, TIMES * self.best(key))

    def as_json(self) -> dict[str, Any]:
        """For a file; what waits is left out."""
        rows = [
            [str(p), kind.setting, list(days.items())] for (p, kind), days in self._days.items()
        ]
        return {"since": self.since, "observed": self.observed, "rates": rows}

    @classmethod
    def from_json(cls, found: Any, now: float) -> "Usual":
        """As `as_json` returned it; ValueError or RuleError if it is something else."""
        try:
            made = cls(min(float(found["since"]), now), _finite(found["observed"]))
            for prefix, name, days in found["rates"][:_MOST]:
                kept = {int(day): _finite(rate) for day, rate in days[-_DAYS:]}
                if kept:
                    made._days[parse_prefix(prefix), Traffic[name.upper()]] = kept
        except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
            raise ValueError(f"it is not what was learnt: {error!r}") from error
        if not math.isfinite(made.since):
            raise ValueError("since is no time")
        return made


def _finite(rate: Any) -> float:
    if not math.isfinite(found := float(rate)) or found < 0:
        raise ValueError(f"{found} is no rate")
    return found
