# SPDX-License-Identifier: GPL-2.0-or-later
"""For how long rules have hit much on end, or little. Pure but for what it holds."""

from collections.abc import Container
from dataclasses import dataclass

LOUD_PPS = 100.0  # fewer packets a second are no flood


@dataclass(slots=True)
class _Seen:
    packets: int
    at: float
    loud: bool
    since: float


class Activity:
    """`feel` it often: with a rule's packets so far, and seconds of a clock that only goes on."""

    def __init__(self) -> None:
        self._seen: dict[str, _Seen] = {}

    def keep(self, known: Container[str]) -> None:
        """Forget all other rules."""
        self._seen = {name: seen for name, seen in self._seen.items() if name in known}

    def feel(self, rule: str, packets: int, now: float) -> tuple[bool, float]:
        """Whether it hits much, and for how many seconds it has been so; at first it does not."""
        seen = self._seen.get(rule)
        if seen is None:
            seen = self._seen[rule] = _Seen(packets, now, False, now)
        loud = packets - seen.packets > LOUD_PPS * (now - seen.at)
        if loud != seen.loud:
            seen.since = seen.at  # it changed somewhere since then
        seen.packets, seen.at, seen.loud = packets, now, loud
        return loud, now - seen.since
