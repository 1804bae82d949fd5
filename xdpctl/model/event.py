# SPDX-License-Identifier: GPL-2.0-or-later
"""Events: what detectors report, independent of their formats."""

import math
from collections.abc import Iterable
from enum import StrEnum

import msgspec

from xdpctl.base.net.prefix import Prefix
from xdpctl.errors import RuleError
from xdpctl.model.effect import Action
from xdpctl.model.finding import Finding
from xdpctl.model.match.match import Match
from xdpctl.model.rate import Rate

ID_MAX = 200
_NOTE_MAX = 200


class Phase(StrEnum):
    """The phase of an event. CONTINUES reports an event that began before.

    An event for which no ENDED is reported ends when its rules expire.
    """

    BEGAN = "began"
    CONTINUES = "continues"
    ENDED = "ended"


class Attack(StrEnum):
    """The type of attack; an AMPLIFICATION comes from the source port in the event's `port`."""

    UDP_FLOOD = "udp_flood"
    QUIC_FLOOD = "quic_flood"
    DNS_QUERY_FLOOD = "dns_query_flood"
    SYN_FLOOD = "syn_flood"
    SYN_ACK_FLOOD = "syn_ack_flood"
    RST_FLOOD = "rst_flood"
    TCP_FLOOD = "tcp_flood"
    ICMP_FLOOD = "icmp_flood"
    AMPLIFICATION = "amplification"
    IP_FRAGMENTATION = "ip_fragmentation"
    UNKNOWN = "unknown"


_CAPITALS = frozenset(("udp", "quic", "dns", "syn", "ack", "rst", "tcp", "icmp", "ip"))


def attacks_in_words(attacks: Iterable[str]) -> str:
    """Types of attacks for a sentence: `SYN flood, UDP flood`; empty if there is none."""
    return ", ".join(map(_attack_in_words, attacks))


def _attack_in_words(attack: str) -> str:
    if attack == Attack.UNKNOWN:
        return "attack of an unknown kind"
    words = [word.upper() if word in _CAPITALS else word for word in attack.split("_")]
    return " ".join(words).replace("SYN ACK", "SYN-ACK")


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """One report of a detector.

    `id` is the detector's name for the attack, the same from its beginning to its end. `sources`
    are to be blocked. A `victim` is to be protected: by `match`, or else by the match that `attack`
    implies. Packets that match are limited if there is a `limit`, else `action` is taken. With
    `watch` they are only watched, even if they were dropped before. Known flows are spared, unless
    the event is about `known` ones. `finding` is the evidence for the report. `ttl` (seconds) is
    the lifetime that the detector asks for. An end without an id ends all events of its `group`.
    `ignored` says why nothing is done. `rank` is the place of a route in its peer's table.

    RuleError if there is no id, group or reason to ignore it, or if a field is out of range.
    """

    phase: Phase
    id: str
    victim: Prefix | None = None
    sources: tuple[Prefix, ...] = ()
    match: Match | None = None
    limit: Rate | None = None
    action: Action = Action.DROP
    watch: bool = False
    known: bool = False
    finding: Finding | None = None
    attack: Attack = Attack.UNKNOWN
    port: int | None = None
    ttl: float | None = None
    pps: float = 0.0
    bps: float = 0.0
    group: str = ""
    note: str = ""
    ignored: str = ""
    rank: str = ""

    def __post_init__(self) -> None:
        if not (self.id or self.group or self.ignored):
            raise RuleError("an event has no id", "id", "give each attack its own id")
        if max(len(self.id), len(self.group)) > 2 * ID_MAX:
            raise RuleError("an id is too long", "id", f"send at most {ID_MAX} characters")
        if not (math.isfinite(self.pps) and math.isfinite(self.bps)):
            raise RuleError("a rate is not a number", "pps", "send packets or bits a second")


def plain(text: object, most: int = _NOTE_MAX) -> str:
    """Untrusted text as one printable line of at most `most` characters."""
    printable = "".join(c if c.isprintable() else " " for c in str(text)[: 2 * most])
    return printable.strip()[:most]
