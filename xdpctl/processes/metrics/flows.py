# SPDX-License-Identifier: GPL-2.0-or-later
"""Metrics of the flow memory and of challenges."""

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from xdpctl.abi.constants import Asking, MemoryNumber
from xdpctl.processes.control_plane import ControlPlane

_MEMORIES = {MemoryNumber.FLOWS: "flows", MemoryNumber.ANSWERED: "answered"}


def metrics(ctx: ControlPlane) -> Iterator[Metric]:
    """How full the memories are, which interfaces use them, and what became of challenges."""
    yield from _memories(ctx)
    yield from _challenges(ctx)


def _memories(ctx: ControlPlane) -> Iterator[Metric]:
    flows = ctx.controller.datapath.flows
    used = GaugeMetricFamily(
        "xdpctl_memory_used", "Elements of a memory's generation", labels=["memory"]
    )
    capacity = GaugeMetricFamily(
        "xdpctl_memory_capacity", "Elements that a generation has room for", labels=["memory"]
    )
    false_pass = GaugeMetricFamily(
        "xdpctl_memory_false_pass_ratio",
        "Estimated share of unknown elements that pass as known",
        labels=["memory"],
    )
    rotations = CounterMetricFamily(
        "xdpctl_memory_rotations", "Generations that ended", labels=["memory", "why"]
    )
    for number, name in _MEMORIES.items():
        figures = flows.figures(number)
        used.add_metric([name], figures.elements)
        capacity.add_metric([name], figures.full)
        false_pass.add_metric([name], figures.false_pass)
        rotations.add_metric([name, "full"], figures.early)
        rotations.add_metric([name, "age"], max(figures.rotations - figures.early, 0))
    yield from (used, capacity, false_pass, rotations)
    yield CounterMetricFamily(
        "xdpctl_flows_refused", "New flows beyond a host's budget", flows.figures().refused
    )
    asked = GaugeMetricFamily(
        "xdpctl_interface_flows_asked", "1 if the flow memory is asked", labels=["interface"]
    )
    for name, asking in flows.asking().items():
        asked.add_metric([name], float(asking is Asking.ASKS))
    yield asked


def _challenges(ctx: ControlPlane) -> Iterator[Metric]:
    flows = ctx.controller.datapath.flows
    counts = flows.challenges()
    challenges = CounterMetricFamily(
        "xdpctl_challenges",
        "SYNs and queries that were challenged, and sources that proved that they exist",
        labels=["what"],
    )
    for what in ("sent", "withheld", "right"):
        challenges.add_metric([what], getattr(counts, what))
    yield challenges
    yield GaugeMetricFamily(
        "xdpctl_challenges_replaced",
        "1 if challenges were replaced, since a driver cannot send them",
        float(bool(ctx.controller.state.cannot_answer)),
    )
