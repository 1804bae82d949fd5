# SPDX-License-Identifier: GPL-2.0-or-later
"""Guards for every detector: whose the victim is, what a drop breaks, and how often it may ask."""

from collections import deque
from threading import Lock

from xdpctl.base.net.prefix import Prefix
from xdpctl.base.net.tcp_peers import Peers
from xdpctl.control.state.draft import Draft
from xdpctl.mitigation.settings import AutomaticSettings
from xdpctl.model.effect import Mode
from xdpctl.model.event import Event

_MINUTE = 60.0


def foreign(event: Event, draft: Draft, settings: AutomaticSettings) -> str:
    """Why the victim of an event is not protected; empty if it is."""
    if event.victim is None:
        return "the event names neither a victim nor sources"
    networks, protection = settings.networks, draft.state.protection
    destination = event.match.get("destination") if event.match else None
    for aim in (event.victim, destination or event.victim):
        known = (
            any(network.covers(aim) for network in networks) if networks else protection.over(aim)
        )
        if not known:
            return f"{aim} is in neither automatic.networks nor protected"
    return ""


def broken(
    event: Event, draft: Draft, settings: AutomaticSettings, peers: Peers
) -> tuple[frozenset[Prefix], str]:
    """The sources whose drops would break too many connections, and why; else empty."""
    fresh = frozenset(source for source in event.sources if not _dropped(draft, source))
    count, most = peers.count(fresh), settings.max_connections
    if count <= most:
        return frozenset(), ""
    setting = f"automatic.max_connections {most:,}"
    return fresh, f"would break {count:,} established connections ({setting})"


def _dropped(draft: Draft, source: Prefix) -> bool:
    standing = draft.standing(source)
    return standing is not None and standing.mode is Mode.ENFORCE


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
