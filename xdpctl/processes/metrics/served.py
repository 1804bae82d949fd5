# SPDX-License-Identifier: GPL-2.0-or-later
"""Metrics of the services inside that serve most."""

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from xdpctl.base.net.prefix import text_of
from xdpctl.model.match.components import TCP
from xdpctl.processes.control_plane import ControlPlane

_MOST = 100
_LABELS = ("address", "protocol", "port")


def metrics(ctx: ControlPlane) -> Iterator[Metric]:
    """Connections and answers, those that are usual, and how long clients wait."""
    served = CounterMetricFamily(
        "xdpctl_served",
        "Connections over TCP that a service took up, or answers over UDP",
        labels=_LABELS,
    )
    usual = GaugeMetricFamily(
        "xdpctl_served_usual", "Those a second that are usual in this hour", labels=_LABELS
    )
    data = GaugeMetricFamily(
        "xdpctl_served_data_seconds",
        "Half of the clients had the first data within this time after the handshake",
        labels=_LABELS,
    )
    for figures in ctx.sampler.served.figures()[:_MOST]:
        name = "tcp" if figures.service.protocol == TCP else "udp"
        key = (text_of(figures.service.host), name, str(figures.service.port))
        served.add_metric(key, figures.total)
        if figures.usual is not None:
            usual.add_metric(key, figures.usual / 60)
        if figures.data is not None:
            data.add_metric(key, figures.data)
    yield from (served, usual, data)
