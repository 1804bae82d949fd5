# SPDX-License-Identifier: GPL-2.0-or-later
"""Incidents that a person opens, and the rules that people add while one is open."""

from collections.abc import Callable, Iterable, Sequence

from xdpctl.abi.structs import Hits
from xdpctl.base.net.prefix import Prefix
from xdpctl.control.state.draft import Draft
from xdpctl.errors import ConflictError, NotFoundError
from xdpctl.incidents.ledger.attribution import (
    ReportedEvent,
    of_rule,
    tag_of,
)
from xdpctl.incidents.ledger.ledger import event_began, event_ended, find_or_open
from xdpctl.incidents.ledger.rule_notes import record_of
from xdpctl.model import tags
from xdpctl.model.event import Attack, Event, Phase
from xdpctl.model.identity import Caller, Role
from xdpctl.model.incident import NOTES_KEPT, RULES_KEPT, Incident, Note
from xdpctl.model.rule import OPERATOR, Rule

LASTS = 86_400.0  # seconds after which an incident that nobody closes ends automatically
HitsOf = Callable[[Rule], Hits]


def open_incident(
    draft: Draft, victim: Prefix, attack: Attack, note: str, caller: Caller, hits: HitsOf
) -> Incident:
    """Open an incident of a victim; ConflictError if one is open."""
    name = str(victim)
    for other in draft.incidents.values():
        if other.open and other.subject == name:
            raise ConflictError(
                f"the incident {other.id} of {name} is open",
                "victim",
                f"use it, or close it first: xdpctl incident close {other.id}",
            )
    reported = _reported(Phase.BEGAN, victim, attack, note)
    opened = find_or_open(draft, reported, hits)
    event_began(draft, opened, reported, ())
    draft.note(caller.name, "incident.open", opened.id, victim=name, attack=attack.value)
    return draft.incidents.get(opened.id) or opened


def close_incident(draft: Draft, identity: str, caller: Caller) -> Incident:
    """Close an incident that a person opened; its rules stay. NotFoundError or ConflictError."""
    incident = draft.incidents.get(identity)
    if incident is None:
        raise NotFoundError(f"there is no incident {identity}; see xdpctl incidents")
    if not incident.open:
        raise ConflictError(f"the incident {identity} is closed already", "id", "")
    mine = [tag for tag in incident.active if tag.startswith(_tag(""))]
    if not mine:
        raise ConflictError(
            f"the incident {identity} is still reported by {', '.join(incident.detectors)}",
            "id",
            "it closes when the detector reports the end, or when its rules have expired",
        )
    for tag in mine:
        ended = Event(phase=Phase.ENDED, id=tag)
        event_ended(draft, ReportedEvent(ended, OPERATOR, tag), ())
    closed = draft.incidents.get(identity) or incident
    if not closed.open:
        closed = draft.incidents[identity] = closed.replace(closed_by=f"closed by {caller.name}")
    draft.note(caller.name, "incident.close", identity)
    return closed


def add_note(draft: Draft, identity: str, text: str, caller: Caller) -> Incident:
    """Add a note to an incident. NotFoundError, or ConflictError if it has too many notes."""
    incident = draft.incidents.get(identity)
    if incident is None:
        raise NotFoundError(f"there is no incident {identity}; see xdpctl incidents")
    if len(incident.notes) >= NOTES_KEPT:
        raise ConflictError(f"{identity} has {NOTES_KEPT} notes, and no more are kept", "text", "")
    note = Note(draft.now.unix, caller.name, text)
    noted = draft.incidents[identity] = incident.replace(notes=(*incident.notes, note))
    draft.note(caller.name, "incident.note", identity, text=text)
    return noted


def remark(draft: Draft, identity: str, text: str, by: str) -> None:
    """Note in an incident what xdpctl itself did, in the name of `by`.

    If the incident is gone, or has too many notes, only the audit log has the note.
    """
    try:
        add_note(draft, identity, text, Caller(by, Role.OPERATOR, OPERATOR))
    except (NotFoundError, ConflictError):
        draft.note(by, "incident.note", identity, text=text)


def attach(draft: Draft, rules: Iterable[Rule], caller: Caller, hits: HitsOf) -> None:
    """Assign rules that a person has just added to an incident that a person opened.

    It is the incident whose victim is the rule's destination, else the newest one.
    """
    opened = [i for i in draft.incidents.values() if any(t.startswith(_tag("")) for t in i.active)]
    if caller.origin != OPERATOR or not opened:
        return
    belonging: dict[str, list[Rule]] = {}
    for rule in rules:
        if not of_rule(draft, rule):
            named = str(rule.match.get("destination"))
            incident = max(
                opened, key=lambda candidate: (candidate.subject == named, candidate.opened_at)
            )
            belonging.setdefault(incident.id, []).append(rule)
    for incident in opened:
        if mine := belonging.get(incident.id):
            _attach(draft, incident, mine, hits)


def _attach(draft: Draft, incident: Incident, rules: Sequence[Rule], hits: HitsOf) -> None:
    room, records = max(0, RULES_KEPT - len(incident.rules)), []
    for number, rule in enumerate(rules):
        tagged = rule.replace(tags=tags.of_incident(rule.tags, tag_of(incident)))
        draft.put(tagged)
        if number < room:
            records.append(record_of(tagged, draft.now.unix, hits(rule)))
    draft.incidents[incident.id] = incident.replace(
        updated_at=draft.now.unix,
        rules_made=incident.rules_made + len(rules),
        rules=(*incident.rules, *records),
    )


def _reported(phase: Phase, victim: Prefix, attack: Attack, note: str) -> ReportedEvent:
    tag = _tag(str(victim).replace("/", "_").replace(":", "."))
    event = Event(phase=phase, id=tag, victim=victim, attack=attack, note=note)
    return ReportedEvent(event, OPERATOR, tag, ttl=LASTS)


def _tag(name: str) -> str:
    return tags.event(f"by-hand-{name}", "")
