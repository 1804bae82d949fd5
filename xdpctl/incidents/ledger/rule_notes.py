# SPDX-License-Identifier: GPL-2.0-or-later
"""Notes in an incident that its rules ended, changed or moved, and closes quiet incidents."""

from msgspec import structs

from xdpctl.abi.structs import Hits
from xdpctl.control.state.draft import Draft
from xdpctl.incidents.ledger.attribution import (
    of_rule,
)
from xdpctl.model.effect import Mode
from xdpctl.model.incident import (
    EVENTS_KEPT,
    RuleRecord,
    TimelineEntry,
)
from xdpctl.model.rule import Rule


def rule_ended(draft: Draft, rule: Rule, hits: Hits, why: str, taken_back: bool = False) -> None:
    """Note in the incident's record that a rule has ended, and what it hit."""
    incident = of_rule(draft, rule)
    if incident is None:
        return
    now, rules = draft.now.unix, list(incident.rules)
    whom = draft.state.collateral.get(rule.id)
    for place, record in enumerate(rules):
        if record.id == rule.id and not record.ended_at:
            hits = record.since(hits)
            ended = _ended(record, hits, now, why, taken_back)
            rules[place] = structs.replace(ended, collateral=str(whom) if whom else "")
    draft.incidents[incident.id] = incident.replace(
        rules=tuple(rules),
        rules_ended=incident.rules_ended + 1,
        packets=incident.packets + hits.packets,
        bytes=incident.bytes + hits.bytes,
        updated_at=now,
    )


def rule_changed(draft: Draft, rule: Rule, phase: str, why: str) -> None:
    """Note in the incident's record that xdpctl changed a rule.

    The phase is `raised` if it left monitor mode or became a drop, `softened` if it hit people.
    """
    incident = of_rule(draft, rule)
    if incident is None:
        return
    entry = TimelineEntry(
        at=draft.now.unix,
        monotonic=draft.now.ns / 1e9,
        detector="xdpctl",
        phase=phase,
        event=rule.id,
        attack=rule.action.value,
        note=why,
        done=1,
    )
    draft.incidents[incident.id] = incident.replace(
        updated_at=draft.now.unix,
        rules_raised=incident.rules_raised + (phase == "raised"),
        rules_softened=incident.rules_softened + (phase == "softened"),
        rules=tuple(_as_now(record, rule, phase) for record in incident.rules),
        events_told=incident.events_told + 1,  # `events` keeps only the first ones
        events=(*incident.events, entry)[:EVENTS_KEPT],
    )


def rule_moved(draft: Draft, before: Rule, after: Rule, hits: Hits) -> None:
    """Count a rule's hits so far for its incident, if it has a new counter in the kernel.

    It has one if a change moved it between the table of sources and the matches.
    """
    incident = of_rule(draft, after)
    if incident is None or (before.by_source is None) is (after.by_source is None):
        return
    rules = tuple(
        structs.replace(
            record,
            before_packets=record.before_packets - hits.packets,
            before_bytes=record.before_bytes - hits.bytes,
        )
        if record.id == after.id and not record.ended_at
        else record
        for record in incident.rules
    )
    draft.incidents[incident.id] = incident.replace(rules=rules)


def rule_edited(draft: Draft, before: Rule, after: Rule, hits: Hits) -> None:
    """Note what a rule does since somebody changed it, and what it had hit until then.

    `hits` are all of the rule so far. What it counts in monitor mode is no hit of the incident.
    """
    rule_moved(draft, before, after, hits)
    incident = of_rule(draft, after)
    records = incident.rules if incident else ()
    record = next((r for r in records if r.id == after.id and not r.ended_at), None)
    if incident is None or record is None:
        return
    changed, kept_out = _doing(record, after), Hits(0, 0)
    moved = (before.by_source is None) is not (after.by_source is None)
    if before.mode is not after.mode and not moved:
        changed = structs.replace(changed, before_packets=hits.packets, before_bytes=hits.bytes)
        kept_out = record.since(hits) if before.mode is Mode.ENFORCE else kept_out
    if after.mode is Mode.ENFORCE and before.mode is Mode.MONITOR:
        changed = structs.replace(changed, at=draft.now.unix)
    draft.incidents[incident.id] = incident.replace(
        updated_at=draft.now.unix,
        rules=tuple(changed if r is record else r for r in incident.rules),
        packets=incident.packets + kept_out.packets,
        bytes=incident.bytes + kept_out.bytes,
    )


def _as_now(record: RuleRecord, rule: Rule, phase: str) -> RuleRecord:
    """The record of a rule, with what it does now if it was softened or raised."""
    if phase not in ("softened", "raised") or record.id != rule.id or record.ended_at:
        return record
    return _doing(record, rule)


def _doing(record: RuleRecord, rule: Rule) -> RuleRecord:
    """The record with what the rule does now."""
    now = {"action": rule.action.value, "mode": rule.mode.value, "limit": rule.limit}
    return structs.replace(record, **now)


def record_of(rule: Rule, now: float, before: Hits) -> RuleRecord:
    """The record of a rule that joins an incident now; `before` is what it had hit before."""
    return RuleRecord(
        id=rule.id,
        what=rule.subject,
        action=rule.action.value,
        mode=rule.mode.value,
        at=now,
        limit=rule.limit,
        before_packets=before.packets,
        before_bytes=before.bytes,
    )


def _ended(record: RuleRecord, hits: Hits, now: float, why: str, taken_back: bool) -> RuleRecord:
    counts = {"packets": hits.packets, "bytes": hits.bytes}
    return structs.replace(record, ended_at=now, why=why, taken_back=taken_back, **counts)


def close_quiet(draft: Draft) -> None:
    """Close the open incidents whose last rule has expired without a further report."""
    now = draft.now.unix
    for incident in draft.incidents.values():
        if incident.open and incident.ends_at <= now:
            quiet = {"closed_at": now, "closed_by": "nothing more was reported", "active": ()}
            draft.incidents[incident.id] = incident.replace(updated_at=now, **quiet)
