"""Keeps the incidents of a draft: opened, updated and closed with what detectors say."""

from collections.abc import Sequence
from dataclasses import dataclass

from msgspec import structs

from xdpctl.detectors.event import Event, Phase, plain
from xdpctl.draft import Draft
from xdpctl.incidents.model import (
    ACTIVE_KEPT,
    EVENTS_KEPT,
    RULES_KEPT,
    SOURCES_KEPT,
    Done,
    Incident,
    Told,
    first,
    name,
)
from xdpctl.model import Rule
from xdpctl.signatures.model import Signature
from xdpctl.wire import Hits

INCIDENTS_MAX = 1_000
_REMEMBERED_SECONDS, _WORKED_PACKETS, _WORKED_KEPT = 86_400.0, 1_000, 8
EVENT_TAG, INCIDENT_TAG = "event-", "incident-"


@dataclass(frozen=True, slots=True)
class Said:
    """An event as it came: from whom, the tag of its rules, and how long they may stand.

    Another event on the same victim within `gap` seconds is of the same incident.
    """

    event: Event
    detector: str
    tag: str
    ttl: float = 0.0
    gap: float = 0.0


def part_of(draft: Draft, said: Said) -> Incident:
    """The incident that an event which is on belongs to, opened if there is none."""
    held = _standing(draft, said) or _opened(draft, said)
    draft.incidents[held.id] = held
    return held


def tag_of(held: Incident) -> str:
    """The tag of its rules."""
    return INCIDENT_TAG + held.id


def began(draft: Draft, held: Incident, said: Said, made: Sequence[Rule | Signature]) -> None:
    """Note an event that is on, with the rules that are new for it."""
    event, now = said.event, draft.now.unix
    fresh = [_done(rule, now) for rule in made]
    named = () if said.tag in held.active else tuple(map(str, event.sources))
    draft.incidents[held.id] = _told(draft, held, said, len(made)).but(
        closed_at=0.0,
        closed_by="",
        ends_at=max(held.ends_at, now + said.ttl),
        active=first(held.active, (said.tag,), ACTIVE_KEPT),
        rules_made=held.rules_made + len(fresh),
        rules=(*held.rules, *fresh)[:RULES_KEPT],
        sources_named=held.sources_named + len(named),
        sources=first(held.sources, named, SOURCES_KEPT),
    )


def ended(
    draft: Draft, said: Said, gone: Sequence[tuple[Rule | Signature, Hits]]
) -> Incident | None:
    """Note an end, and of what; the incident closes with the last of its events."""
    for rule, hits in gone:
        count(draft, rule, hits, "the detector ended it")
    held = _active(draft, said.tag) or next((_of(draft, rule) for rule, _ in gone), None)
    if held is None:
        return None
    left = tuple(tag for tag in held.active if tag != said.tag)
    held = _told(draft, held, said, len(gone)).but(active=left)
    if not left and held.open:
        held = held.but(closed_at=draft.now.unix, closed_by="the detector ended it")
    draft.incidents[held.id] = held
    return held


def count(draft: Draft, rule: Rule | Signature, hits: Hits, why: str) -> None:
    """A rule of an incident has ended: what it hit belongs to the record."""
    held = _of(draft, rule)
    if held is None:
        return
    now = draft.now.unix
    listed = tuple(
        _ended(one, hits, now, why) if one.id == rule.id and not one.ended_at else one
        for one in held.rules
    )
    draft.incidents[held.id] = held.but(
        rules=listed,
        rules_ended=held.rules_ended + 1,
        packets=held.packets + hits.packets,
        bytes=held.bytes + hits.bytes,
        updated_at=now,
    )


def raised(draft: Draft, rule: Signature, why: str) -> None:
    """A rule of an incident went on to the next step of its ladder."""
    held = _of(draft, rule)
    if held is None:
        return
    told = Told(
        at=draft.now.unix,
        monotonic=draft.now.ns / 1e9,
        detector="xdpctl",
        phase="raised",
        event=rule.id,
        attack=rule.action.value,
        note=why,
        done=1,
    )
    draft.incidents[held.id] = held.but(
        updated_at=draft.now.unix,
        rules_raised=held.rules_raised + 1,
        events_told=held.events_told + 1,  # of which `events` keeps the first
        events=(*held.events, told)[:EVENTS_KEPT],
    )


