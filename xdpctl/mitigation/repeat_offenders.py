# SPDX-License-Identifier: GPL-2.0-or-later
"""Sources that come back are blocked for twice as long each time. Pure but for what it holds."""

from collections import OrderedDict
from collections.abc import Iterable

from xdpctl.base.net.prefix import Prefix

_KEPT, _DAY, _DOUBLINGS = 100_000, 86_400.0, 10


class RepeatOffenders:
    """How often each source was blocked of late; the oldest are forgotten, and all at a restart."""

    def __init__(self) -> None:
        self._times: OrderedDict[Prefix, tuple[int, float]] = OrderedDict()

    def ttl(self, source: Prefix, ttl: float, now: float, stands: bool) -> float:
        """For how long it is to be blocked, or to stay so if it `stands`.

        `now` is in seconds of a clock that only goes on.
        """
        times, last = self._times.get(source, (0, now))
        before = max(0, times - stands) if now - last < _DAY else 0
        return ttl * 2.0 ** min(before, _DOUBLINGS)

    def came(self, sources: Iterable[Prefix], now: float) -> None:
        """They are blocked again."""
        for source in sources:
            times, last = self._times.pop(source, (0, now))
            self._times[source] = (times + 1 if now - last < _DAY else 1, now)
        while len(self._times) > _KEPT:
            self._times.popitem(last=False)
