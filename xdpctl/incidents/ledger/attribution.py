# SPDX-License-Identifier: GPL-2.0-or-later
"""Which incident something belongs to: an event, or a rule. Reads a draft, changes nothing."""

from dataclasses import dataclass

from xdpctl.control.state.draft import Draft
from xdpctl.model import tags
from xdpctl.model.event import Event
from xdpctl.model.incident import Incident, RuleRecord
from xdpctl.model.rule import Rule
from xdpctl.model.signature import Signature

_REMEMBERED_SECONDS, _WORKED_PACKETS, _WORKED_KEPT = 86_400.0, 1_000, 8
RuleOrSignature = Rule | Signature


@dataclass(frozen=True, slots=True)
class ReportedEvent:
    """An event as it came: from whom, the tag of its rules, and how long they may stand.

    Another event on the same victim within `gap` seconds is of the same incident.
    """

    event: Event
    detector: str
    tag: str
    ttl: float = 0.0
    gap: float = 0.0


def tag_of(held: Incident) -> str:
    """The tag of its rules."""
    return tags.INCIDENT + held.id


def rules_that_worked(draft: Draft, reported: ReportedEvent) -> list[RuleRecord]:
    """What hit much on the same victim within a day, and has ended; the newest first.

    Nothing that a person has taken back since.
    """
    subject, since = subject_of(reported), draft.now.unix - _REMEMBERED_SECONDS
    alike = [i for i in draft.all_incidents() if i.subject == subject and i.updated_at >= since]
    ended = sorted(
        (one for i in alike for one in i.rules if one.ended_at), key=lambda d: d.ended_at
    )
    found: dict[str, RuleRecord] = {}
    for one in ended:
        if one.taken_back:
            found.pop(one.id, None)
        elif one.packets >= _WORKED_PACKETS:
            found[one.id] = one
    return sorted(found.values(), key=lambda one: -one.ended_at)[:_WORKED_KEPT]


def subject_of(reported: ReportedEvent) -> str:
    """What an incident of this event is about: the victim, or the sources that a detector names."""
    if reported.event.victim is not None and not reported.event.sources:
        return str(reported.event.victim)
    return f"sources named by {reported.detector}"


def of_rule(draft: Draft, rule: RuleOrSignature) -> Incident | None:
    """The incident of a rule, by its tag."""
    names = (tag.removeprefix(tags.INCIDENT) for tag in rule.tags if tag.startswith(tags.INCIDENT))
    named = map(draft.incident, names)
    return next((held for held in named if held), None)


def of_event(draft: Draft, tag: str) -> list[Incident]:
    """The incidents in which an event, or one of a group, goes on: of each victim."""
    going = (held for held in draft.all_incidents() if held.active)
    return [held for held in going if any(tags.ends(tag, one) for one in held.active)]


def going_on(draft: Draft, reported: ReportedEvent) -> Incident | None:
    """What goes on, or ended not long ago, about the same."""
    subject, since = subject_of(reported), draft.now.unix - reported.gap
    alike = [held for held in draft.all_incidents() if held.subject == subject]
    recent = [held for held in alike if held.open or held.closed_at > since]
    return max(recent, key=lambda held: held.opened_at, default=None)
