# SPDX-License-Identifier: GPL-2.0-or-later
"""A letter to the provider's NOC while an attack goes on: what a NOC asks first. Pure."""

from collections.abc import Iterator, Sequence

import numpy as np

from xdpctl.base.net.prefix import Prefix
from xdpctl.base.times import rfc3339
from xdpctl.base.units import si3
from xdpctl.incidents.report import FORGED
from xdpctl.model.incident import Incident
from xdpctl.model.match.match import Match
from xdpctl.model.route import Flow, Kind
from xdpctl.traffic.dimensions import DIMENSIONS
from xdpctl.traffic.select import takes
from xdpctl.traffic.split import Side
from xdpctl.upstream.bgp import syntax
from xdpctl.upstream.costs import spares
from xdpctl.upstream.filling import Filling
from xdpctl.upstream.junos import statements
from xdpctl.upstream.link import State
from xdpctl.upstream.peers import Peer
from xdpctl.upstream.request import Request
from xdpctl.upstream.settings import Uplink, UpstreamSettings

_SOURCES = 10
_BLANK = "[fill in]"


def letter(
    incident: Incident,
    victim: Prefix | None,
    found: Filling,
    asked: Sequence[Request],
    uplink: Uplink,
    state: State,
    settings: UpstreamSettings,
) -> str:
    """The letter about an incident."""
    subject, full = incident.subject, bool(state.full_for)
    there = [p for p in settings.peers if settings.uplink_of(p) == uplink]
    peer = min(there, key=lambda p: (p.returns is not None, not p.announces), default=None)
    customer = f"AS {peer.local_as} (yours: AS {peer.peer_as})" if peer else _BLANK
    since = rfc3339(int(incident.opened_at))
    title = f"DDoS in progress against {subject}{': our link is full' if full else ''}"
    parts = [
        f"Subject: {title}",
        "Hello,",
        f"{subject} has been under attack since {since}. {_why(state, full)}",
        f"Circuit: {uplink.circuit or _BLANK} ({si3(uplink.bits_in)}bit/s; {uplink.interface} "
        f"here)\nCustomer: {customer}\nContact: {settings.contact or _BLANK}",
        _arrives(found, victim, asked) if victim else "",
        "Please, on your side of the link:\n" + "\n".join(_wishes(subject, asked)),
        _fallback(asked),
        _validation(peer, victim, settings) if asked else "",
        "Please tell us when it is in place.",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _why(state: State, full: bool) -> str:
    if not full:
        return "What we drop on our side has come through our link to you already."
    return f"Our link to you is full: {state.why}. What we drop on our side comes too late."


def _arrives(found: Filling, victim: Prefix, asked: Sequence[Request]) -> str:
    """The volume, in all and by what is asked, and the largest sources."""
    inside = found.towards(victim).others
    if not len(inside.packets):
        return ""
    routes = [one.route.takes for one in asked if one.kind is Kind.FLOWSPEC]
    lines = [
        f"What arrives for it without belonging to a connection: {_rates(inside, found.seconds)}",
        *(f"- {match}: {_rates(_part(inside, match), found.seconds)}" for match in routes),
        "What your side of the link loses is not in these figures.",
        f"\nThe largest sources. {FORGED}",
        *_sources(inside),
    ]
    return "\n".join(lines)


def _rates(side: Side, seconds: float) -> str:
    packets = float(side.packets["weight"].sum(dtype=np.float64)) / seconds if seconds else 0.0
    return f"{si3(side.total)}bit/s, {si3(packets)} packets/s"


def _part(side: Side, match: Match) -> Side:
    return side.of(takes(match, side.packets))


def _sources(side: Side) -> Iterator[str]:
    by = DIMENSIONS["source"]
    values, places = np.unique(by.keys(side.packets), return_inverse=True)
    masses = np.bincount(places, side.mass, len(values))
    for place in np.argsort(-masses)[:_SOURCES].tolist():
        yield f"- {by.name(values[place].item())}: {si3(masses[place])}bit/s"


def _wishes(subject: str, asked: Sequence[Request]) -> Iterator[str]:
    """What is asked: in words, as a FlowSpec route, and as statements of Junos."""
    flows = [one for one in asked if isinstance(one.route, Flow)]
    if not flows:
        yield f"- filter or rate-limit what is sent to {subject}"
    for number, one in enumerate(flows, 1):
        assert isinstance(one.route, Flow)  # noqa: S101  # for mypy
        yield f"- {one.what}{'; to drop it is as good' if spares(one.taken) else ''}"
        yield f"  FlowSpec: {syntax.text(one.route)}"
        yield from (f"  {line}" for line in statements(one.route, f"customer-{number}"))


def _validation(peer: Peer | None, victim: Prefix | None, settings: UpstreamSettings) -> str:
    """What a router needs to take FlowSpec routes from us (RFC 8955, section 6)."""
    own = [prefix for prefix in settings.own if victim and prefix.covers(victim)]
    around = max(own, key=lambda prefix: prefix.length, default=None)
    if peer is None or around is None or not (peer.announces and peer.flowspec):
        return ""
    if peer.originate:
        return f"In the BGP session with you we announce {around} with our FlowSpec routes."
    return (
        "If you filter by the FlowSpec routes that we send: RFC 8955, section 6, lets a router "
        f"take them only from who is the best next hop to {around}. Please configure an exception "
        "for our session (Junos: no-validate; IOS XR: validation disable), or tell us to announce "
        f"{around} in it, too."
    )


def _fallback(asked: Sequence[Request]) -> str:
    holes = [one for one in asked if one.kind is Kind.RTBH]
    if not holes:
        return ""
    return f"If you cannot filter, please blackhole {holes[0].victim} until we write again."
