# SPDX-License-Identifier: GPL-2.0-or-later
"""One incident: events on one victim, close in time, with what was done. Values only."""

from datetime import UTC, datetime

import msgspec

from xdpctl.abi.structs import Hits
from xdpctl.model.signature import Rate

EVENTS_KEPT, RULES_KEPT, SOURCES_KEPT, ACTIVE_KEPT = 100, 100, 50, 200


class TimelineEntry(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing a detector said; `at` is Unix time, `monotonic` the kernel's clock in seconds."""

    at: float
    monotonic: float
    detector: str
    phase: str
    event: str
    attack: str
    pps: float = 0.0
    bps: float = 0.0
    note: str = ""
    done: int = 0  # rules that stand for it since, or ended with it


class RuleRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """A rule that came of it, with its limit if it is one; packets and bytes once it has ended."""

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
    taken_back: bool = False  # by a person
    before_packets: int = 0  # that it had hit already when it came to this incident
    before_bytes: int = 0

    def since(self, hits: Hits) -> Hits:
        """Of all that it has hit, what it hit since it came to this incident."""
        if hits.packets < self.before_packets or hits.bytes < self.before_bytes:
            return hits  # the counters began anew, as after a reboot
        return Hits(hits.packets - self.before_packets, hits.bytes - self.before_bytes)


class Incident(msgspec.Struct, frozen=True, omit_defaults=True):
    """`subject` is the victim, or whose named sources these are. Lists keep the first ones;
    `events_told`, `rules_made` and `sources_named` count all. `active` events have not ended.
    `ends_at` is when the last rule runs out if nobody says anything more (Unix time).
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
    rules_raised: int = 0  # to the next step of their ladder
    sources_named: int = 0
    packets: int = 0  # of rules that have ended
    bytes: int = 0
    active: tuple[str, ...] = ()
    events: tuple[TimelineEntry, ...] = ()
    rules: tuple[RuleRecord, ...] = ()
    sources: tuple[str, ...] = ()
    clock_error: float | None = None  # seconds, as clock.Now has it, when it was opened

    @property
    def open(self) -> bool:
        """Whether it is not closed yet."""
        return not self.closed_at

    def replace(self, **changes: object) -> "Incident":
        """A copy with these fields changed."""
        return msgspec.structs.replace(self, **changes)


def name(subject: str, unix: float, taken: frozenset[str]) -> str:
    """`20261125-081900`, with a number behind it if there is one of that second."""
    first = datetime.fromtimestamp(unix, UTC).strftime("%Y%m%d-%H%M%S")
    names = (first if n == 1 else f"{first}-{n}" for n in range(1, len(taken) + 2))
    return next(one for one in names if one not in taken)


def first(kept: tuple[str, ...], more: tuple[str, ...], most: int) -> tuple[str, ...]:
    """Each once, the first ones."""
    if len(kept) >= most:
        return kept
    return tuple(dict.fromkeys(kept + more))[:most]


encode = msgspec.json.Encoder().encode
_decoder = msgspec.json.Decoder(Incident)


def decode(value: bytes) -> Incident:
    """ValueError if it is unreadable."""
    try:
        return _decoder.decode(value)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
