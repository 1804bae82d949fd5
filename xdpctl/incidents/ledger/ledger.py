# SPDX-License-Identifier: GPL-2.0-or-later
"""Opens, updates and closes incidents in a draft, from the events that detectors report."""

from collections.abc import Callable, Sequence

from xdpctl.abi.structs import Hits
from xdpctl.control.state.draft import Draft
from xdpctl.incidents.ledger.attribution import (
    ReportedEvent,
    going_on,
    of_event,
    of_rule,
    subject_of,
    tag_of,
)
from xdpctl.incidents.ledger.rule_notes import record_of, rule_ended
from xdpctl.model import tags
from xdpctl.model.event import Event, Phase, plain
from xdpctl.model.incident import (
    ACTIVE_KEPT,
    EVENTS_KEPT,
    FINDINGS_KEPT,
    RULES_KEPT,
    SOURCES_KEPT,
    Incident,
    RuleFinding,
    TimelineEntry,
    first,
    name,
)
from xdpctl.model.rule import Rule, automatic

INCIDENTS_MAX, OF_DETECTOR_MAX = 1_000, 500
_ENDED, _MANY = "the detector ended it", "more"
Made = tuple[Rule, Hits]  # a rule, and what it has hit so far


def find_or_open(draft: Draft, reported: ReportedEvent, hits: Callable[[Rule], Hits]) -> Incident:
    """The incident of an active event, or a new one; event_began stores it."""
    return going_on(draft, reported) or _opened(draft, reported, hits)


def taken_back(incident: Incident, event: Event) -> bool:
    """Whether an operator removed the rule of this event's match in the course of the incident."""
    named = event.match.id if event.match else None
    return any(record.id == named and record.taken_back for record in incident.rules)


def adopt_rule(
    draft: Draft, incident: Incident, rule: Rule, hits: Callable[[Rule], Hits]
) -> Made | None:
    """Assign a detector's rule to this incident, if it has none or its incident is closed.

    Returns the rule with its new tags and its hits so far, which do not count for this incident;
    None if the rule is not assigned.
    """
    former = of_rule(draft, rule)
    elsewhere = former is not None and (former.id == incident.id or former.open)
    if elsewhere or not (automatic(rule) and tags.of_event(rule.tags)):
        return None
    so_far = hits(rule)
    rule_ended(draft, rule, so_far, f"it continues in {incident.id}")
    return rule.replace(tags=tags.of_incident(rule.tags, tag_of(incident))), so_far


def event_began(
    draft: Draft, incident: Incident, reported: ReportedEvent, made: Sequence[Made]
) -> None:
    """Note an active event, with the rules made for it or adopted from an earlier incident."""
    event, now = reported.event, draft.now.unix
    fresh = [record_of(rule, now, hits) for rule, hits in made]
    rested = incident.findings
    if event.finding is not None and event.match is not None:
        rule = event.match.id
        last = next((earlier.finding for earlier in reversed(rested) if earlier.rule == rule), None)
        if last != event.finding:
            finding = RuleFinding(rule, now, reported.detector, event.finding)
            rested = (*rested, finding)[:FINDINGS_KEPT]
    named = () if reported.tag in incident.active else tuple(map(str, event.sources))
    draft.incidents[incident.id] = _with_entry(draft, incident, reported, len(made)).replace(
        closed_at=0.0,
        closed_by="",
        ends_at=max(incident.ends_at, now + reported.ttl),
        active=_active_with(incident.active, reported.tag),
        rules_made=incident.rules_made + len(fresh),
        rules=(*incident.rules, *fresh)[:RULES_KEPT],
        findings=rested,
        sources_named=incident.sources_named + len(named),
        sources=first(incident.sources, named, SOURCES_KEPT),
    )


def event_ended(draft: Draft, reported: ReportedEvent, gone: Sequence[Made]) -> list[Incident]:
    """Note that an event ended, and its rules with it; return the incidents.

    An incident closes with the last of its events.
    """
    for rule, hits in gone:
        rule_ended(draft, rule, hits, _ENDED)
    first_of_gone = next((of_rule(draft, rule) for rule, _ in gone), None)
    affected = of_event(draft, reported.tag) or ([first_of_gone] if first_of_gone else [])
    return [_without(draft, incident, reported, len(gone)) for incident in affected]


def _without(draft: Draft, incident: Incident, reported: ReportedEvent, gone: int) -> Incident:
    """Store and return the incident without an event that has ended."""
    left = tuple(tag for tag in incident.active if not tags.ends(reported.tag, tag))
    incident = _with_entry(draft, incident, reported, gone).replace(active=left)
    if not left and incident.open:
        incident = incident.replace(closed_at=draft.now.unix, closed_by=_ENDED)
    draft.incidents[incident.id] = incident
    return incident


def _active_with(active: tuple[str, ...], tag: str) -> tuple[str, ...]:
    """The active events with `tag` added; beyond a maximum, with a marker that no event ends.

    With the marker, the incident goes on until its rules have expired.
    """
    if tag in active or _MANY in active:
        return active
    return (*active, tag if len(active) < ACTIVE_KEPT else _MANY)


def _opened(draft: Draft, reported: ReportedEvent, hits: Callable[[Rule], Hits]) -> Incident:
    everything = draft.incidents.values()
    detectors = [incident for incident in everything if reported.detector in incident.detectors]
    candidates = detectors if len(detectors) >= OF_DETECTOR_MAX else everything
    if len(detectors) >= OF_DETECTOR_MAX or len(everything) >= INCIDENTS_MAX:
        least = min(candidates, key=lambda incident: _worth(draft, incident, hits))
        draft.incidents[least.id] = None
    subject, now = subject_of(reported), draft.now.unix
    taken = frozenset(incident.id for incident in everything)
    identity, error = name(subject, now, taken), draft.now.error
    return Incident(identity, subject, now, now, now + reported.ttl, clock_error=error)


def _worth(
    draft: Draft, incident: Incident, hits: Callable[[Rule], Hits]
) -> tuple[int, bool, float]:
    """The sort key for discarding incidents. The packets that their rules have hit come first.

    A detector can invent victims, but not packets to them.
    """
    ids = [record.id for record in incident.rules]
    rules = [draft.find(identity) for identity in ids]
    packets = incident.packets + sum(hits(rule).packets for rule in rules if rule)
    return packets, incident.open, incident.opened_at


def _with_entry(draft: Draft, incident: Incident, reported: ReportedEvent, done: int) -> Incident:
    event = reported.event
    entry = TimelineEntry(
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
    return incident.replace(
        updated_at=draft.now.unix,
        detectors=first(incident.detectors, (reported.detector,), ACTIVE_KEPT),
        attacks=first(incident.attacks, attacks, ACTIVE_KEPT),
        peak_pps=max(incident.peak_pps, event.pps),
        peak_bps=max(incident.peak_bps, event.bps),
        events_told=incident.events_told + 1,
        events=(*incident.events, entry)[:EVENTS_KEPT],
    )
