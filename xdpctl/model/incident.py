# SPDX-License-Identifier: GPL-2.0-or-later
"""Incidents: events on one victim, close in time, with the rules made for them. Values only."""

from datetime import UTC, datetime

import msgspec

from xdpctl.abi.structs import Hits
from xdpctl.model.event import attacks_in_words
from xdpctl.model.finding import Finding
from xdpctl.model.rate import Rate

EVENTS_KEPT, RULES_KEPT, SOURCES_KEPT, ACTIVE_KEPT, NOTES_KEPT = 100, 100, 50, 200, 100
FINDINGS_KEPT = 24


class TimelineEntry(msgspec.Struct, frozen=True, omit_defaults=True):
    """One report of a detector; `at` is Unix time, `monotonic` CLOCK_MONOTONIC, both in seconds."""

    at: float
    monotonic: float
    detector: str
    phase: str
    event: str
    attack: str
    pps: float = 0.0
    bps: float = 0.0
    note: str = ""
    done: int = 0  # number of rules made for it, or removed when it ended


class RuleRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """A rule of the incident; `packets` and `bytes` are what it hit, recorded when it ended."""

    id: str
    what: str
    action: str
    mode: str
    at: float
    ended_at: float = 0.0
    why: str = ""
    packets: int = 0
    bytes: int = 0
    limit: Rate | None = None
    taken_back: bool = False  # removed by an operator
    # hits from before it was part of this incident; negative: hits counted in an earlier slot
    before_packets: int = 0
    before_bytes: int = 0
    collateral: str = ""  # whom it hit, as was known when it ended

    def since(self, hits: Hits) -> Hits:
        """The part of a rule's total hits that belongs to this incident."""
        if hits.packets < self.before_packets or hits.bytes < self.before_bytes:
            return hits  # the counters were reset, as after a reboot
        return Hits(hits.packets - self.before_packets, hits.bytes - self.before_bytes)


class RuleFinding(msgspec.Struct, frozen=True):
    """A detector's evidence for the rule with id `rule`; `at` is Unix time."""

    rule: str
    at: float
    detector: str
    finding: Finding


class Note(msgspec.Struct, frozen=True):
    """What a person wrote about the incident; `at` is Unix time."""

    at: float
    who: str
    text: str


class Incident(msgspec.Struct, frozen=True, omit_defaults=True):
    """The record of an incident; times are Unix time.

    `subject` is the victim, or the detector that named the sources. Lists keep their first items;
    `events_told`, `rules_made` and `sources_named` count all. `active` are the tags of events that
    have not ended. `ends_at` is when the last rule expires if nothing more is reported.
    """

    id: str
    subject: str
    opened_at: float
    updated_at: float
    ends_at: float
    closed_at: float = 0.0
    closed_by: str = ""
    detectors: tuple[str, ...] = ()
    attacks: tuple[str, ...] = ()
    peak_pps: float = 0.0
    peak_bps: float = 0.0
    events_told: int = 0
    rules_made: int = 0
    rules_ended: int = 0
    rules_softened: int = 0  # rules that hit people, and became limits that let people through
    rules_raised: int = 0  # escalated: from monitor mode to enforcement, or from a limit to a drop
    sources_named: int = 0
    packets: int = 0  # hits of rules that have ended
    bytes: int = 0
    active: tuple[str, ...] = ()
    events: tuple[TimelineEntry, ...] = ()
    rules: tuple[RuleRecord, ...] = ()
    sources: tuple[str, ...] = ()
    notes: tuple[Note, ...] = ()
    findings: tuple[RuleFinding, ...] = ()
    clock_error: float | None = None  # seconds, when it was opened; None if not synchronised

    @property
    def words(self) -> str:
        """The attacks and the subject: `SYN flood on 198.51.100.7`."""
        attacks = attacks_in_words(self.attacks) or "attack of an unknown kind"
        return f"{attacks} on {subject_in_words(self.subject)}"

    @property
    def open(self) -> bool:
        """Whether it is not closed yet."""
        return not self.closed_at

    def replace(self, **changes: object) -> "Incident":
        """A copy with these fields changed."""
        return msgspec.structs.replace(self, **changes)


def subject_in_words(subject: str) -> str:
    """The subject of an incident as a sentence says it: an address without its length."""
    return subject.removesuffix("/32").removesuffix("/128")


def name(subject: str, unix: float, taken: frozenset[str]) -> str:
    """An unused id such as `20261125-081900`, with a number appended if that is taken."""
    first = datetime.fromtimestamp(unix, UTC).strftime("%Y%m%d-%H%M%S")
    names = (first if n == 1 else f"{first}-{n}" for n in range(1, len(taken) + 2))
    return next(candidate for candidate in names if candidate not in taken)


def first(current: tuple[str, ...], more: tuple[str, ...], most: int) -> tuple[str, ...]:
    """The first `most` distinct items of `current` and `more`."""
    if len(current) >= most:
        return current
    return tuple(dict.fromkeys(current + more))[:most]


encode = msgspec.json.Encoder().encode
_decoder = msgspec.json.Decoder(Incident)


def decode(value: bytes) -> Incident:
    """The stored incident; ValueError if it is unreadable."""
    try:
        return _decoder.decode(value)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
