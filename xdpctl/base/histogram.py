# SPDX-License-Identifier: GPL-2.0-or-later
"""Counts of values by upper bounds, for metrics."""

from bisect import bisect_left
from collections.abc import Sequence
from threading import Lock


class Histogram:
    """Counts of observed values, up to each bound and in total."""

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
        """The number of values up to each bound, then the number of all values; and their sum."""
        with self._lock:
            total, cumulative = 0, []
            for count in self._counts:
                total += count
                cumulative.append(total)
            return cumulative, self._sum
