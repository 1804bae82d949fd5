# SPDX-License-Identifier: GPL-2.0-or-later
"""Tracks for how long rules have had many hits, or few. No I/O."""

from collections.abc import Container
from dataclasses import dataclass

LOUD_PPS = 100.0  # fewer packets per second are not a flood


@dataclass(slots=True)
class _Seen:
    packets: int
    at: float
    loud: bool
    since: float


class Activity:
    """The activity of rules. Call `update` often."""

    def __init__(self) -> None:
        self._seen: dict[str, _Seen] = {}

    def keep(self, known: Container[str]) -> None:
        """Forget all rules that are not in `known`."""
        self._seen = {name: seen for name, seen in self._seen.items() if name in known}

    def update(self, rule: str, packets: int, now: float) -> tuple[bool, float]:
        """Whether a rule has many hits, and for how many seconds; not at the first call.

        `packets` is its counter, `now` is in seconds of a monotonic clock.
        """
        seen = self._seen.get(rule)
        if seen is None:
            seen = self._seen[rule] = _Seen(packets, now, False, now)
        loud = packets - seen.packets > LOUD_PPS * (now - seen.at)
        if loud != seen.loud:
            seen.since = seen.at  # it changed at some time since then
        seen.packets, seen.at, seen.loud = packets, now, loud
        return loud, now - seen.since
