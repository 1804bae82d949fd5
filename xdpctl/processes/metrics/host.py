# SPDX-License-Identifier: GPL-2.0-or-later
"""Metrics of this host and of the control plane's own work."""

import platform
from collections.abc import Iterator, Sequence

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from xdpctl import __version__
from xdpctl.base.histogram import Histogram
from xdpctl.processes.control_plane import ControlPlane
from xdpctl.watch.condition import State


def metrics(ctx: ControlPlane) -> Iterator[Metric]:
    """The version, readiness, interfaces, requests, the store, the clock, tables."""
    build = GaugeMetricFamily(
        "xdpctl_build_info", "Always 1", labels=["version", "python", "kernel"]
    )
    build.add_metric([__version__, platform.python_version(), platform.release()], 1)
    yield build
    yield GaugeMetricFamily(
        "xdpctl_bypass", "1 if the bypass is on", float(ctx.controller.datapath.bypass())
    )
    yield GaugeMetricFamily(
        "xdpctl_ready", "1 if /readyz says so", float(not ctx.health.problems())
    )
    yield _word(ctx)
    yield from _interfaces(ctx)
    refused = CounterMetricFamily("xdpctl_refused", "Refused requests", labels=["problem"])
    for kind, number in dict(ctx.refused).items():
        refused.add_metric([kind], number)
    yield refused
    yield CounterMetricFamily(
        "xdpctl_store_failures",
        "Failed reads and writes of the store",
        ctx.controller.store.failures,
    )
    yield _histogram(
        "xdpctl_apply_seconds",
        "From a request to its being durable and in the kernel",
        ctx.controller.jobs.waits,
    )
    error = ctx.controller.clock.read().error
    yield GaugeMetricFamily(
        "xdpctl_clock_synchronised", "1 if the kernel says so", float(error is not None)
    )
    yield GaugeMetricFamily(
        "xdpctl_clock_error_seconds",
        "Largest error of the wall clock; NaN if it is not synchronised",
        float("nan") if error is None else error,
    )
    yield from _detectors(ctx)
    yield from _tables(ctx)


def _word(ctx: ControlPlane) -> Metric:
    gauge = GaugeMetricFamily(
        "xdpctl_state", "1 for the word that says how it is", labels=["state"]
    )
    word = ctx.health.condition()[1].state
    for state in State:
        gauge.add_metric([state.value], float(state is word))
    return gauge


def _interfaces(ctx: ControlPlane) -> Iterator[Metric]:
    state = GaugeMetricFamily(
        "xdpctl_interface_attached", "1 if filtered", labels=["interface", "mode"]
    )
    taken_off = CounterMetricFamily(
        "xdpctl_filter_taken_off", "How often the filter was taken off", labels=["interface"]
    )
    for name, port in ctx.loader.ports().items():
        state.add_metric([name, port["mode"] or ""], float(port["state"] == "attached"))
        taken_off.add_metric([name], port.get("taken_off", 0))
    yield from (state, taken_off)


def _detectors(ctx: ControlPlane) -> Iterator[Metric]:
    events = CounterMetricFamily("xdpctl_events", "Events of detectors", labels=["detector"])
    for detector, number in dict(ctx.hooks.events).items():
        events.add_metric([detector], number)
    yield events
    incidents = list(ctx.controller.state.incidents.values())
    yield GaugeMetricFamily(
        "xdpctl_incidents_open",
        "Incidents that are not over",
        sum(incident.open for incident in incidents),
    )
    yield GaugeMetricFamily(
        "xdpctl_incidents", "Incidents of which there are records", len(incidents)
    )
    yield GaugeMetricFamily(
        "xdpctl_stream_readers", "Readers of /v1/stream", ctx.producer.broadcast.readers
    )


def _tables(ctx: ControlPlane) -> Iterator[Metric]:
    used = GaugeMetricFamily("xdpctl_table_used", "Entries in a table", labels=["table"])
    capacity = GaugeMetricFamily("xdpctl_table_capacity", "Entries that fit", labels=["table"])
    for fill in ctx.health.fills():
        label = [fill.name.lower().replace(" ", "_")]
        used.add_metric(label, fill.used)
        capacity.add_metric(label, fill.capacity)
    yield from (used, capacity)
    memory = GaugeMetricFamily("xdpctl_kernel_memory_bytes", "Kernel memory by map", labels=["map"])
    for name, octets in ctx.controller.datapath.memory().items():
        memory.add_metric([name], octets)
    yield memory


def _histogram(name: str, text: str, histogram: Histogram) -> Metric:
    counts, total = histogram.read()
    bounds: Sequence[str] = [*(f"{bound:g}" for bound in histogram.bounds), "+Inf"]
    family = HistogramMetricFamily(name, text)
    family.add_metric([], list(zip(bounds, counts, strict=True)), total)
    return family