def worked(draft: Draft, said: Said) -> list[Done]:
    """What hit much on the same victim within a day, and has ended; the newest first."""
    subject, since = _subject(said), draft.now.unix - _REMEMBERED_SECONDS
    found: dict[str, Done] = {}
    for held in draft.all_incidents():
        if held.subject == subject and held.updated_at >= since:
            for one in held.rules:
                if one.ended_at and one.packets >= _WORKED_PACKETS:
                    found[one.id] = max(found.get(one.id, one), one, key=lambda d: d.ended_at)
    newest = sorted(found.values(), key=lambda one: -one.ended_at)
    return newest[:_WORKED_KEPT]


def close_quiet(draft: Draft) -> None:
    """Those whose last rule has run out while nobody said anything more."""
    now = draft.now.unix
    for held in draft.all_incidents():
        if held.open and held.ends_at <= now:
            quiet = {"closed_at": now, "closed_by": "nothing more was said", "active": ()}
            draft.incidents[held.id] = held.but(updated_at=now, **quiet)


def _subject(said: Said) -> str:
    if said.event.victim is not None and not said.event.sources:
        return str(said.event.victim)
    return f"sources named by {said.detector}"


def _of(draft: Draft, rule: Rule | Signature) -> Incident | None:
    """The incident of a rule, by its tag."""
    tags = (tag for tag in rule.tags if tag.startswith(INCIDENT_TAG))
    named = (draft.incident(tag.removeprefix(INCIDENT_TAG)) for tag in tags)
    return next((held for held in named if held), None)


def _active(draft: Draft, tag: str) -> Incident | None:
    """The incident in which an event goes on."""
    return next((held for held in draft.all_incidents() if tag in held.active), None)


def _standing(draft: Draft, said: Said) -> Incident | None:
    """What goes on, or ended not long ago, about the same."""
    subject, since = _subject(said), draft.now.unix - said.gap
    alike = [held for held in draft.all_incidents() if held.subject == subject]
    recent = [held for held in alike if held.open or held.closed_at > since]
    return max(recent, key=lambda held: held.opened_at, default=None)


def _opened(draft: Draft, said: Said) -> Incident:
    everything = draft.all_incidents()
    if len(everything) >= INCIDENTS_MAX:
        closed = [held for held in everything if not held.open]
        oldest = min(closed or everything, key=lambda held: held.opened_at)
        draft.incidents[oldest.id] = None
    subject, now = _subject(said), draft.now.unix
    taken = frozenset(held.id for held in everything)
    identity, error = name(subject, now, taken), draft.now.error
    return Incident(identity, subject, now, now, now + said.ttl, clock_error=error)


def _told(draft: Draft, held: Incident, said: Said, done: int) -> Incident:
    event = said.event
    told = Told(
        at=draft.now.unix,
        monotonic=draft.now.ns / 1e9,
        detector=said.detector,
        phase=event.phase.value,
        event=plain(event.id),
        attack=event.attack.value,
        pps=event.pps,
        bps=event.bps,
        note=event.note,
        done=done,
    )
    attacks = () if event.phase is Phase.ENDED else (event.attack.value,)
    return held.but(
        updated_at=draft.now.unix,
        detectors=first(held.detectors, (said.detector,), ACTIVE_KEPT),
        attacks=first(held.attacks, attacks, ACTIVE_KEPT),
        peak_pps=max(held.peak_pps, event.pps),
        peak_bps=max(held.peak_bps, event.bps),
        events_told=held.events_told + 1,
        events=(*held.events, told)[:EVENTS_KEPT],
    )


def _done(rule: Rule | Signature, now: float) -> Done:
    limit = rule.limit if isinstance(rule, Signature) else None
    told = rule.id, rule.subject, rule.action.value, rule.mode.value
    return Done(*told, now, limit=limit)


def _ended(one: Done, hits: Hits, now: float, why: str) -> Done:
    return structs.replace(one, ended_at=now, why=why, packets=hits.packets, bytes=hits.bytes)
