# SPDX-License-Identifier: GPL-2.0-or-later
"""Metrics of the fleet, as this node sees it."""

from collections.abc import Callable, Iterator, Sequence

from prometheus_client.core import GaugeMetricFamily, Metric

from xdpctl.fleet.engine.values import EngineMember
from xdpctl.fleet.troubles import Quorum
from xdpctl.processes.control_plane import ControlPlane


def metrics(ctx: ControlPlane) -> Iterator[Metric]:
    """Whether this node is cut off, what waits, the nodes, and the engine; nothing without one."""
    fleet = ctx.fleet
    if fleet is None:
        return
    member, looked = fleet.member, fleet.whereabouts.looked()
    nodes = list(fleet.reporter.nodes.by_name.values())
    live = sum(node.report is not None and node.live(looked) for node in nodes)
    revision, relays = fleet.reporter.nodes.revision, fleet.reporter.relays
    for name, text, value in (
        ("isolated", "1 if this node is cut off from the fleet's engine", member.contact.isolated),
        ("silent_seconds", "Seconds since the engine answered", member.contact.silent),
        ("unsent", "Intents that wait to be sent", len(ctx.controller.state.unsent)),
        ("refused", "Intents that this node does not apply", len(member.refused)),
        ("nodes", "Nodes of the fleet", len(nodes)),
        ("nodes_reporting", "Nodes of the fleet that report", live),
        ("behind", "Revisions that this node lacks", max(0, revision - member.applied)),
        ("relays", "Relays, which pass the engine on", len(relays)),
        ("relays_answering", "Those that answer", sum(relay.answers for relay in relays)),
        ("troubles", "What keeps the fleet from its work", len(fleet.watching.troubles())),
        ("certificate_ends", "When this node's certificate ends (Unix)", fleet.reporter.expires),
    ):
        yield GaugeMetricFamily(f"xdpctl_fleet_{name}", text, float(value))
    if not member.settings.behind_relays:  # which knows no members
        members = fleet.watching.members
        yield from _of_quorum(fleet.watching.quorum())
        yield from _of_members(members.all, members.looked)


def _of_quorum(quorum: Quorum) -> Iterator[Metric]:
    for name, text, value in (
        ("members", "Members of the engine that vote", quorum.voting),
        ("members_answering", "Those that answer and know a leader", quorum.answering),
        ("members_may_fail", "How many more may fail; negative: no quorum", quorum.may_fail),
    ):
        yield GaugeMetricFamily(f"xdpctl_fleet_{name}", text, float(value))


def _of_members(members: Sequence[EngineMember], now: float) -> Iterator[Metric]:
    """What each member of the engine answers; one that is silent keeps its last figures."""
    figures: dict[str, tuple[str, Callable[[EngineMember], float]]] = {
        "xdpctl_fleet_member_silent_seconds": (
            "Seconds since the member answered",
            lambda m: m.silent(now),
        ),
        "xdpctl_fleet_member_bytes": ("Size of the member's database", lambda m: m.bytes),
        "xdpctl_fleet_member_bytes_used": (
            "What defragmentation would leave of it",
            lambda m: m.bytes_used,
        ),
        "xdpctl_fleet_member_alarms": ("Alarms that the member raises", lambda m: len(m.alarms)),
    }
    for name, (text, figure) in figures.items():
        family = GaugeMetricFamily(name, text, labels=["member"])
        for member in members:
            family.add_metric([member.name], float(figure(member)))
        yield family
