# SPDX-License-Identifier: GPL-2.0-or-later
"""Metrics of the uplinks."""

from collections.abc import Iterator
from math import isnan

from prometheus_client.core import GaugeMetricFamily, Metric

from xdpctl.service.control_plane import ControlPlane

_LABELS = ("interface",)


def metrics(ctx: ControlPlane) -> Iterator[Metric]:
    """How full each uplink is; nothing where none is configured."""
    if not ctx.uplinks.links:
        return
    share = GaugeMetricFamily(
        "xdpctl_uplink_share", "Share of the rate of an uplink that arrives", labels=_LABELS
    )
    full = GaugeMetricFamily("xdpctl_uplink_full", "1 if an uplink is full", labels=_LABELS)
    for name, link in ctx.uplinks.links.items():
        if not isnan(link.state.share):
            share.add_metric((name,), link.state.share)
        full.add_metric((name,), float(bool(link.state.full_for)))
    yield share
    yield full
