# SPDX-License-Identifier: GPL-2.0-or-later
"""Keeps the incidents of a draft: opened, updated and closed with what detectors say."""

from collections.abc import Callable, Sequence

from msgspec import structs

from xdpctl.abi.structs import Hits
from xdpctl.control.state.draft import Draft
from xdpctl.incidents.ledger.attribution import (
    ReportedEvent,
    RuleOrSignature,
    going_on,
    of_event,
    of_rule,
    subject_of,
    tag_of,
)
from xdpctl.model import tags
from xdpctl.model.event import Phase, plain
from xdpctl.model.incident import (
    ACTIVE_KEPT,
    EVENTS_KEPT,
    RULES_KEPT,
    SOURCES_KEPT,
    Incident,
    RuleRecord,
    TimelineEntry,
    first,
    name,
)
from xdpctl.model.match.match import ID_MARK
from xdpctl.model.rule import parse_rule_id
from xdpctl.model.signature import Signature, automatic

INCIDENTS_MAX, OF_DETECTOR_MAX = 1_000, 500
_ENDED, _MANY = "the detector ended it", "more"
Made = tuple[RuleOrSignature, Hits]  # and what it has hit so far


def find_or_open(
    draft: Draft, reported: ReportedEvent, hits: Callable[[RuleOrSignature], Hits]
) -> Incident:
    """The incident that an event which is on belongs to, or a new one; see event_began."""
    return going_on(draft, reported) or _opened(draft, reported, hits)


def adopt_rule(
    draft: Draft, held: Incident, rule: RuleOrSignature, hits: Callable[[RuleOrSignature], Hits]
) -> Made | None:
    """A rule of an incident that is over, or of none, is of this one from now on; else None.

    What it has hit so far is not of this one.
    """
    former = of_rule(draft, rule)
    elsewhere = former is not None and (former.id == held.id or former.open)
    if elsewhere or not (automatic(rule) and tags.of_event(rule.tags)):
        return None
    so_far = hits(rule)
    rule_ended(draft, rule, so_far, f"it went on in {held.id}")
    return rule.replace(tags=tags.of_incident(rule.tags, tag_of(held))), so_far


def event_began(
    draft: Draft, held: Incident, reported: ReportedEvent, made: Sequence[Made]
) -> None:
    """Note an event that is on, with the rules that are new for it or come from an earlier one."""
    event, now = reported.event, draft.now.unix
    fresh = [_record_of(rule, now, hits) for rule, hits in made]
    named = () if reported.tag in held.active else tuple(map(str, event.sources))
    draft.incidents[held.id] = _told(draft, held, reported, len(made)).replace(
        closed_at=0.0,
        closed_by="",
        ends_at=max(held.ends_at, now + reported.ttl),
        active=_active_with(held.active, reported.tag),
        rules_made=held.rules_made + len(fresh),
        rules=(*held.rules, *fresh)[:RULES_KEPT],
        sources_named=held.sources_named + len(named),
        sources=first(held.sources, named, SOURCES_KEPT),
    )


def event_ended(draft: Draft, reported: ReportedEvent, gone: Sequence[Made]) -> list[Incident]:
    """Note an end, and of what; an incident closes with the last of its events."""
    for rule, hits in gone:
        rule_ended(draft, rule, hits, _ENDED)
    first_of_gone = next((of_rule(draft, rule) for rule, _ in gone), None)
    held = of_event(draft, reported.tag) or [one for one in (first_of_gone,) if one]
    return [_without(draft, one, reported, len(gone)) for one in held]


def _without(draft: Draft, held: Incident, reported: ReportedEvent, gone: int) -> Incident:
    """The incident, in which an event goes on no longer."""
    left = tuple(one for one in held.active if not tags.ends(reported.tag, one))
    held = _told(draft, held, reported, gone).replace(active=left)
    if not left and held.open:
        held = held.replace(closed_at=draft.now.unix, closed_by=_ENDED)
    draft.incidents[held.id] = held
    return held


def _active_with(active: tuple[str, ...], tag: str) -> tuple[str, ...]:
    """Once there are too many to keep, the incident goes on until its rules have run out."""
    if tag in active or _MANY in active:
        return active
    return (*active, tag if len(active) < ACTIVE_KEPT else _MANY)


