# SPDX-License-Identifier: GPL-2.0-or-later
"""What a detector says, whatever its format."""

import math
from enum import StrEnum

import msgspec

from xdpctl.base.net.prefix import Prefix
from xdpctl.errors import RuleError
from xdpctl.model.match.match import Match
from xdpctl.model.signature import Rate

ID_MAX = 200
_NOTE_MAX = 200


class Phase(StrEnum):
    """An event that only CONTINUES has begun before; one that never ENDED runs out."""

    BEGAN = "began"
    CONTINUES = "continues"
    ENDED = "ended"


class Attack(StrEnum):
    """What it looks like; AMPLIFICATION comes from the event's `port`."""

    UDP_FLOOD = "udp_flood"
    SYN_FLOOD = "syn_flood"
    ICMP_FLOOD = "icmp_flood"
    AMPLIFICATION = "amplification"
    IP_FRAGMENTATION = "ip_fragmentation"
    UNKNOWN = "unknown"


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """`id` is the detector's own, of the same attack from its beginning to its end.

    `sources` are to be blocked; a `victim` is to be protected, by what `match` says if the
    detector knows better than `attack`. `ttl` (seconds) is the detector's. With `group`, an end
    without an id ends everything of that group. `ignored` says why there is nothing to do.
    RuleError for one that has neither of the three.
    """

    phase: Phase
    id: str
    victim: Prefix | None = None
    sources: tuple[Prefix, ...] = ()
    match: Match | None = None
    limit: Rate | None = None
    attack: Attack = Attack.UNKNOWN
    port: int | None = None
    ttl: float | None = None
    pps: float = 0.0
    bps: float = 0.0
    group: str = ""
    note: str = ""
    ignored: str = ""

    def __post_init__(self) -> None:
        if not (self.id or self.group or self.ignored):
            raise RuleError("an event has no id", "id", "give each attack an id of its own")
        if max(len(self.id), len(self.group)) > 2 * ID_MAX:
            raise RuleError("an id is too long", "id", f"send at most {ID_MAX} characters")
        if not (math.isfinite(self.pps) and math.isfinite(self.bps)):
            raise RuleError("a rate is no number", "pps", "send packets or bits a second")


def plain(text: object) -> str:
    """What a detector or an attacker wrote, as one harmless line."""
    kept = "".join(c if c.isprintable() else " " for c in str(text)[: 2 * _NOTE_MAX])
    return kept.strip()[:_NOTE_MAX]
