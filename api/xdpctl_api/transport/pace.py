# SPDX-License-Identifier: GPL-2.0-or-later
"""How often a stranger may ask: requests without a token or a session, by network. Pure.

A page without a token costs as much to make as many rules, and anybody may ask for one.
"""

from collections import OrderedDict
from collections.abc import Hashable

_A_SECOND, _AT_ONCE = 10.0, 60.0  # a page has a dozen files
_PEERS_MAX = 4_096  # the one that asked least lately is forgotten


class Pace:
    """Token buckets by peer; used from one thread. Times are monotonic seconds."""

    def __init__(self, a_second: float = _A_SECOND, at_once: float = _AT_ONCE) -> None:
        self._a_second, self._at_once = a_second, at_once
        self._held: OrderedDict[Hashable, tuple[float, float]] = OrderedDict()

    def allows(self, peer: Hashable, now: float, cost: int = 1) -> bool:
        """Whether a peer may ask once more; if so, that is counted as `cost`."""
        left, at = self._held.pop(peer, (self._at_once, now))
        left = min(self._at_once, left + (now - at) * self._a_second)
        allowed = left >= 1
        self._held[peer] = (left - cost if allowed else left), now
        while len(self._held) > _PEERS_MAX:
            self._held.popitem(last=False)
        return allowed
