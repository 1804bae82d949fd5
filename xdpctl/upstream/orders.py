# SPDX-License-Identifier: GPL-2.0-or-later
"""What the speaker is ordered to announce, and whether it reaches the peers. Pure."""

from collections.abc import Sequence

from xdpctl.model.announcement import Announcement
from xdpctl.model.route import Flow, Unicast
from xdpctl.upstream.bgp.messages import PeerRoute, Report, Told, Wanted
from xdpctl.upstream.peers import Peer
from xdpctl.upstream.proposer import agreed, session_of
from xdpctl.upstream.request import covering
from xdpctl.upstream.settings import UpstreamSettings

_NOT_YET = "the speaker has not sent it yet"


def told(entry: Announcement, report: Report | None, settings: UpstreamSettings) -> Told | None:
    """The speaker's report on an announcement; None without an order for it, or a report."""
    peer = settings.peer(entry.peer)
    if peer is None or report is None:
        return None
    route = PeerRoute(peer.host, entry.route)
    return next((each for each in report.told if each.route == route), None)


def announced(report: Report | None, settings: UpstreamSettings) -> set[PeerRoute]:
    """The routes that the speaker announces over sessions that are up."""
    routes = set[PeerRoute]()
    for each in report.told if report else []:
        peer = next((p for p in settings.peers if p.host == each.route.peer), None)
        session = session_of(report, peer) if peer else None
        if session is not None and session.up and not each.problem:
            routes.add(each.route)
    return routes


def obstacle(entry: Announcement, report: Report | None, settings: UpstreamSettings) -> str:
    """Why an approved route does not reach its peer; "" if it does, or is not meant to."""
    peer = settings.peer(entry.peer)
    if not entry.announced or entry.probing:
        return ""
    if peer is None or not peer.announces:
        return f"{entry.peer} is no peer that may be asked"
    session = session_of(report, peer)
    if session is None:
        return "the BGP speaker does not answer"
    found = told(entry, report, settings)
    if found is not None and found.problem:
        return found.problem
    if not session.up:
        return f"there is no session: {session.why}"
    if not agreed(session, entry.kind, entry.victim.family):
        return "the peer takes no such routes in this session"
    return "" if found else _NOT_YET


def with_prefixes(
    wanted: Sequence[tuple[Peer, Wanted]], settings: UpstreamSettings
) -> list[Wanted]:
    """These routes, after our prefixes around the FlowSpec routes, for peers that want those.

    Each prefix comes once, for the longest time, unless it is announced for another reason.
    """
    routes = [order for _, order in wanted]
    taken = {
        (order.route.peer, order.route.route.prefix)
        for order in routes
        if isinstance(order.route.route, Unicast)
    }
    longest = dict[PeerRoute, Wanted]()
    for peer, order in sorted(wanted, key=lambda pair: pair[1].seconds):
        flow = order.route.route
        if not peer.originate or not isinstance(flow, Flow):
            continue
        prefix = covering(flow, peer, settings.own)
        if prefix and (peer.host, prefix.prefix) not in taken:
            route = PeerRoute(peer.host, prefix)
            longest[route] = Wanted(route, order.seconds)
    return [*longest.values(), *routes]
