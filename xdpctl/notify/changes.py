# SPDX-License-Identifier: GPL-2.0-or-later
"""Finds the changes between two snapshots about which people are notified. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from xdpctl.base.durations import show_duration
from xdpctl.base.units import si
from xdpctl.mitigation.outcome import Outcome
from xdpctl.model.incident import Incident
from xdpctl.model.tags import INCIDENT
from xdpctl.notify.settings import Kind

_LOUDER = 2.0  # times the peak of the last notification
_RULES = 3  # that are told, the newest ones
WELL = "box is well"  # the key of the end of all problems


class Severity(StrEnum):
    """How bad it is, by Apprise's names."""

    INFO = "info"
    SUCCESS = "success"
    WARNING = "warning"
    FAILURE = "failure"


_SEVERITIES = {
    Kind.OPENED: Severity.WARNING,
    Kind.ESCALATED: Severity.FAILURE,
    Kind.CLOSED: Severity.SUCCESS,
    Kind.REFUSED: Severity.INFO,
    Kind.TROUBLE: Severity.FAILURE,
    Kind.ABUSE: Severity.INFO,
}


@dataclass(frozen=True, slots=True)
class News:
    """One notification. The same `key` is not sent twice within an hour.

    `files` are attached: the name and content of each. `over`: a trouble has ended. One that
    `lasts` is sent once until it is over, by the same key. A test has no kind.
    """

    kind: Kind | None
    key: str
    title: str
    text: str
    files: tuple[tuple[str, bytes], ...] = ()
    incident: Incident | None = None
    over: bool = False
    lasts: bool = False
    level: Severity | None = None  # that of its kind

    @property
    def severity(self) -> Severity:
        if self.kind is None or self.level:
            return self.level or Severity.INFO
        return Severity.SUCCESS if self.over else _SEVERITIES[self.kind]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The state of the host: incidents by id, and problems that affect readiness."""

    incidents: Mapping[str, Incident]
    problems: tuple[str, ...] = ()


def refusals(detector: str, outcome: Outcome) -> Iterator[News]:
    """Notifications of a detector's requests that were refused, or are only monitored."""
    if outcome.refused:
        first = outcome.refused[0]
        title = f"{detector}: refused {len(outcome.refused):,} of its requests"
        text = f"{first['what']}: {first['why']}. {first['fix']}\nxdpctl audit"
        yield News(Kind.REFUSED, f"{detector} refused", title, text)
    for item in outcome.watched:
        title = f"{detector}: only monitored, {item['why']}"
        text = f"xdpctl list --origin {detector}; xdpctl mode ID enforce to enforce one anyway"
        yield News(Kind.REFUSED, f"{detector} {item['event']} watched", title, text)


def news(before: Snapshot, now: Snapshot) -> Iterator[News]:
    """Notifications of the changes between two snapshots."""
    for incident in now.incidents.values():
        yield from _of_incident(before.incidents.get(incident.id), incident)
    fresh = [item for item in now.problems if item not in before.problems]
    if fresh:
        title = f"degraded: {fresh[0]}"
        yield News(Kind.TROUBLE, "\n".join(fresh), title, "\n".join(now.problems))
    elif before.problems and not now.problems:
        yield News(Kind.TROUBLE, WELL, "recovered", "no open problems", over=True)


def last_told(before: Snapshot, now: Snapshot) -> Snapshot:
    """The snapshot for the next comparison: each incident as of its last notification."""

    def as_notified(incident: Incident) -> Incident:
        old = before.incidents.get(incident.id)
        return incident if old is None or any(_of_incident(old, incident)) else old

    return Snapshot(
        {incident.id: as_notified(incident) for incident in now.incidents.values()}, now.problems
    )


def _of_incident(before: Incident | None, incident: Incident) -> Iterator[News]:
    attack = incident.words
    rate = f", {si(incident.peak_pps)} packets/s" if incident.peak_pps else ""

    def told(kind: Kind, key: str, title: str) -> News:
        return News(kind, f"{incident.id} {key}", title, _facts(incident), incident=incident)

    if incident.open and (before is None or not before.open):
        again, ended = (" again", before.closed_at) if before else ("", 0.0)
        yield told(Kind.OPENED, f"opened {ended}", f"{attack} began{again}{rate}")
    elif before is not None and incident.open and _worse(before, incident):
        key = f"{attack} {incident.rules_raised} {incident.peak_pps:g}"
        yield told(Kind.ESCALATED, key, f"{attack} grows{rate}")
    elif before is not None and incident.rules_softened > before.rules_softened:
        title = f"{attack}: a rule hit people, and lets them through now"
        yield told(Kind.ESCALATED, f"softened {incident.rules_softened}", title)
    elif before is not None and before.open and not incident.open:
        lasted = show_duration(incident.closed_at - incident.opened_at)
        yield told(Kind.CLOSED, f"closed {incident.closed_at}", f"{attack} is over after {lasted}")


def _worse(before: Incident, incident: Incident) -> bool:
    louder = before.peak_pps and incident.peak_pps >= _LOUDER * before.peak_pps
    more = (
        len(incident.attacks) > len(before.attacks) or incident.rules_raised > before.rules_raised
    )
    return bool(louder) or more


def _facts(incident: Incident) -> str:
    """What is known, what was done, whom it cost, and how to look at it or to undo it."""
    lines = [
        f"Incident {incident.id}, reported by {', '.join(incident.detectors)}",
        f"Reported peak: {si(incident.peak_pps)} packets/s, {si(incident.peak_bps)}bit/s",
        f"{incident.rules_made:,} rules added, {incident.rules_ended:,} ended",
    ]
    standing = [rule for rule in incident.rules if not rule.ended_at][-_RULES:]
    lines += [f"- in force: {rule.action} {rule.what}, {rule.mode}" for rule in standing]
    if incident.rules_ended:
        hit = f"{si(incident.packets)} packets, {si(incident.bytes)}B"
        lines.append(f"Rules that have ended hit {hit}")
    if not incident.open:
        lines.append(f"Ended: {incident.closed_by}")
    whom = dict.fromkeys(rule.collateral for rule in incident.rules if rule.collateral)
    lines.append(f"People among what they hit: {'; '.join(list(whom)[:_RULES]) or 'not measured'}")
    if incident.rules_made > incident.rules_ended:
        lines.append(f"To end its rules: xdpctl unblock --tag {INCIDENT}{incident.id}")
    return "\n".join([*lines, f"xdpctl incident show {incident.id}"])
