# SPDX-License-Identifier: GPL-2.0-or-later
"""Which routes to announce, which of them the speaker got, and its next command. Pure.

Each order says for how many seconds a route is announced. Then the route is withdrawn, even if
nobody is left to ask for that.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from xdpctl.base.net.prefix import Prefix
from xdpctl.errors import RuleError
from xdpctl.model.route import Flow, Kind, long_enough
from xdpctl.upstream.bgp.messages import PeerRoute, Told, Wanted
from xdpctl.upstream.bgp.setup import Limits
from xdpctl.upstream.bgp.syntax import said

SECONDS_MAX = 86_400.0
CLEAR, SHOW = "clear adj-rib out", "show adj-rib out"
_AGAIN_SECONDS = 5.0


@dataclass(slots=True)
class Table:
    """Routes towards `own` prefixes; `peers` has the limits of each peer.

    `clear`: it is unknown what the speaker announces, so everything is withdrawn first.
    """

    peers: Mapping[str, Limits]
    own: tuple[Prefix, ...]
    clear: bool = True
    wanted: dict[PeerRoute, float] = field(default_factory=dict)  # until when, monotonic
    told: set[PeerRoute] = field(default_factory=set)
    problems: dict[PeerRoute, str] = field(default_factory=dict)
    refused: dict[PeerRoute, str] = field(default_factory=dict)
    _again_at: dict[PeerRoute, float] = field(default_factory=dict)
    _clear_at: float = 0.0
    _asked: tuple[str, PeerRoute | None] | None = None

    def order(self, wanted: Iterable[Wanted], now: float) -> dict[PeerRoute, str]:
        """Announce exactly these routes from now on; return the problems of those left out."""
        accepted: dict[PeerRoute, float] = {}
        counts: dict[str, int] = dict.fromkeys(self.peers, 0)
        wrong: dict[PeerRoute, str] = {}
        keys: set[str] = set()
        for entry in wanted:
            try:
                self._check(entry)
                peer = entry.route.peer
                if counts[peer] >= self.peers[peer].most:
                    why = f"{peer} takes {self.peers[peer].most} routes, and not more"
                    raise RuleError(why, "wanted", "")
                if (key := _key(entry.route)) in keys:
                    raise RuleError("another route has the same match", "route", "")
            except RuleError as error:
                wrong[entry.route] = str(error)
            else:
                accepted[entry.route] = now + entry.seconds
                counts[entry.route.peer] += 1
                keys.add(key)
        self.wanted, self.refused = accepted, wrong
        return wrong

    def restore(self, wanted: Mapping[PeerRoute, float], now: float) -> None:
        """Announce the routes that an earlier process announced; values are seconds from now."""
        entries = [Wanted(route, min(seconds, SECONDS_MAX)) for route, seconds in wanted.items()]
        self.order([entry for entry in entries if entry.seconds > 0], now)

    def _check(self, entry: Wanted) -> None:
        if entry.route.peer not in self.peers:
            raise RuleError(f"{entry.route.peer[:60]!r} is no peer", "peer", "")
        if not 0 < entry.seconds <= SECONDS_MAX:
            raise RuleError(f"a route cannot be announced for {entry.seconds} s", "seconds", "")
        said(entry.route.route)  # refuses a route that ExaBGP's commands cannot express
        destination = entry.route.route.destination
        if not any(own.covers(destination) for own in self.own):
            raise RuleError(f"{destination} is not in upstream.own", "route", "")
        limits = self.peers[entry.route.peer]
        long = long_enough(destination, limits.blackhole_from, limits.blackhole_from_ipv6)
        if entry.route.route.kind is Kind.RTBH and not long:
            raise RuleError(f"a blackhole of {destination} is too wide", "route", "")
        if entry.route.route.kind is Kind.DIVERSION and not limits.draws:
            raise RuleError(f"{entry.route.peer} may draw nothing", "route", "")

    def expire(self, now: float) -> list[PeerRoute]:
        """Forget the routes whose time is over, and return them."""
        over = [route for route, until in self.wanted.items() if until <= now]
        for route in over:
            del self.wanted[route]
        return over

    def command(self, now: float) -> str | None:
        """What to tell the speaker next; None if nothing, or while an answer is awaited."""
        if self._asked:
            return None
        self._asked = self._next(now)
        return self._asked[0] if self._asked else None

    def _next(self, now: float) -> tuple[str, PeerRoute | None] | None:
        if self.clear:
            return (CLEAR, None) if self._clear_at <= now else None
        for route in self.told - self.wanted.keys():  # withdrawals go first
            if self._again_at.get(route, 0.0) <= now:
                return f"neighbor {route.peer} withdraw {said(route.route)}", route
        for route in self.wanted:
            if route not in self.told and self._again_at.get(route, 0.0) <= now:
                return f"neighbor {route.peer} announce {said(route.route)}", route
        return None

    def answered(self, done: bool, now: float) -> None:
        """The speaker's answer to the last command."""
        if not self._asked:
            return
        (command, route), self._asked = self._asked, None
        if route is None:  # all was withdrawn
            self.clear, self.told = not done, set() if done else self.told
            self._clear_at = 0.0 if done else now + _AGAIN_SECONDS
            self.problems = {} if done else self.problems
            return
        withdrawn = " withdraw " in command
        if not done:
            verb = "withdraw" if withdrawn else "announce"
            self.problems[route] = f"the speaker refused to {verb} it"
            self._again_at[route] = now + _AGAIN_SECONDS
            self.clear = self.clear or withdrawn  # nothing may stay that nobody wants
            return
        self.problems.pop(route, None)
        self._again_at.pop(route, None)
        if withdrawn:
            self.told.discard(route)
        else:
            self.told.add(route)

    @property
    def asking(self) -> bool:
        """Whether an answer is awaited."""
        return self._asked is not None

    def report(self) -> list[Told]:
        """The routes that the speaker was ordered to announce, and those that it refused."""
        routes = [route for route in self.wanted if route in self.told or route in self.problems]
        routes += [route for route in self.told if route not in self.wanted]
        reports = [Told(route, self.problems.get(route, "")) for route in routes]
        return reports + [Told(route, why) for route, why in self.refused.items()]


def _key(route: PeerRoute) -> str:
    """What identifies a route to a peer in BGP: the match or the prefix, without the action."""
    nlri = "flow" if isinstance(route.route, Flow) else "unicast"
    return f"{route.peer} {nlri} {route.route.takes}"
