# SPDX-License-Identifier: GPL-2.0-or-later
"""Metrics of the embedded detector."""

from collections import Counter
from collections.abc import Iterator

from prometheus_client.core import GaugeMetricFamily, Metric

from xdpctl.flood.mitigation import State
from xdpctl.flood.settings import Most
from xdpctl.processes.control_plane import ControlPlane
from xdpctl.processes.detector.status import read_status


def metrics(ctx: ControlPlane) -> Iterator[Metric]:
    """Whether it runs, and how many mitigations are in force; nothing if it is off."""
    if ctx.settings.detect.mode is Most.OFF:
        return
    status = read_status(ctx.settings.detector_status)
    runs = status is not None and not status.silent
    yield GaugeMetricFamily("xdpctl_detector_up", "1 if the embedded detector reports", float(runs))
    if status is None or not runs:
        return
    states = Counter(mitigation.state for mitigation in status.mitigations)
    mitigations = GaugeMetricFamily(
        "xdpctl_detector_mitigations", "Mitigations that stand", labels=["state"]
    )
    for state in State:
        mitigations.add_metric([state.value], states[state])
    yield mitigations
    normal = GaugeMetricFamily(
        "xdpctl_detector_normal_packets",
        "Packets of normal traffic that are kept to compare with",
        labels=["kind"],
    )
    for kind, count in status.normal.items():
        normal.add_metric([kind], count)
    yield normal
