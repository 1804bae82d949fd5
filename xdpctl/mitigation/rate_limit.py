# SPDX-License-Identifier: GPL-2.0-or-later
"""How much each detector may still ask for, or send, this minute. Safe from any thread."""

from collections import deque
from threading import Lock

_MINUTE = 60.0


class RateLimits:
    """A window that slides: what a detector gone mad may add in any minute is bounded."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._lock = Lock()
        self._spent: dict[str, deque[tuple[float, int]]] = {}
        self._sums: dict[str, int] = {}

    def room(self, detector: str, now: float) -> int:
        """At `now` (seconds of a clock that only goes on)."""
        with self._lock:
            spent = self._spent.get(detector)
            while spent and spent[0][0] <= now - _MINUTE:
                self._sums[detector] -= spent.popleft()[1]
            return max(0, self.most - self._sums.get(detector, 0))

    def spend(self, detector: str, count: int, now: float) -> None:
        """So many; fewer than none are given back."""
        with self._lock:
            if count:
                self._spent.setdefault(detector, deque()).append((now, count))
                self._sums[detector] = self._sums.get(detector, 0) + count
