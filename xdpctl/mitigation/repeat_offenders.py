# SPDX-License-Identifier: GPL-2.0-or-later
"""Doubles the ttl of a source each time it is blocked again. No I/O."""

from collections import OrderedDict
from collections.abc import Iterable

from xdpctl.base.net.prefix import Prefix

_KEPT, _DAY, _DOUBLINGS = 100_000, 86_400.0, 10


class RepeatOffenders:
    """Counts the blocks of each source within a day; kept in memory, up to `_KEPT` sources."""

    def __init__(self) -> None:
        self._times: OrderedDict[Prefix, tuple[int, float]] = OrderedDict()

    def ttl(self, source: Prefix, ttl: float, now: float, stands: bool) -> float:
        """The ttl in seconds for a source; `stands` says that a rule on it exists already.

        `now` is in seconds of a monotonic clock.
        """
        times, last = self._times.get(source, (0, now))
        before = max(0, times - stands) if now - last < _DAY else 0
        return ttl * 2.0 ** min(before, _DOUBLINGS)

    def count_blocks(self, sources: Iterable[Prefix], now: float) -> None:
        """Count a block of each source at `now`."""
        for source in sources:
            times, last = self._times.pop(source, (0, now))
            self._times[source] = (times + 1 if now - last < _DAY else 1, now)
        while len(self._times) > _KEPT:
            self._times.popitem(last=False)
