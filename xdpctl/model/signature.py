# SPDX-License-Identifier: GPL-2.0-or-later
"""Signatures: rules that match on more than a source, or that limit. Values only."""

import re
from typing import Any, Self
from zlib import crc32

import msgspec

from xdpctl.base.durations import parse_duration
from xdpctl.base.net.prefix import Prefix
from xdpctl.errors import RuleError
from xdpctl.model.match.match import Match
from xdpctl.model.match.precedence import Key, precedence
from xdpctl.model.rule import OPERATOR, Action, Deadlines, Mode, Rule, Spare, check_told

CONFIGURED = "configured"  # the origin of the limits in the configuration
PRIORITY_MAX = 32767
BURST_MIN, BURST_MAX = 0.05, 60.0  # seconds; the clock's tick is up to 0.01
BY_ADDRESS = 32, 64  # default prefix lengths (IPv4, IPv6) of a limit per source
_PPS_MAX = 1_000_000_000
_BPS_MIN, _BPS_MAX = 1_000, 1_000_000_000_000


class Rate(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """A rate limit in packets or bits a second, for all sources together or for each source.

    `per_ipv4` and `per_ipv6` are the lengths of the prefixes that each have a limit of their own; 0
    and 0 is one limit for all. `burst` is the number of seconds whose packets may come at once.
    RuleError if a field is out of range.
    """

    pps: float = 0.0
    bps: float = 0.0
    burst: float = 0.1
    per_ipv4: int = 0
    per_ipv6: int = 0

    def __post_init__(self) -> None:
        if (self.pps > 0) == (self.bps > 0):
            fix = "give a rate above 0, in packets: pps (--pps), or in bits: bps (--bps)"
            raise RuleError("a limit must be either in packets or in bits", "limit", fix)
        if self.pps and not 0.1 <= self.pps <= _PPS_MAX:
            raise RuleError(
                f"a limit cannot be {self.pps:g} packets/s",
                "limit.pps",
                f"give 0.1 to {_PPS_MAX:,}",
            )
        if self.bps and not _BPS_MIN <= self.bps <= _BPS_MAX:
            fix = f"give {_BPS_MIN:,} to {_BPS_MAX:,}"
            raise RuleError(f"a limit cannot be {self.bps:g} bits/s", "limit.bps", fix)
        if not BURST_MIN <= self.burst <= BURST_MAX:
            fix = f"give {BURST_MIN:g} to {BURST_MAX:g} seconds"
            raise RuleError(f"a burst cannot be {self.burst:g} s", "limit.burst", fix)
        if not (0 <= self.per_ipv4 <= 32 and 0 <= self.per_ipv6 <= 64):
            fix = "give source, or a length of at most /32 and /64"
            raise RuleError("the prefix length of a limit is out of range", "limit.per", fix)

    @property
    def by_source(self) -> bool:
        """Whether each source prefix has its own limit."""
        return bool(self.per_ipv4 or self.per_ipv6)

    def __str__(self) -> str:
        """The limit as text, such as `10,000 pps per source`."""
        number, unit = (self.pps, "pps") if self.pps else (self.bps, "bps")
        rate = f"{number:,.0f} {unit}" if number.is_integer() else f"{number:g} {unit}"
        if not self.by_source:
            return rate
        exact = self.per_ipv4 in (0, 32) and self.per_ipv6 in (0, 64)
        return f"{rate} per " + ("source" if exact else f"/{self.per_ipv4} and /{self.per_ipv6}")


def read_rate(
    pps: float,
    bps: float,
    burst: float | str = 0.1,
    per: str = "all",
    lengths: tuple[int, int] = BY_ADDRESS,
) -> Rate:
    """A rate from its parts as users write them; RuleError names the part that is not valid.

    `burst` is in seconds or a duration. `per` is `all`, `source` (prefixes of the two `lengths`,
    IPv4 and IPv6), `/24` or `/24,/56`.
    """
    seconds = parse_duration(burst, "limit.burst") if isinstance(burst, str) else burst
    return Rate(pps, bps, seconds, *read_per(per, lengths))


def read_per(per: str, lengths: tuple[int, int] = BY_ADDRESS) -> tuple[int, int]:
    """The prefix lengths (IPv4, IPv6) of a limit per source; 0 and 0 for one limit for all."""
    if per in ("all", "source"):
        return lengths if per == "source" else (0, 0)
    parts = [part.strip().removeprefix("/") for part in per.split(",")]
    numbers = [int(part) for part in parts if re.fullmatch("[0-9]{1,3}", part)]
    if len(numbers) != len(parts) or len(parts) > 2 or not all(numbers):
        fix = "write all, source, /24 or /24,/56"
        raise RuleError(f"per cannot be {per[:40]!r}", "limit.per", fix)
    return numbers[0], numbers[1] if len(numbers) == 2 else BY_ADDRESS[1]


def read_amount(text: str, field: str) -> float:
    """The number in a text such as `5000`, `5k`, `100M` or `1.5G`; RuleError names `field`."""
    found = re.fullmatch(r"([0-9]{1,15}(?:\.[0-9]{1,9})?(?:e[0-9]{1,2})?)([kMG]?)", text)
    if not found:
        fix = "write a number, or 5k, 100M, 1.5G"
        raise RuleError(f"{text[:40]!r} is not an amount", field, fix)
    return float(found[1]) * {"": 1, "k": 1e3, "M": 1e6, "G": 1e9}[found[2]]


def sparing(limit: Rate | None) -> Spare:
    """The default of `spare`: NONE for a limit per source, else ESTABLISHED."""
    return Spare.NONE if limit and limit.by_source else Spare.ESTABLISHED


class Signature(Deadlines, frozen=True, kw_only=True):
    """A match with an action. `slot` is its number in the kernel.

    If several match a packet, those with the lower `priority` are applied first. Of equal priority,
    operators' come before detectors', and then FlowSpec's order applies (RFC 8955 section 5.1). The
    search goes on after a limit that the packet does not exceed, and after monitor mode.
    RuleError if the fields do not fit together.
    """

    match: Match
    slot: int
    action: Action
    limit: Rate | None = None
    spare: Spare = Spare.ESTABLISHED
    priority: int = 0
    mode: Mode = Mode.ENFORCE
    origin: str = OPERATOR
    reason: str = ""
    tags: tuple[str, ...] = ()
    created_at: float = 0.0
    expires_ns: int = 0
    confirm_by_ns: int = 0

    def __post_init__(self) -> None:
        check_told(self.reason, self.tags)
        if (self.limit is None) == (self.action is Action.LIMIT):
            raise RuleError(
                "the action limit needs a rate, and no other action has one",
                "limit",
                'give action "limit" and limit {"pps": …} together',
            )
        if self.limit and self.limit.by_source and self.spare is Spare.ESTABLISHED:
            raise RuleError(
                "a limit per source cannot spare established connections",
                "spare",
                'leave spare (--spare) out, or give "none"',
            )
        if not -PRIORITY_MAX <= self.priority <= PRIORITY_MAX:
            fix = f"give -{PRIORITY_MAX} to {PRIORITY_MAX}; lower ones are applied first"
            raise RuleError(f"a priority cannot be {self.priority}", "priority", fix)

    @property
    def id(self) -> str:
        """The id in the API."""
        return self.match.id

    @property
    def subject(self) -> str:
        """The match, as text."""
        return str(self.match)

    @property
    def source(self) -> Prefix | None:
        """The source component of the match; None if it has none."""
        source: Prefix | None = self.match.get("source")
        return source

    @property
    def order(self) -> tuple[int, bool, Key]:
        """The sort key by which signatures are applied; of one priority, operators' come first."""
        return self.priority, automatic(self), precedence(self.match)

    @property
    def lets_pass(self) -> bool:
        """Whether packets that match may go on to the next signature."""
        return self.action is Action.LIMIT or self.mode is Mode.MONITOR

    @property
    def etag(self) -> str:
        """Eight hex digits that differ after any change."""
        parts = (*self._verdict, self.origin, self.reason, self.tags)
        return f"{crc32(repr((*parts, self.expires_ns, self.confirm_by_ns)).encode()):08x}"

    @property
    def _verdict(self) -> tuple[object, ...]:
        return self.action, self.limit, self.spare, self.priority, self.mode

    def same_effect(self, other: "Signature") -> bool:
        """Whether both do the same with the same packets; times, origin and tags may differ."""
        return (self.match, *self._verdict) == (other.match, *other._verdict)

    def replace(self, **changes: Any) -> Self:
        """A copy with these fields changed."""
        return msgspec.structs.replace(self, **changes)


def automatic(rule: Rule | Signature) -> bool:
    """Whether a rule is a detector's, and neither an operator's nor the configuration's."""
    return rule.origin not in (OPERATOR, CONFIGURED)
