# SPDX-License-Identifier: GPL-2.0-or-later
"""Rate limits per detector: what it may ask for, or send, per minute. Thread-safe."""

from collections import deque
from threading import Lock

_MINUTE = 60.0


class RateLimits:
    """A sliding window of one minute, per detector, in which at most `most` may be spent."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._lock = Lock()
        self._spent: dict[str, deque[tuple[float, int]]] = {}
        self._sums: dict[str, int] = {}

    def room(self, detector: str, now: float) -> int:
        """What is left to spend at `now` (seconds of a monotonic clock)."""
        with self._lock:
            spent = self._spent.get(detector)
            while spent and spent[0][0] <= now - _MINUTE:
                self._sums[detector] -= spent.popleft()[1]
            return max(0, self.most - self._sums.get(detector, 0))

    def spend(self, detector: str, count: int, now: float) -> None:
        """Spend `count` at `now`; a negative count is given back."""
        with self._lock:
            if count:
                self._spent.setdefault(detector, deque()).append((now, count))
                self._sums[detector] = self._sums.get(detector, 0) + count
