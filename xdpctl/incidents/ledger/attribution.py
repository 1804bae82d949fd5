# SPDX-License-Identifier: GPL-2.0-or-later
"""Finds the incident of an event or a rule, and the slots of an incident's rules in the kernel."""

from dataclasses import dataclass

from xdpctl.control.rule_hits import slot_of
from xdpctl.control.state.draft import Draft
from xdpctl.control.state.state import State
from xdpctl.model import tags
from xdpctl.model.event import Event
from xdpctl.model.incident import Incident, RuleRecord
from xdpctl.model.match.match import key_named
from xdpctl.model.rule import Rule

_REMEMBERED_SECONDS, _WORKED_PACKETS, _WORKED_KEPT = 86_400.0, 1_000, 8


@dataclass(frozen=True, slots=True)
class ReportedEvent:
    """An event with its detector, the tag of its rules, and their lifetime `ttl` in seconds.

    Another event on the same victim within `gap` seconds belongs to the same incident.
    """

    event: Event
    detector: str
    tag: str
    ttl: float = 0.0
    gap: float = 0.0


def tag_of(incident: Incident) -> str:
    """The tag of an incident's rules."""
    return tags.INCIDENT + incident.id


def rules_that_worked(draft: Draft, reported: ReportedEvent) -> list[RuleRecord]:
    """Rules for the same victim that ended within a day and hit many packets, newest first.

    Rules that an operator has removed since are left out.
    """
    subject, since = subject_of(reported), draft.now.unix - _REMEMBERED_SECONDS
    alike = [i for i in draft.incidents.values() if i.subject == subject and i.updated_at >= since]
    ended = sorted(
        (rule for i in alike for rule in i.rules if rule.ended_at), key=lambda rule: rule.ended_at
    )
    worked: dict[str, RuleRecord] = {}
    for rule in ended:
        if rule.taken_back:
            worked.pop(rule.id, None)
        elif rule.packets >= _WORKED_PACKETS:
            worked[rule.id] = rule
    return sorted(worked.values(), key=lambda rule: -rule.ended_at)[:_WORKED_KEPT]


def subject_of(reported: ReportedEvent) -> str:
    """The subject of an incident of this event: the victim, or the sources named by a detector."""
    if reported.event.victim is not None and not reported.event.sources:
        return str(reported.event.victim)
    return f"sources named by {reported.detector}"


def of_rule(draft: Draft, rule: Rule) -> Incident | None:
    """The incident of a rule, by its tag; None if there is none."""
    names = (tag.removeprefix(tags.INCIDENT) for tag in rule.tags if tag.startswith(tags.INCIDENT))
    named = map(draft.incidents.get, names)
    return next((incident for incident in named if incident), None)


def of_event(draft: Draft, tag: str) -> list[Incident]:
    """The incidents in which the event with this tag, or an event of this group, is active."""
    going = (incident for incident in draft.incidents.values() if incident.active)
    return [
        incident for incident in going if any(tags.ends(tag, other) for other in incident.active)
    ]


def going_on(draft: Draft, reported: ReportedEvent) -> Incident | None:
    """The newest incident of the same subject that is open, or closed within `gap` seconds."""
    subject, since = subject_of(reported), draft.now.unix - reported.gap
    alike = [incident for incident in draft.incidents.values() if incident.subject == subject]
    recent = [incident for incident in alike if incident.open or incident.closed_at > since]
    return max(recent, key=lambda incident: incident.opened_at, default=None)


def slots(state: State, incident: Incident) -> dict[int, str]:
    """The ids of an incident's rules by their slots in the kernel."""
    ids = {}
    for record in incident.rules:
        if record.ended_at:
            continue
        rule = state.record(key_named(record.id))
        slot = slot_of(state, rule) if rule else 0
        if slot:
            ids[slot] = record.id
    return ids
