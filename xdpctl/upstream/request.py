# SPDX-License-Identifier: GPL-2.0-or-later
"""What to ask of the provider about an attack, in the order in which to ask it. Pure.

First FlowSpec routes of what is dropped here, then a blackhole of the victim (RTBH, RFC 7999), and
always a letter in words. Each says what it costs whom.
"""

from collections.abc import Sequence
from typing import NamedTuple

from xdpctl.abi.constants import FlowState
from xdpctl.base.net.prefix import Prefix, text_of
from xdpctl.base.units import si3
from xdpctl.errors import RuleError
from xdpctl.model.match.components import COMPONENTS
from xdpctl.model.match.match import Match, join
from xdpctl.model.route import NO_EXPORT, Blackhole, Flow, Kind, Route
from xdpctl.traffic.select import takes
from xdpctl.traffic.window import Seen
from xdpctl.upstream.bgp import syntax
from xdpctl.upstream.link import State
from xdpctl.upstream.peers import BLACKHOLE, Peer
from xdpctl.upstream.settings import Uplink

_LEAST = 20  # packets, for a share to mean anything
_ROUTES_MAX = 5
_LIMIT_SHARE = 0.1  # of the uplink, for all routes about a victim: the rest is for its people


class Dropped(NamedTuple):
    """A match whose packets are dropped or limited here, and how many so far.

    `spares`: packets of known flows, or of established connections, pass here nevertheless;
    `limits`: other packets pass here up to a rate.
    """

    match: Match
    packets: int
    spares: bool
    limits: bool = False


class Request(NamedTuple):
    """One request: a route, and in words what it does and what it costs.

    `collateral` says what it hits besides the attack, `more` what else it costs. `drop` is the
    request to a peer that takes no limits; "" if dropping would hit too much.
    """

    route: Route
    what: str
    collateral: str
    more: str = ""
    drop: str = ""

    @property
    def kind(self) -> Kind:
        return self.route.kind

    @property
    def victim(self) -> Prefix:
        """The destination of the route."""
        return self.route.destination

    @property
    def cost(self) -> str:
        """What it costs whom."""
        return "; ".join(part for part in (self.more, self.collateral) if part)


def requests(victim: Prefix, dropped: Sequence[Dropped], uplink: Uplink) -> list[Request]:
    """The requests about an attack on a victim, the least costly first."""
    towards = ((drop, _narrowed(drop.match, victim)) for drop in dropped)
    possible = [(drop, narrowed) for drop, narrowed in towards if narrowed]
    largest = sorted(possible, key=lambda pair: -pair[0].packets)[:_ROUTES_MAX]
    rate = int(uplink.bits_in * _LIMIT_SHARE / max(len(largest), 1))
    flows = [_flowspec(drop, victim, rate, *narrowed) for drop, narrowed in largest]
    return [*flows, _blackhole(victim)] if victim.exact else flows


def letter(subject: str, proposed: Sequence[Request], uplink: Uplink, state: State) -> str:
    """A letter to the provider's NOC, while the attack goes on."""
    flows = [request for request in proposed if request.kind is Kind.FLOWSPEC]
    lines = [
        f"- {flow.what}{'; to drop it is as good' if flow.drop else ''}\n"
        f"  {syntax.text(flow.route)}"
        for flow in flows
    ] or [f"- filter or rate-limit what is sent to {subject}"]
    blackhole = [request for request in proposed if request.kind is Kind.RTBH]
    fallback = (
        f"If you cannot filter, please blackhole {subject} until we write again.\n"
        if blackhole
        else ""
    )
    full = bool(state.full_for)
    why = f"Our link to you ({uplink.interface} here) carries {si3(uplink.bits_in)}bit/s."
    if full:
        why += f" It is full: {state.why}. What we drop on our side comes too late."
    return (
        f"Subject: DDoS in progress against {subject}{': our link is full' if full else ''}\n\n"
        f"Hello,\n\n{subject} is under attack. {why}\n\n"
        "Please, on your side of the link:\n" + "\n".join(lines) + f"\n\n{fallback}"
        "Please tell us when it is in place.\n"
    )


def _flowspec(
    dropped: Dropped, victim: Prefix, rate: int, takes: Match, widened: list[str]
) -> Request:
    """A request to limit what is dropped here: some arrives, so the end of the attack shows."""
    towards = "" if dropped.match.get("destination") else f" towards {victim}"
    packets, more = f"{dropped.match}{towards}", ""
    if widened:
        more = f"also what has another {' and '.join(widened)}, which FlowSpec does not know"
    exact = not (widened or dropped.limits)
    return Request(
        route=Flow(str(takes), rate // 8),
        what=f"limit {packets} to {si3(rate)}bit/s",
        collateral=_collateral(dropped),
        more=more,
        drop=f"drop {packets}" if exact else "",
    )


def _narrowed(match: Match, victim: Prefix) -> tuple[Match, list[str]] | None:
    """A match in FlowSpec components, towards a victim; and the names of those FlowSpec lacks.

    They are left out, so a route may take more packets than the match, and never fewer. None if no
    packet to the victim can match, or packets to others do.
    """
    components = dict(match.components)
    if not victim.covers(components.setdefault("destination", victim)):
        return None
    widened = [name for name in components if not COMPONENTS[name].of_flowspec]
    remaining = {name: value for name, value in components.items() if name not in widened}
    try:
        return join(remaining), widened
    except RuleError:  # the match is for the other family
        return None


def _collateral(dropped: Dropped) -> str:
    if dropped.spares:
        return "it also hits known flows, which pass here: how many of those match was not measured"
    return "whom else it hits was not measured"


def _blackhole(victim: Prefix) -> Request:
    return Request(
        route=Blackhole(str(victim), communities=(BLACKHOLE, NO_EXPORT)),
        what=f"drop everything to {victim}",
        collateral="",
        more=f"nobody reaches {victim} any more, and whether the attack goes on cannot be seen",
    )


def for_peer(request: Request, peer: Peer) -> Request | None:
    """The request as a peer takes it; None if it does not."""
    route = request.route
    if isinstance(route, Flow):
        if not peer.flowspec or not (peer.limits or request.drop):
            return None
        if peer.limits:
            return request
        return request._replace(route=Flow(route.match), what=request.drop)
    if not peer.blackhole or peer.blackhole_hop.family != request.victim.family:
        return None
    hop = text_of(peer.blackhole_hop)
    return request._replace(route=Blackhole(route.address, hop, (*peer.blackhole, NO_EXPORT)))


def measured(request: Request, sample: Seen | None) -> Request:
    """The request with a measured cost: the share of its packets that belong to known flows.

    Known flows pass here, but the provider does not know them. `sample` is None if nothing is
    observed.
    """
    if sample is None:
        return request
    packets = sample.packets[takes(request.route.takes, sample.packets)]
    packets = packets[packets["flow"] != FlowState.NOT_ASKED]
    if len(packets) < _LEAST:
        return request
    weights = packets["weight"].astype(float)
    share = weights[packets["flow"] == FlowState.KNOWN].sum() / weights.sum()
    looked = f"of {len(packets):,} packets in {sample.seconds:.0f} s"
    shown = "none" if not share else f"{share:.1%}" if share >= 0.001 else "less than 0.1%"
    text = f"{shown} of what it takes now belongs to known flows, which pass here ({looked})"
    return request._replace(collateral=text)
