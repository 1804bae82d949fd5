# SPDX-License-Identifier: GPL-2.0-or-later
"""What changed between two looks that somebody should hear of. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from xdpctl.base.durations import show_duration
from xdpctl.base.units import si
from xdpctl.mitigation.outcome import Outcome
from xdpctl.model.incident import Incident
from xdpctl.notify.settings import Kind

_LOUDER = 2.0  # times the peak that was told before


@dataclass(frozen=True, slots=True)
class News:
    """`key` names what it is about: the same is not told twice in a while."""

    kind: Kind
    key: str
    title: str
    text: str


@dataclass(frozen=True, slots=True)
class Snapshot:
    """How it stands: incidents by id, and what keeps the box from its work."""

    incidents: Mapping[str, Incident]
    problems: tuple[str, ...] = ()


def refusals(detector: str, outcome: Outcome) -> Iterator[News]:
    """A detector that asks for what it may not have: somebody should look."""
    if outcome.refused:
        first = outcome.refused[0]
        title = f"{detector} was refused {len(outcome.refused):,} of what it asked for"
        text = f"{first['what']}: {first['why']}. {first['fix']}\nxdpctl audit log"
        yield News(Kind.REFUSED, f"{detector} refused", title, text)
    for one in outcome.watched:
        title = f"{detector}: only watched, {one['why']}"
        text = f"xdpctl list --origin {detector}; xdpctl promote ID drops it all the same"
        yield News(Kind.REFUSED, f"{detector} {one['event']} watched", title, text)


def news(before: Snapshot, now: Snapshot) -> Iterator[News]:
    """What is to be told of the changes between two snapshots."""
    for held in now.incidents.values():
        yield from _of_incident(before.incidents.get(held.id), held)
    fresh = [one for one in now.problems if one not in before.problems]
    if fresh:
        yield News(Kind.TROUBLE, "\n".join(fresh), "xdpctl degraded", "\n".join(now.problems))
    elif before.problems and not now.problems:
        yield News(Kind.TROUBLE, "box is well", "xdpctl recovered", "no open problems")


def last_told(before: Snapshot, now: Snapshot) -> Snapshot:
    """What the next look is to be compared with: of an incident, how it was when it was told of."""

    def told(held: Incident) -> Incident:
        old = before.incidents.get(held.id)
        return held if old is None or any(_of_incident(old, held)) else old

    return Snapshot({held.id: told(held) for held in now.incidents.values()}, now.problems)


def _of_incident(before: Incident | None, held: Incident) -> Iterator[News]:
    attack = ", ".join(held.attacks) or "an attack"
    if held.open and (before is None or not before.open):
        yield News(Kind.OPENED, f"{held.id} opened", f"{held.subject}: {attack}", _facts(held))
    elif before is not None and held.open and _worse(before, held):
        title = f"{held.subject}: it grows, {attack}"
        key = f"{held.id} {attack} {held.rules_raised} {held.peak_pps:g}"
        yield News(Kind.ESCALATED, key, title, _facts(held))
    elif before is not None and before.open and not held.open:
        yield News(Kind.CLOSED, f"{held.id} closed", f"{held.subject}: over", _facts(held))


def _worse(before: Incident, held: Incident) -> bool:
    louder = before.peak_pps and held.peak_pps >= _LOUDER * before.peak_pps
    more = len(held.attacks) > len(before.attacks) or held.rules_raised > before.rules_raised
    return bool(louder) or more


def _facts(held: Incident) -> str:
    lines = [
        f"Incident {held.id}, reported by {', '.join(held.detectors)}",
        f"Peak {si(held.peak_pps)} packets/s, {si(held.peak_bps)}bit/s by the detectors",
        f"{held.rules_made:,} rules made, {held.rules_ended:,} ended",
    ]
    if not held.open:
        lasted = show_duration(held.closed_at - held.opened_at)
        hit = f"{si(held.packets)} packets, {si(held.bytes)}B"
        lines += [f"It lasted {lasted}, the rules hit {hit}; {held.closed_by}"]
    return "\n".join([*lines, f"xdpctl incident show {held.id}"])
