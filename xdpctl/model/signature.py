# SPDX-License-Identifier: GPL-2.0-or-later
"""What a signature is: a rule that matches on more than a source, or limits. Values only."""

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

CONFIGURED = "configured"  # the origin of what the configuration asks for
PRIORITY_MAX = 32767
BURST_MIN, BURST_MAX = 0.05, 60.0  # seconds; the clock's tick is up to 0.01
BY_ADDRESS = 32, 64  # lengths that tell sources apart where none are given
_PPS_MAX = 1_000_000_000
_BPS_MIN, _BPS_MAX = 1_000, 1_000_000_000_000


class Rate(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """A limit: packets or bits a second, for all together or for each source.

    `per_ipv4` and `per_ipv6` are the lengths of the prefixes that sources are told apart by, 0 for
    not at all. `burst` is how many seconds' worth may come at once.
    """

    pps: float = 0.0
    bps: float = 0.0
    burst: float = 0.1
    per_ipv4: int = 0
    per_ipv6: int = 0

    def __post_init__(self) -> None:
        if (self.pps > 0) == (self.bps > 0):
            fix = "give one of pps (packets/s) and bps (bits/s), above 0"
            raise RuleError("a limit is either of packets or of bits", "limit", fix)
        if self.pps and not 0.1 <= self.pps <= _PPS_MAX:
            raise RuleError(
                f"a limit of {self.pps:g} packets/s", "limit.pps", f"give 0.1 to {_PPS_MAX:,}"
            )
        if self.bps and not _BPS_MIN <= self.bps <= _BPS_MAX:
            fix = f"give {_BPS_MIN:,} to {_BPS_MAX:,}"
            raise RuleError(f"a limit of {self.bps:g} bits/s", "limit.bps", fix)
        if not BURST_MIN <= self.burst <= BURST_MAX:
            fix = f"give {BURST_MIN:g} to {BURST_MAX:g} seconds"
            raise RuleError(f"a burst of {self.burst:g} s", "limit.burst", fix)
        if not (0 <= self.per_ipv4 <= 32 and 0 <= self.per_ipv6 <= 64):
            fix = "give source, or a length of at most /32 and /64"
            raise RuleError("sources cannot be told apart so", "limit.per", fix)

    @property
    def by_source(self) -> bool:
        """Whether each source has a bucket of its own."""
        return bool(self.per_ipv4 or self.per_ipv6)

    def __str__(self) -> str:
        """As `10,000 pps per source`."""
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
    """A rate as people write it, wherever they do. RuleError names the part that is wrong.

    `burst` is seconds or a duration. `per` is `all`, `source` (told apart by prefixes of the two
    `lengths`, IPv4 and IPv6), `/24` or `/24,/56`.
    """
    held = parse_duration(burst, "limit.burst") if isinstance(burst, str) else burst
    return Rate(pps, bps, held, *read_per(per, lengths))


def read_per(per: str, lengths: tuple[int, int] = BY_ADDRESS) -> tuple[int, int]:
    """The lengths of prefixes that sources are told apart by, 0 and 0 for not at all."""
    if per in ("all", "source"):
        return lengths if per == "source" else (0, 0)
    parts = [part.strip().removeprefix("/") for part in per.split(",")]
    numbers = [int(part) for part in parts if re.fullmatch("[0-9]{1,3}", part)]
    if len(numbers) != len(parts) or len(parts) > 2 or not all(numbers):
        raise RuleError(f"per is {per[:40]!r}", "limit.per", "write all, source, /24 or /24,/56")
    return numbers[0], numbers[1] if len(numbers) == 2 else BY_ADDRESS[1]


def read_amount(text: str, field: str) -> float:
    """`5000`, `5k`, `100M`, `1.5G`; RuleError names `field`."""
    found = re.fullmatch(r"([0-9]{1,15}(?:\.[0-9]{1,9})?(?:e[0-9]{1,2})?)([kMG]?)", text)
    if not found:
        raise RuleError(f"{text[:40]!r} is no amount", field, "write a number, or 5k, 100M, 1.5G")
    return float(found[1]) * {"": 1, "k": 1e3, "M": 1e6, "G": 1e9}[found[2]]


def sparing(limit: Rate | None) -> Spare:
    """What is spared where nothing is said."""
    return Spare.NONE if limit and limit.by_source else Spare.ESTABLISHED


class Signature(Deadlines, frozen=True, kw_only=True):
    """A match with what is done about it. `slot` is its number in the kernel.

    Of two that match a packet, the one with the lower `priority` is looked at first, else an
    operator's before a detector's, else that which comes first in FlowSpec's order. A limit that a
    packet is within, like monitor mode, lets the search go on.
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
                "a limit needs its rate, and nothing else has one",
                "limit",
                'give action "limit" and limit {"pps": …} together',
            )
        if self.limit and self.limit.by_source and self.spare is Spare.ESTABLISHED:
            raise RuleError(
                "a limit for each source counts the packets of its own connections, too",
                "spare",
                'leave spare out, or give "none"',
            )
        if not -PRIORITY_MAX <= self.priority <= PRIORITY_MAX:
            fix = f"give -{PRIORITY_MAX} to {PRIORITY_MAX}; lower ones are looked at first"
            raise RuleError(f"a priority of {self.priority}", "priority", fix)

    @property
    def id(self) -> str:
        """The id by which the API names it."""
        return self.match.id

    @property
    def subject(self) -> str:
        """What it is about, in words."""
        return str(self.match)

    @property
    def source(self) -> Prefix | None:
        """The source it asks for, if it does."""
        source: Prefix | None = self.match.get("source")
        return source

    @property
    def order(self) -> tuple[int, bool, Key]:
        """The key by which signatures are looked at: of one priority, people's go first."""
        return self.priority, automatic(self), precedence(self.match)

    @property
    def lets_pass(self) -> bool:
        """Whether packets that it matches may go on to the next signature."""
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
        """Equal but for its times and who tells the story."""
        return (self.match, *self._verdict) == (other.match, *other._verdict)

    def replace(self, **changes: Any) -> Self:
        """A copy with these fields changed."""
        return msgspec.structs.replace(self, **changes)


def automatic(held: Rule | Signature) -> bool:
    """Whether a program asked for it: neither an operator nor the configuration."""
    return held.origin not in (OPERATOR, CONFIGURED)
