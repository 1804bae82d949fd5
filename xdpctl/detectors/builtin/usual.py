# SPDX-License-Identifier: GPL-2.0-or-later
"""The highest rates that were normal, by destination and kind, for a week. Pure.

A rate counts after ten minutes, so that an attack is not taken for normal traffic while it goes on.
From one day to the next a rate grows by a tenth at most: somebody who sends a little more each day
doubles what is normal in a week, and no more.
"""

import math
from collections import deque
from typing import Any

from xdpctl.base.net.prefix import Prefix, parse_prefix
from xdpctl.detectors.builtin.kind import Kind

Key = tuple[Prefix, Kind]
_BUCKET, _WAIT, _DAY = 300.0, 600.0, 86_400.0
_DAYS, _GROWTH = 7, 1.1
_MOST = 50_000  # keys
TIMES = 2.0  # the threshold, of the highest rate that was normal


class Usual:
    """`since` is the Unix time from which on it has learnt; times are Unix time in seconds."""

    def __init__(self, since: float) -> None:
        self.since = since
        self._days: dict[Key, dict[int, float]] = {}
        self._bucket: dict[Key, float] = {}
        self._bucket_ends = 0.0
        self._waiting: deque[tuple[float, dict[Key, float]]] = deque()

    def note(self, unix: float, rates: dict[Key, float]) -> None:
        """The rates of a second in which these strata were not attacked."""
        if unix >= self._bucket_ends:
            if self._bucket:
                self._waiting.append((self._bucket_ends, self._bucket))
            self._bucket, self._bucket_ends = {}, unix + _BUCKET
        for key, rate in rates.items():
            self._bucket[key] = max(self._bucket.get(key, 0.0), rate)
        while self._waiting and self._waiting[0][0] <= unix - _WAIT:
            ended, found = self._waiting.popleft()
            self._accept(ended, found)

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
            accepted = min(rate, _GROWTH * earlier) if earlier else rate
            days[day] = max(days.get(day, 0.0), accepted)
            for old in [number for number in days if number <= day - _DAYS]:
                del days[old]
        if len(self._days) > _MOST:
            order = sorted(self._days, key=lambda key: max(self._days[key].values()))
            for key in order[: len(order) - _MOST]:
                del self._days[key]

    @property
    def known(self) -> list[Key]:
        """The strata of which a normal rate is known, the largest first."""
        return sorted(self._days, key=lambda key: -self.best(key))

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
        return {"since": self.since, "rates": rows}

    @classmethod
    def from_json(cls, found: Any, now: float) -> "Usual":
        """As `as_json` returned it; ValueError or RuleError if it is something else."""
        try:
            made = cls(min(float(found["since"]), now))
            for prefix, name, days in found["rates"][:_MOST]:
                kept = {int(day): _finite(rate) for day, rate in days[-_DAYS:]}
                if kept:
                    made._days[parse_prefix(prefix), Kind[name.upper()]] = kept
        except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
            raise ValueError(f"it is not what was learnt: {error!r}") from error
        if not math.isfinite(made.since):
            raise ValueError("since is no time")
        return made


def _finite(rate: Any) -> float:
    if not math.isfinite(found := float(rate)) or found < 0:
        raise ValueError(f"{found} is no rate")
    return found
