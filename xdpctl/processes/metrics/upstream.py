# SPDX-License-Identifier: GPL-2.0-or-later
"""Metrics of the uplinks and of BGP peers."""

from collections.abc import Iterator
from math import isnan

from prometheus_client.core import GaugeMetricFamily, Metric

from xdpctl.processes.control_plane import ControlPlane
from xdpctl.upstream.proposer import session_of
from xdpctl.watch.peering import Peering

_LABELS, _PEER = ("interface",), ("peer",)


def metrics(ctx: ControlPlane) -> Iterator[Metric]:
    """How full each uplink is, and the sessions; nothing where none is configured."""
    if ctx.uplinks.links:
        yield from _uplinks(ctx)
    if ctx.peering is not None:
        yield from _peers(ctx.peering)


def _uplinks(ctx: ControlPlane) -> Iterator[Metric]:
    share = GaugeMetricFamily(
        "xdpctl_uplink_share", "Share of the rate of an uplink that arrives", labels=_LABELS
    )
    out = GaugeMetricFamily(
        "xdpctl_uplink_share_out", "Share of bits_out of an uplink that is sent", labels=_LABELS
    )
    full = GaugeMetricFamily("xdpctl_uplink_full", "1 if an uplink is full", labels=_LABELS)
    for name, link in ctx.uplinks.links.items():
        if not isnan(link.state.share):
            share.add_metric((name,), link.state.share)
        if not isnan(link.state.share_out):
            out.add_metric((name,), link.state.share_out)
        full.add_metric((name,), float(bool(link.state.full_for)))
    yield from (share, out, full)


def _peers(peering: Peering) -> Iterator[Metric]:
    up = GaugeMetricFamily("xdpctl_bgp_session_up", "1 if a BGP session is up", labels=_PEER)
    received = GaugeMetricFamily(
        "xdpctl_bgp_received_routes", "FlowSpec routes of a peer that are kept", labels=_PEER
    )
    applied = GaugeMetricFamily(
        "xdpctl_bgp_applied_routes", "FlowSpec routes of a peer that are rules here", labels=_PEER
    )
    announced = GaugeMetricFamily(
        "xdpctl_bgp_announced_routes", "Routes that the speaker announces to a peer", labels=_PEER
    )
    report = peering.speaker.report
    for peer in peering.settings.peers:
        session, heard = session_of(report, peer), peering.receiver.of[peer.name]
        routes = [route for route in report.told if route.route.peer == peer.host] if report else []
        up.add_metric((peer.name,), float(session is not None and session.up))
        received.add_metric((peer.name,), session.kept if session else 0)
        applied.add_metric((peer.name,), len(heard.routes) - len(heard.unapplied))
        announced.add_metric((peer.name,), sum(not route.problem for route in routes))
    yield from (up, received, applied, announced)
