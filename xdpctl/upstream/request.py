# SPDX-License-Identifier: GPL-2.0-or-later
"""What to ask of the provider about an attack, in the order in which to ask it. Pure.

First the smallest set of FlowSpec routes that takes what fills the link now, then a diversion to a
scrubbing centre, then a blackhole of the victim (RTBH, RFC 7999). Each says what it costs whom.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from xdpctl.abi.constants import KEPT_OUT
from xdpctl.base.net.prefix import Prefix, text_of
from xdpctl.base.units import si3
from xdpctl.errors import RuleError
from xdpctl.model.match.match import Match
from xdpctl.model.route import NO_EXPORT, Blackhole, Diversion, Flow, Kind, Route
from xdpctl.traffic.select import takes
from xdpctl.upstream import diversion
from xdpctl.upstream.costs import Cost, hits_nobody, spares, weigh
from xdpctl.upstream.filling import LEAST_SHARE, NOTHING, Filling
from xdpctl.upstream.peers import Peer, Takes
from xdpctl.upstream.routes import ENOUGH, smallest
from xdpctl.upstream.settings import Uplink

MEANS = (Kind.FLOWSPEC, Kind.DIVERSION, Kind.RTBH)  # the least costly first
ANYBODY = Takes()  # a router that takes all of RFC 8955 and RFC 7999
AT_ONCE = 10  # routes about one victim
LIMIT_SHARE = 0.1  # of the uplink, for all routes about a victim: the rest is for its people


class Request(NamedTuple):
    """One request: a route, and in words what it does and what it costs.

    `sure`: what it takes was dropped here anyway, or is more than usual, and nothing of it belongs
    to people. Only such a request may be sent without asking a person.
    """

    route: Route
    what: str
    cost: str
    taken: Cost
    sure: bool = False

    @property
    def kind(self) -> Kind:
        return self.route.kind

    @property
    def victim(self) -> Prefix:
        """The destination of the route."""
        return self.route.destination


class Option(NamedTuple):
    """Something that can be done, beside the others: what it takes, and what then arrives.

    `arrives` is the share of the uplink that is left, at least; `people` the share of what known
    flows send that is lost, `at_most` its bound. None: not known.
    """

    name: str
    takes: float
    people: float | None
    at_most: float | None
    arrives: float
    says: str


def requests(
    found: Filling,
    victim: Prefix,
    uplink: Uplink,
    router: Takes = ANYBODY,
    most: int = AT_ONCE,
) -> list[Request]:
    """The requests about an attack on a victim that a router takes, the least costly first.

    At most `most` of them are FlowSpec routes, if the attack has a part in what fills the link.
    """
    asked: list[Request] = []
    if router.flowspec and found.towards(victim).attack >= LEAST_SHARE * uplink.bits_in:
        matches = smallest(found, victim, router.components, min(most, router.most))
        rate = int(uplink.bits_in * LIMIT_SHARE / max(len(matches), 1)) if router.limits else 0
        made = (flowspec(found, victim, match, rate) for match in matches)
        asked += [one for one in made if rate or one.taken.people is None or spares(one.taken)]
    if isinstance(router, Peer) and (prefix := diverted(router, victim)):
        asked.append(divert(found, prefix, router))
    if _blackholes(router, victim):
        asked.append(blackhole(found, victim, router))
    return asked


def written(
    peer: Peer, match: Match, kind: Kind, rate: int = 0, found: Filling | None = None
) -> Request:
    """A person's own request: limit a match to so many bits a second (0: drop it), or its `kind`.

    `found` is None if nothing is observed. RuleError if the peer does not take it.
    """
    victim = match.get("destination")
    if victim is None:
        raise RuleError("a route has a destination", "match", "add dst, with one of your prefixes")
    now = found or NOTHING
    if kind is not Kind.FLOWSPEC:
        if match.narrowing - {"destination"}:
            raise RuleError(f"a {kind} route has a destination only", "match", "give only dst")
        if rate:
            raise RuleError(f"a {kind} route has no rate", "bps", "leave it out")
    if kind is Kind.RTBH:
        if not _blackholes(peer, victim):
            raise RuleError(f"{peer.name} does not blackhole {victim}", "match", "see its settings")
        return blackhole(now, victim, peer)
    if kind is Kind.DIVERSION:
        if (prefix := diverted(peer, victim)) is None:
            raise RuleError(f"{peer.name} does not divert {victim}", "peer", "set its `returns`")
        if prefix != victim:
            raise RuleError(f"{victim} is too long to divert", "match", f"give dst {prefix}")
        return divert(now, victim, peer)
    if not peer.flowspec:
        raise RuleError(f"{peer.name} takes no FlowSpec", "peer", "ask for a blackhole")
    if lacking := peer.lacks(match):
        named = " and ".join(lacking)
        raise RuleError(f"{peer.name} does not take {named}", "match", "leave that out")
    if rate and not peer.limits:
        raise RuleError(f"{peer.name} takes no limits", "bps", "leave the rate out, to drop")
    return flowspec(now, victim, match, rate)


def flowspec(found: Filling, victim: Prefix, match: Match, rate: int) -> Request:
    """A request to limit what a match takes to so many bits a second; 0 to drop it.

    With a limit some of it arrives, so the end of the attack shows.
    """
    cost = weigh(found, victim, [match])
    verb = f"limit {match} to {si3(rate)}bit/s" if rate else f"drop {match}"
    sure = hits_nobody(cost) and (found.usual or _dropped_here(found, match))
    return Request(Flow(str(match), rate // 8), verb, str(cost), cost, sure)


def blackhole(found: Filling, victim: Prefix, router: Takes) -> Request:
    """A request to drop everything to a victim, by the communities of a router."""
    hop = text_of(router.blackhole_hop) if isinstance(router, Peer) else ""
    communities = (*router.blackhole, *([NO_EXPORT] if router.no_export else []))
    route = Blackhole(str(victim), hop, communities)
    inside = found.towards(victim)
    cost = weigh(found, victim, [route.takes])
    lost = f" ({si3(inside.people.total)}bit/s of known flows)" if inside.judged else ""
    who = f"any address of {victim}" if not victim.exact else str(victim)
    says = f"nobody reaches {who} any more{lost}, and whether the attack goes on cannot be seen"
    return Request(route, f"drop everything to {victim}", says, cost)


def divert(found: Filling, prefix: Prefix, peer: Peer) -> Request:
    """A request to draw everything to a prefix through a scrubbing centre."""
    route = Diversion(str(prefix), text_of(peer.local_address), peer.divert)
    says = diversion.cost(peer, prefix)
    return Request(route, f"divert {prefix}", says, weigh(found, prefix, [route.takes]))


def covering(flow: Flow, peer: Peer, own: Sequence[Prefix]) -> Diversion | None:
    """Our prefix around the destination of a FlowSpec route, for a peer that wants it announced.

    RFC 8955, section 6: a router takes a FlowSpec route only from who is the best next hop there.
    """
    around = [prefix for prefix in own if prefix.covers(flow.destination)]
    if not around or peer.local_address.family != flow.destination.family:
        return None
    longest = max(around, key=lambda prefix: prefix.length)
    return Diversion(str(longest), text_of(peer.local_address), (NO_EXPORT,))


def options(
    found: Filling, victim: Prefix, asked: Sequence[Request], uplink: Uplink
) -> list[Option]:
    """Doing nothing, the FlowSpec routes together, diversions, and the blackhole, side by side."""
    inside = found.towards(victim)
    whole = found.others.total + found.people.total
    rows = [Option("nothing", 0.0, None, None, whole / uplink.bits_in, "the link stays as it is")]
    flows = [one.route for one in asked if isinstance(one.route, Flow)]
    if flows:
        cost = weigh(found, victim, [flow.takes for flow in flows])
        gone = cost.attack + (cost.people or 0.0) * inside.people.total
        left = min(sum(8 * flow.rate for flow in flows), gone)
        says = f"{len(flows)} {'route' if len(flows) == 1 else 'routes'}"
        says += "" if cost.share >= ENOUGH else f"; less than {ENOUGH:.0%} of the attack"
        share = (whole - gone + left) / uplink.bits_in
        most = None if cost.people is None else cost.at_most
        rows.append(Option("flowspec", cost.share, cost.people, most, share, says))
    for one in asked:
        if one.kind is Kind.FLOWSPEC:
            continue
        there = found.towards(one.victim)
        lost = there.others.total + there.people.total
        share = (whole - lost) / uplink.bits_in
        if one.kind is Kind.RTBH:
            known = 1.0 if inside.judged else None
            rows.append(Option("blackhole", 1.0, known, known, share, f"of {one.victim}"))
        else:
            says = f"of {one.victim}; what is let pass comes back"
            rows.append(Option("diversion", 1.0, None, None, share, says))
    return rows


def _dropped_here(found: Filling, match: Match) -> bool:
    """Whether nearly all that a match takes is dropped here already."""
    hit = takes(match, found.others.packets)
    mass = found.others.mass[hit]
    dropped = np.isin(found.others.packets["reason"][hit], KEPT_OUT)
    return bool(mass.sum()) and float(mass[dropped].sum()) >= ENOUGH * float(mass.sum())


def _blackholes(router: Takes, victim: Prefix) -> bool:
    """Whether a router blackholes prefixes of that family and length."""
    hop = not isinstance(router, Peer) or router.blackhole_hop.family == victim.family
    return hop and router.blackholes(victim)


def diverted(peer: Peer, victim: Prefix) -> Prefix | None:
    """The prefix that a peer would draw for a victim; None if it cannot."""
    return peer.diverted(victim) if peer.local_address.family == victim.family else None
