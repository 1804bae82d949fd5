# SPDX-License-Identifier: GPL-2.0-or-later
"""Bounds what is noted of hosts inside, and how many are limited: they can forge addresses."""

from collections.abc import Hashable, Iterable
from typing import Generic, TypeVar

HOUR_NS = 3600 * 1_000_000_000
MOST = 100
Key = TypeVar("Key", bound=Hashable)


class Hourly(Generic[Key]):
    """Each thing is noted once an hour, and `MOST` things are in an hour at most.

    Times are of CLOCK_MONOTONIC.
    """

    def __init__(self) -> None:
        self._noted: dict[Key, int] = {}

    def choose(self, now_ns: int, keys: Iterable[Key]) -> tuple[list[Key], int]:
        """Which of these to note now, and how many more there is no room for."""
        self._noted = {key: at for key, at in self._noted.items() if now_ns - at < HOUR_NS}
        news = [key for key in dict.fromkeys(keys) if key not in self._noted]
        room = max(0, MOST - len(self._noted))
        return news[:room], max(0, len(news) - room) if room else 0

    def __contains__(self, key: Key) -> bool:
        """Whether it was noted within the last hour, as of the last choice."""
        return key in self._noted

    def note(self, now_ns: int, keys: Iterable[Key]) -> None:
        """These are noted."""
        self._noted |= dict.fromkeys(keys, now_ns)
