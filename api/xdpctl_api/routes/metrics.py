"""What Prometheus scrapes."""

import asyncio
from collections.abc import Iterator
from typing import Annotated

from fastapi import APIRouter, Depends
from fastapi.responses import Response
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from xdpctl_api.auth import Viewer
from xdpctl_api.context import Context, context

router = APIRouter(tags=["system"])


class _Live(Collector):
    """Reads the kernel when it is scraped; nothing is kept in between."""

    def __init__(self, ctx: Context) -> None:
        self.ctx = ctx

    def collect(self) -> Iterator[Metric]:
        yield from self._traffic()
        yield from self._rules()
        state = GaugeMetricFamily(
            "xdpctl_interface_attached", "1 if filtered", labels=["interface", "mode"]
        )
        for name, port in self.ctx.loader().get("ports", {}).items():
            state.add_metric([name, port["mode"] or ""], float(port["state"] == "attached"))
        yield state

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
        rules = GaugeMetricFamily("xdpctl_rules", "Standing rules", labels=["origin"])
        for origin, count in list(state.origins.items()):
            rules.add_metric([origin], count)
        yield rules
        yield GaugeMetricFamily("xdpctl_rules_capacity", "Rules that fit", datapath.capacity)
        yield GaugeMetricFamily("xdpctl_rules_room", "Rules that still fit", state.room)
        yield GaugeMetricFamily("xdpctl_bypass", "1: everything passes", float(datapath.bypass()))
        ready = float(not self.ctx.problems())
        yield GaugeMetricFamily("xdpctl_ready", "1 if /readyz says so", ready)
        refused = CounterMetricFamily("xdpctl_refused", "Refused requests", labels=["problem"])
        for kind, count in self.ctx.refused.items():
            refused.add_metric([kind], count)
        yield refused


@router.get("/metrics", response_class=Response)
async def metrics(who: Viewer, ctx: Annotated[Context, Depends(context)]) -> Response:
    """Prometheus text format."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Live(ctx))
    text = await asyncio.to_thread(generate_latest, registry)
    return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")
