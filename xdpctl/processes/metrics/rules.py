# SPDX-License-Identifier: GPL-2.0-or-later
"""Metrics of rules, sets and feeds.

Properties of a rule or set that may change, such as the mode, are labels of info metrics alone.
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
    for rule, collateral in list(ctx.controller.state.collateral.items()):
        passed.add_metric([rule], collateral.passed)
        hurting += collateral.hurts
        if collateral.sources:
            share.add_metric([rule, "low"], collateral.low)
            share.add_metric([rule, "high"], collateral.high)
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
    for rule, hits in zip(rules, ctx.controller.hits_of(rules), strict=True):
        info.add_metric([rule.id, rule.action.value, rule.mode.value, rule.origin], 1)
        packets.add_metric([rule.id], hits.packets)
        octets.add_metric([rule.id], hits.bytes)
    yield from (info, packets, octets)


def _sets(ctx: ControlPlane) -> Iterator[Metric]:
    state = ctx.controller.state
    labels = ["set", "action", "mode", "direction"]
    info = GaugeMetricFamily("xdpctl_set_info", "Always 1", labels=labels)
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
    for name, sources in ctx.lists.found.items():
        spared.add_metric([name], sources.sources)
    senders = GaugeMetricFamily(
        "xdpctl_set_senders",
        "Addresses inside that sent to an out set in the last hour",
        labels=["set"],
    )
    for name, number in ctx.senders.numbers().items():
        senders.add_metric([name], number)
    for source_set in list(state.sets.values()):
        (hits,) = ctx.controller.datapath.hits([source_set.slot])
        words = (source_set.action.value, source_set.mode.value, "out" if source_set.out else "in")
        info.add_metric([source_set.name, *words], 1)
        entries.add_metric([source_set.name], count(state.entries.get(source_set.name, NOTHING)))
        packets.add_metric([source_set.name], hits.packets)
        octets.add_metric([source_set.name], hits.bytes)
        changed.add_metric([source_set.name], source_set.changed_at)
    yield from (info, entries, packets, octets, changed, spared, senders)


def _feeds(ctx: ControlPlane) -> Iterator[Metric]:
    failures = GaugeMetricFamily(
        "xdpctl_feed_failures", "Failed fetches since the last good one", labels=["set"]
    )
    good = GaugeMetricFamily(
        "xdpctl_feed_last_success_timestamp_seconds",
        "Time of the last good fetch, or of the list itself",
        labels=["set"],
    )
    for source_set in list(ctx.controller.state.sets.values()):
        if source_set.feed:
            tried = ctx.refresher.attempt(source_set)
            failures.add_metric([source_set.name], tried.failures)
            good.add_metric([source_set.name], tried.good_at)
    yield from (failures, good)
