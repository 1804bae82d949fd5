# SPDX-License-Identifier: GPL-2.0-or-later
"""Finds the changes between two snapshots about which people are notified. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from xdpctl.base.durations import show_duration
from xdpctl.base.units import si
from xdpctl.mitigation.outcome import Outcome
from xdpctl.model.incident import Incident
from xdpctl.notify.settings import Kind

_LOUDER = 2.0  # times the peak of the last notification


@dataclass(frozen=True, slots=True)
class News:
    """One notification. The same `key` is not sent twice within an hour.

    `files` are attached: the name and content of each.
    """

    kind: Kind
    key: str
    title: str
    text: str
    files: tuple[tuple[str, bytes], ...] = ()


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
        text = f"{first['what']}: {first['why']}. {first['fix']}\nxdpctl audit log"
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
        yield News(Kind.TROUBLE, "\n".join(fresh), "xdpctl degraded", "\n".join(now.problems))
    elif before.problems and not now.problems:
        yield News(Kind.TROUBLE, "box is well", "xdpctl recovered", "no open problems")


def last_told(before: Snapshot, now: Snapshot) -> Snapshot:
    """The snapshot for the next comparison: each incident as of its last notification."""

    def as_notified(incident: Incident) -> Incident:
        old = before.incidents.get(incident.id)
        return incident if old is None or any(_of_incident(old, incident)) else old

    return Snapshot(
        {incident.id: as_notified(incident) for incident in now.incidents.values()}, now.problems
    )


def _of_incident(before: Incident | None, incident: Incident) -> Iterator[News]:
    attack = ", ".join(incident.attacks) or "an attack"
    if incident.open and (before is None or not before.open):
        yield News(
            Kind.OPENED, f"{incident.id} opened", f"{incident.subject}: {attack}", _facts(incident)
        )
    elif before is not None and incident.open and _worse(before, incident):
        title = f"{incident.subject}: the attack grows, {attack}"
        key = f"{incident.id} {attack} {incident.rules_raised} {incident.peak_pps:g}"
        yield News(Kind.ESCALATED, key, title, _facts(incident))
    elif before is not None and incident.rules_softened > before.rules_softened:
        title = f"{incident.subject}: a rule hit people, and lets them through now"
        key = f"{incident.id} softened {incident.rules_softened}"
        yield News(Kind.ESCALATED, key, title, _facts(incident))
    elif before is not None and before.open and not incident.open:
        yield News(
            Kind.CLOSED, f"{incident.id} closed", f"{incident.subject}: over", _facts(incident)
        )


def _worse(before: Incident, incident: Incident) -> bool:
    louder = before.peak_pps and incident.peak_pps >= _LOUDER * before.peak_pps
    more = (
        len(incident.attacks) > len(before.attacks) or incident.rules_raised > before.rules_raised
    )
    return bool(louder) or more


def _facts(incident: Incident) -> str:
    lines = [
        f"Incident {incident.id}, reported by {', '.join(incident.detectors)}",
        f"Reported peak: {si(incident.peak_pps)} packets/s, {si(incident.peak_bps)}bit/s",
        f"{incident.rules_made:,} rules added, {incident.rules_ended:,} ended",
    ]
    if not incident.open:
        lasted = show_duration(incident.closed_at - incident.opened_at)
        hit = f"{si(incident.packets)} packets, {si(incident.bytes)}B"
        lines += [f"It lasted {lasted}, the rules hit {hit}; {incident.closed_by}"]
    return "\n".join([*lines, f"xdpctl incident show {incident.id}"])
