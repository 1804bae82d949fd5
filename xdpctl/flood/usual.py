# SPDX-License-Identifier: GPL-2.0-or-later
"""The highest normal rates of a week, by destination and kind. Pure.

A rate counts after ten minutes, so that an attack is not taken for normal traffic while it goes on.
After its first day a rate grows by at most a tenth each day: somebody who sends a little more each
day can double it in a week, and no more. On its first day it grows by at most a half each hour.
"""

import math
from collections import deque
from typing import Any

from xdpctl.abi.constants import Traffic
from xdpctl.base.net.prefix import Prefix, parse_prefix

Key = tuple[Prefix, Traffic]
_BUCKET, _WAIT, _DAY = 300.0, 600.0, 86_400.0
_STEP = 300.0  # seconds between two calls of `note`: more means that the clock was set
_DAYS, _GROWTH = 7, 1.1
_HOUR, _GROWTH_AN_HOUR = 3_600.0, 1.5  # on the first day
_MOST = 50_000  # keys
TIMES = 2.0  # the threshold, in multiples of the highest normal rate


class Usual:
    """`since` is the Unix time when learning began; all times are Unix time in seconds.

    `observed` is for how many seconds traffic was observed since then.
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
        """Take the rates of a second in which these strata were not attacked."""
        if self._noted_at is not None and not 0 <= unix - self._noted_at <= _STEP:
            # the clock was set, so the age of these rates is unknown
            self._bucket, self._bucket_ends = {}, 0.0
            self._waiting.clear()
        self._noted_at = unix
        if unix >= self._bucket_ends:
            if self._bucket:
                self._waiting.append((self._bucket_ends, self._bucket))
            self._bucket, self._bucket_ends = {}, unix + _BUCKET
        for key, rate in rates.items():
            self._bucket[key] = max(self._bucket.get(key, 0.0), rate)
        while self._waiting and self._waiting[0][0] <= unix - _WAIT:
            ended, past_rates = self._waiting.popleft()
            self._accept(ended, past_rates)

    def restore(self, unix: float, rates: dict[Key, float]) -> None:
        """Take rates that were normal at that time."""
        self._accept(unix, rates)

    def forget(self, keys: set[Key]) -> None:
        """Drop the waiting rates of these strata: they were an attack."""
        for rates in (self._bucket, *(rates for _, rates in self._waiting)):
            for key in keys & rates.keys():
                del rates[key]

    def _accept(self, unix: float, rates: dict[Key, float]) -> None:
        day = int(unix // _DAY)
        for key, rate in rates.items():
            days = self._days.setdefault(key, {})
            earlier = max((best for number, best in days.items() if number < day), default=0.0)
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
        """The most that may be normal on the first day: 1.5 times the rate before this hour."""
        hour, base = self._hours.get(key, (0.0, 0.0))
        if unix >= hour + _HOUR:
            base = max(self._days.get(key, {}).values(), default=0.0) or rate
            self._hours[key] = unix, base
        return _GROWTH_AN_HOUR * base

    def best(self, key: Key) -> float:
        """The highest normal rate, in packets a second; 0 if none is known."""
        return max(self._days.get(key, {}).values(), default=0.0)

    def threshold(self, key: Key, floor: float) -> float:
        """The rate from which on a stratum is examined as a possible attack."""
        return max(floor, TIMES * self.best(key))

    def as_json(self) -> dict[str, Any]:
        """The state for a file, without the rates that wait."""
        rows = [
            [str(p), kind.setting, list(days.items())] for (p, kind), days in self._days.items()
        ]
        return {"since": self.since, "observed": self.observed, "rates": rows}

    @classmethod
    def from_json(cls, document: Any, now: float) -> "Usual":
        """The state that `as_json` returned; ValueError or RuleError if it is something else."""
        try:
            usual = cls(min(float(document["since"]), now), _finite(document["observed"]))
            for prefix, name, days in document["rates"][:_MOST]:
                by_day = {int(day): _finite(rate) for day, rate in days[-_DAYS:]}
                if by_day:
                    usual._days[parse_prefix(prefix), Traffic[name.upper()]] = by_day
        except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
            raise ValueError(f"it is not what was learnt: {error!r}") from error
        if not math.isfinite(usual.since):
            raise ValueError("since is no time")
        return usual


def _finite(rate: Any) -> float:
    if not math.isfinite(number := float(rate)) or number < 0:
        raise ValueError(f"{number} is no rate")
    return number
