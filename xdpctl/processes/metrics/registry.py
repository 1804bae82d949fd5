# SPDX-License-Identifier: GPL-2.0-or-later
"""All metrics of a control plane, in the format that a scraper asks for."""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from xdpctl.processes.control_plane import ControlPlane
from xdpctl.processes.metrics import (
    detector,
    fleet,
    flows,
    host,
    rules,
    served,
    traffic,
    upstream,
)


class _Live(Collector):
    """Reads everything at each scrape; keeps no values."""

    def __init__(self, ctx: ControlPlane) -> None:
        self.ctx = ctx

    def collect(self) -> Iterator[Metric]:
        """The metrics of every part."""
        yield from host.metrics(self.ctx)
        yield from traffic.metrics(self.ctx)
        yield from served.metrics(self.ctx)
        yield from flows.metrics(self.ctx)
        yield from rules.metrics(self.ctx)
        yield from detector.metrics(self.ctx)
        yield from fleet.metrics(self.ctx)
        yield from upstream.metrics(self.ctx)


def exposition(ctx: ControlPlane, accept: str) -> tuple[bytes, str]:
    """The text and its media type: OpenMetrics if `accept` prefers it, else Prometheus's own."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Live(ctx))
    ProcessCollector(registry=registry)  # of this process, the control plane
    encode, media_type = choose_encoder(accept)
    return encode(registry), media_type
