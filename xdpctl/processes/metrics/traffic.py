# SPDX-License-Identifier: GPL-2.0-or-later
"""Metrics of packets: counted by reason, and estimated by kind."""

from collections import Counter
from collections.abc import Iterator
from math import isnan

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from xdpctl.abi.constants import SlotNumber, Traffic
from xdpctl.flood.attack import Does
from xdpctl.processes.control_plane import ControlPlane
from xdpctl.series.figures import driver_drops


def metrics(ctx: ControlPlane) -> Iterator[Metric]:
    """Packets and bytes by interface and reason; packets by kind, and those not sampled."""
    labels = ["interface", "verdict", "reason"]
    packets = CounterMetricFamily("xdpctl_packets", "Packets by reason", labels=labels)
    octets = CounterMetricFamily("xdpctl_bytes", "Bytes by reason", labels=labels)
    drops = CounterMetricFamily(
        "xdpctl_driver_drops", "Packets that were lost before the filter", labels=["interface"]
    )
    for name, by_reason in ctx.controller.datapath.counters().items():
        if not isnan(lost := driver_drops(name)):  # a 0 would look like a reset counter
            drops.add_metric([name], lost)
        for reason, hits in by_reason.items():
            key = [name, reason.verdict, reason.name.lower()]
            packets.add_metric(key, hits.packets)
            octets.add_metric(key, hits.bytes)
    yield from (packets, octets, drops)
    kinds = CounterMetricFamily(
        "xdpctl_kind_packets", "Received packets by kind, estimated", labels=["kind"]
    )
    volumes = ctx.controller.datapath.heads.volumes()
    for kind, number in zip(Traffic, volumes[:, 0].tolist(), strict=True):
        kinds.add_metric([kind.name.lower()], number)
    yield kinds
    yield CounterMetricFamily(
        "xdpctl_not_sampled_packets",
        "Packets that top lists lack, because there was no room",
        ctx.controller.datapath.heads.lost(),
    )
    attacking = Counter(each.attack.does for each in ctx.attackers.recent())
    attackers = GaugeMetricFamily(
        "xdpctl_attackers",
        "Hosts inside that attacked others in the last ten minutes",
        labels=["does"],
    )
    for does in Does:
        attackers.add_metric([does.value], attacking[does])
    yield attackers
    (forged,) = ctx.controller.datapath.hits([SlotNumber.NONE])
    packets = CounterMetricFamily(
        "xdpctl_forged_packets", "Packets with forged sources from inside, let out or dropped"
    )
    packets.add_metric([], forged.packets)
    yield packets