def rule_ended(
    draft: Draft, rule: RuleOrSignature, hits: Hits, why: str, taken_back: bool = False
) -> None:
    """A rule of an incident has ended: what it hit belongs to the record."""
    held = of_rule(draft, rule)
    if held is None:
        return
    now, rules = draft.now.unix, list(held.rules)
    for place, one in enumerate(rules):
        if one.id == rule.id and not one.ended_at:
            hits = one.since(hits)
            rules[place] = _ended(one, hits, now, why, taken_back)
    draft.incidents[held.id] = held.replace(
        rules=tuple(rules),
        rules_ended=held.rules_ended + 1,
        packets=held.packets + hits.packets,
        bytes=held.bytes + hits.bytes,
        updated_at=now,
    )


def rule_raised(draft: Draft, rule: Signature, why: str) -> None:
    """A rule of an incident went on to the next step of its ladder."""
    held = of_rule(draft, rule)
    if held is None:
        return
    told = TimelineEntry(
        at=draft.now.unix,
        monotonic=draft.now.ns / 1e9,
        detector="xdpctl",
        phase="raised",
        event=rule.id,
        attack=rule.action.value,
        note=why,
        done=1,
    )
    draft.incidents[held.id] = held.replace(
        updated_at=draft.now.unix,
        rules_raised=held.rules_raised + 1,
        events_told=held.events_told + 1,  # of which `events` keeps the first
        events=(*held.events, told)[:EVENTS_KEPT],
    )


def close_quiet(draft: Draft) -> None:
    """Those whose last rule has run out while nobody reported anything more."""
    now = draft.now.unix
    for held in draft.all_incidents():
        if held.open and held.ends_at <= now:
            quiet = {"closed_at": now, "closed_by": "nothing more was reported", "active": ()}
            draft.incidents[held.id] = held.replace(updated_at=now, **quiet)


def _opened(
    draft: Draft, reported: ReportedEvent, hits: Callable[[RuleOrSignature], Hits]
) -> Incident:
    everything = draft.all_incidents()
    own = [held for held in everything if reported.detector in held.detectors]
    crowd = own if len(own) >= OF_DETECTOR_MAX else everything
    if len(own) >= OF_DETECTOR_MAX or len(everything) >= INCIDENTS_MAX:
        least = min(crowd, key=lambda held: _worth(draft, held, hits))
        draft.incidents[least.id] = None
    subject, now = subject_of(reported), draft.now.unix
    taken = frozenset(held.id for held in everything)
    identity, error = name(subject, now, taken), draft.now.error
    return Incident(identity, subject, now, now, now + reported.ttl, clock_error=error)


def _worth(
    draft: Draft, held: Incident, hits: Callable[[RuleOrSignature], Hits]
) -> tuple[int, bool, float]:
    """By what its rules have hit: a detector can make up victims, and no packets to them."""
    standing = (draft.signature(one.id) for one in held.rules if one.id.startswith(ID_MARK))
    sources = (one.id for one in held.rules if not one.id.startswith(ID_MARK))
    rules = [*standing, *map(draft.standing, map(parse_rule_id, sources))]
    packets = held.packets + sum(hits(rule).packets for rule in rules if rule)
    return packets, held.open, held.opened_at


def _told(draft: Draft, held: Incident, reported: ReportedEvent, done: int) -> Incident:
    event = reported.event
    told = TimelineEntry(
        at=draft.now.unix,
        monotonic=draft.now.ns / 1e9,
        detector=reported.detector,
        phase=event.phase.value,
        event=plain(event.id),
        attack=event.attack.value,
        pps=event.pps,
        bps=event.bps,
        note=event.note,
        done=done,
    )
    attacks = () if event.phase is Phase.ENDED else (event.attack.value,)
    return held.replace(
        updated_at=draft.now.unix,
        detectors=first(held.detectors, (reported.detector,), ACTIVE_KEPT),
        attacks=first(held.attacks, attacks, ACTIVE_KEPT),
        peak_pps=max(held.peak_pps, event.pps),
        peak_bps=max(held.peak_bps, event.bps),
        events_told=held.events_told + 1,
        events=(*held.events, told)[:EVENTS_KEPT],
    )


def _record_of(rule: RuleOrSignature, now: float, before: Hits) -> RuleRecord:
    limit = rule.limit if isinstance(rule, Signature) else None
    told = rule.id, rule.subject, rule.action.value, rule.mode.value
    return RuleRecord(
        *told, now, limit=limit, before_packets=before.packets, before_bytes=before.bytes
    )


def _ended(one: RuleRecord, hits: Hits, now: float, why: str, taken_back: bool) -> RuleRecord:
    hit = {"packets": hits.packets, "bytes": hits.bytes}
    return structs.replace(one, ended_at=now, why=why, taken_back=taken_back, **hit)
