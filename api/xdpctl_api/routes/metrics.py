# SPDX-License-Identifier: GPL-2.0-or-later
"""Metrics for Prometheus."""

import asyncio
from collections.abc import Iterator

from fastapi import APIRouter
from fastapi.responses import Response
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from xdpctl.model.source_set import NOTHING, count
from xdpctl.service.control_plane import ControlPlane
from xdpctl_api.auth import Viewer
from xdpctl_api.dependencies import Ctx
from xdpctl_api.refusals import streamed

router = APIRouter(tags=["system"])
_PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"


class _Live(Collector):
    """Reads the kernel's counters at each scrape; keeps no values."""

    def __init__(self, ctx: ControlPlane) -> None:
        self.ctx = ctx

    def collect(self) -> Iterator[Metric]:
        yield from self._traffic()
        yield from self._rules()
        state = GaugeMetricFamily(
            "xdpctl_interface_attached", "1 if filtered", labels=["interface", "mode"]
        )
        taken_off = CounterMetricFamily(
            "xdpctl_filter_taken_off", "How often the filter was taken off", labels=["interface"]
        )
        for name, port in (loader.ports if (loader := self.ctx.loader()) else {}).items():
            state.add_metric([name, port["mode"] or ""], float(port["state"] == "attached"))
            taken_off.add_metric([name], port.get("taken_off", 0))
        yield from (state, taken_off)

    def _traffic(self) -> Iterator[Metric]:
        labels = ["interface", "verdict", "reason"]
        packets = CounterMetricFamily("xdpctl_packets", "Packets by reason", labels=labels)
        octets = CounterMetricFamily("xdpctl_bytes", "Bytes by reason", labels=labels)
        for name, by_reason in self.ctx.controller.datapath.counters().items():
            for reason, hits in by_reason.items():
                key = [name, reason.verdict, reason.name.lower()]
                packets.add_metric(key, hits.packets)
                octets.add_metric(key, hits.bytes)
        yield packets
        yield octets

    def _rules(self) -> Iterator[Metric]:
        state, datapath = self.ctx.controller.state, self.ctx.controller.datapath
        rules = GaugeMetricFamily("xdpctl_rules", "Rules in force", labels=["origin"])
        for origin, number in list(state.origins.items()):
            rules.add_metric([origin], number)
        yield rules
        yield from self._tables()
        yield from self._sets()
        yield from self._signatures()
        yield GaugeMetricFamily("xdpctl_bypass", "1 if the bypass is on", float(datapath.bypass()))
        ready = float(not self.ctx.problems())
        yield GaugeMetricFamily("xdpctl_ready", "1 if /readyz says so", ready)
        refused = CounterMetricFamily("xdpctl_refused", "Refused requests", labels=["problem"])
        for kind, number in self.ctx.refused.items():
            refused.add_metric([kind], number)
        yield refused

    def _tables(self) -> Iterator[Metric]:
        used = GaugeMetricFamily("xdpctl_table_used", "Entries in a table", labels=["table"])
        capacity = GaugeMetricFamily("xdpctl_table_capacity", "Entries that fit", labels=["table"])
        for fill in self.ctx.fills():
            label = [fill.name.lower().replace(" ", "_")]
            used.add_metric(label, fill.used)
            capacity.add_metric(label, fill.capacity)
        yield used
        yield capacity
        memory = GaugeMetricFamily(
            "xdpctl_kernel_memory_bytes", "Kernel memory by map", labels=["map"]
        )
        for name, octets in self.ctx.controller.datapath.memory().items():
            memory.add_metric([name], octets)
        yield memory

    def _signatures(self) -> Iterator[Metric]:
        labels = ["rule", "action", "mode"]
        packets = CounterMetricFamily(
            "xdpctl_signature_packets", "Packets a signature hit", labels=labels
        )
        octets = CounterMetricFamily(
            "xdpctl_signature_bytes", "Bytes a signature hit", labels=labels
        )
        controller = self.ctx.controller
        signatures = list(controller.state.signatures.values())
        for held, hits in zip(signatures, controller.hits_of(signatures), strict=True):
            packets.add_metric([held.id, held.action.value, held.mode.value], hits.packets)
            octets.add_metric([held.id, held.action.value, held.mode.value], hits.bytes)
        yield from (packets, octets)

    def _sets(self) -> Iterator[Metric]:
        state, refresher = self.ctx.controller.state, self.ctx.refresher
        labels = ["set", "action", "mode"]
        entries = GaugeMetricFamily("xdpctl_set_entries", "Entries of a set", labels=labels)
        packets = CounterMetricFamily("xdpctl_set_packets", "Packets a set hit", labels=labels)
        octets = CounterMetricFamily("xdpctl_set_bytes", "Bytes a set hit", labels=labels)
        failures = GaugeMetricFamily(
            "xdpctl_feed_failures",
            "Failed fetches since the last good one",
            labels=["set"],
        )
        good = GaugeMetricFamily(
            "xdpctl_feed_last_success_timestamp_seconds",
            "Time of the last good fetch, or of the list itself",
            labels=["set"],
        )
        changed = GaugeMetricFamily(
            "xdpctl_set_changed_timestamp_seconds", "When its list last changed", labels=["set"]
        )
        for held in list(state.sets.values()):
            key = [held.name, held.action.value, held.mode.value]
            (hits,) = self.ctx.controller.datapath.hits([held.slot])
            entries.add_metric(key, count(state.entries.get(held.name, NOTHING)))
            packets.add_metric(key, hits.packets)
            octets.add_metric(key, hits.bytes)
            changed.add_metric([held.name], held.changed_at)
            if held.feed:
                tried = refresher.attempt(held)
                failures.add_metric([held.name], tried.failures)
                good.add_metric([held.name], tried.good_at)
        yield from (entries, packets, octets, changed, failures, good)


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: streamed(_PROMETHEUS, "Counters and gauges, named `xdpctl_…`", binary=False)},
)
async def read_metrics(who: Viewer, ctx: Ctx) -> Response:
    """Prometheus text format."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Live(ctx))
    text = await asyncio.to_thread(generate_latest, registry)
    return Response(text, media_type=_PROMETHEUS)
