# SPDX-License-Identifier: GPL-2.0-or-later
"""Metrics of rules, sets and feeds.

What may change without another rule or set, as the mode, is the label of an info metric alone.
"""

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from xdpctl.model.source_set import NOTHING, count
from xdpctl.processes.control_plane import ControlPlane


def metrics(ctx: ControlPlane) -> Iterator[Metric]:
    """Numbers of rules by origin; hits of each rule on a match, if wanted, and of each set."""
    rules = GaugeMetricFamily("xdpctl_rules", "Rules in force", labels=["origin"])
    for origin, number in list(ctx.controller.state.origins.items()):
        rules.add_metric([origin], number)
    yield rules
    yield from _collateral(ctx)
    yield from _of_matches(ctx)
    yield from _sets(ctx)
    yield from _feeds(ctx)


def _collateral(ctx: ControlPlane) -> Iterator[Metric]:
    """Whom detectors' rules hit, where it is measured."""
    share = GaugeMetricFamily(
        "xdpctl_rule_people_ratio",
        "Share of people among the sources that a detector's rule hits: an interval of 95 %",
        labels=["rule", "bound"],
    )
    passed = CounterMetricFamily(
        "xdpctl_rule_tried_packets", "Packets that passed to try a detector's rule", labels=["rule"]
    )
    hurting = 0
    for rule, found in list(ctx.controller.state.collateral.items()):
        passed.add_metric([rule], found.passed)
        hurting += found.hurts
        if found.sources:
            share.add_metric([rule, "low"], found.low)
            share.add_metric([rule, "high"], found.high)
    yield from (share, passed)
    yield GaugeMetricFamily("xdpctl_rules_hurting", "Detectors' rules that hit people", hurting)


def _of_matches(ctx: ControlPlane) -> Iterator[Metric]:
    info = GaugeMetricFamily(
        "xdpctl_match_info", "Always 1", labels=["rule", "action", "mode", "origin"]
    )
    packets = CounterMetricFamily(
        "xdpctl_match_packets", "Packets that a rule on a match hit", labels=["rule"]
    )
    octets = CounterMetricFamily(
        "xdpctl_match_bytes", "Bytes that a rule on a match hit", labels=["rule"]
    )
    rules = list(ctx.controller.state.matches.values())
    for held, hits in zip(rules, ctx.controller.hits_of(rules), strict=True):
        info.add_metric([held.id, held.action.value, held.mode.value, held.origin], 1)
        packets.add_metric([held.id], hits.packets)
        octets.add_metric([held.id], hits.bytes)
    yield from (info, packets, octets)


def _sets(ctx: ControlPlane) -> Iterator[Metric]:
    state = ctx.controller.state
    info = GaugeMetricFamily("xdpctl_set_info", "Always 1", labels=["set", "action", "mode"])
    entries = GaugeMetricFamily("xdpctl_set_entries", "Entries of a set", labels=["set"])
    packets = CounterMetricFamily("xdpctl_set_packets", "Packets that a set hit", labels=["set"])
    octets = CounterMetricFamily("xdpctl_set_bytes", "Bytes that a set hit", labels=["set"])
    changed = GaugeMetricFamily(
        "xdpctl_set_changed_timestamp_seconds", "When its list last changed", labels=["set"]
    )
    spared = GaugeMetricFamily(
        "xdpctl_set_spared_sources",
        "Sampled sources of a set in conversation with the inside, of the last minute",
        labels=["set"],
    )
    for name, found in ctx.lists.found.items():
        spared.add_metric([name], found.sources)
    for held in list(state.sets.values()):
        (hits,) = ctx.controller.datapath.hits([held.slot])
        info.add_metric([held.name, held.action.value, held.mode.value], 1)
        entries.add_metric([held.name], count(state.entries.get(held.name, NOTHING)))
        packets.add_metric([held.name], hits.packets)
        octets.add_metric([held.name], hits.bytes)
        changed.add_metric([held.name], held.changed_at)
    yield from (info, entries, packets, octets, changed, spared)


def _feeds(ctx: ControlPlane) -> Iterator[Metric]:
    failures = GaugeMetricFamily(
        "xdpctl_feed_failures", "Failed fetches since the last good one", labels=["set"]
    )
    good = GaugeMetricFamily(
        "xdpctl_feed_last_success_timestamp_seconds",
        "Time of the last good fetch, or of the list itself",
        labels=["set"],
    )
    for held in list(ctx.controller.state.sets.values()):
        if held.feed:
            tried = ctx.refresher.attempt(held)
            failures.add_metric([held.name], tried.failures)
            good.add_metric([held.name], tried.good_at)
    yield from (failures, good)
