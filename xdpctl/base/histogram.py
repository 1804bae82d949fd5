# SPDX-License-Identifier: GPL-2.0-or-later
"""Counts of values by upper bounds, for metrics."""

from bisect import bisect_left
from collections.abc import Sequence
from threading import Lock


class Histogram:
    """Values that were observed, counted below each bound and without one."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = tuple(bounds)
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0
        self._lock = Lock()

    def observe(self, value: float) -> None:
        with self._lock:
            self._counts[bisect_left(self.bounds, value)] += 1
            self._sum += value

    def read(self) -> tuple[list[int], float]:
        """How many values were at most each bound, and at last how many there were; their sum."""
        with self._lock:
            total, found = 0, []
            for count in self._counts:
                total += count
                found.append(total)
            return found, self._sum
