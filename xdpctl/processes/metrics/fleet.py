# SPDX-License-Identifier: GPL-2.0-or-later
"""Metrics of the fleet, as this node sees it."""

from collections.abc import Iterator

from prometheus_client.core import GaugeMetricFamily, Metric

from xdpctl.processes.control_plane import ControlPlane


def metrics(ctx: ControlPlane) -> Iterator[Metric]:
    """Whether this node is cut off, what waits, and how many nodes report; nothing without one."""
    fleet = ctx.fleet
    if fleet is None:
        return
    member, looked = fleet.member, fleet.whereabouts.looked()
    nodes = list(fleet.reporter.nodes.by_name.values())
    live = sum(node.report is not None and node.live(looked) for node in nodes)
    for name, text, value in (
        ("isolated", "1 if this node is cut off from the fleet's engine", member.contact.isolated),
        ("silent_seconds", "Seconds since the engine answered", member.contact.silent),
        ("unsent", "Intents that wait to be sent", len(ctx.controller.state.unsent)),
        ("refused", "Intents that this node does not apply", len(member.refused)),
        ("nodes", "Nodes of the fleet", len(nodes)),
        ("nodes_reporting", "Nodes of the fleet that report", live),
    ):
        yield GaugeMetricFamily(f"xdpctl_fleet_{name}", text, float(value))
