# SPDX-License-Identifier: GPL-2.0-or-later
"""Rules. Values only: no clock, no kernel, no file."""

from functools import lru_cache
from typing import Any, Self
from zlib import crc32

import msgspec

from xdpctl.base.net.prefix import Prefix
from xdpctl.errors import RuleError
from xdpctl.model.backstop import BACKSTOP
from xdpctl.model.effect import CHALLENGES, Action, Mode, Spare
from xdpctl.model.match import payload
from xdpctl.model.match.components import TCP, UDP
from xdpctl.model.match.match import Match
from xdpctl.model.match.precedence import Key, precedence
from xdpctl.model.names import check_told
from xdpctl.model.rate import Rate
from xdpctl.model.services import DNS, GAME_START, HTTPS

OPERATOR = "operator"
BUILTIN = "builtin"  # the origin of the embedded detector's rules
CONFIGURED = "configured"  # the origin of the limits in the configuration
STANDING = (CONFIGURED, BACKSTOP)  # origins of limits that xdpctl adds automatically
TTL_MAX = 10 * 365 * 86400  # ten years, in seconds
CONFIRM_MAX = 3600
PRIORITY_MAX = 32767
OF_PEERS = PRIORITY_MAX  # of the routes of BGP peers, whose exceptions end the search
OF_BACKSTOPS = PRIORITY_MAX - 1
DNS_ONLY = ((DNS, DNS),)
QUIC_ONLY = ((HTTPS, HTTPS),)
_QUERY = payload.parse("@2 00/f8", "")  # DNS: neither a response, nor an update or the like
_LONG = payload.parse("@0 c0/c0", "")  # QUIC: a packet of a handshake (RFC 9000 section 17.2)
_A2S = payload.start(GAME_START)
_ASKS = [payload.start(GAME_START + kind) for kind in (b"T", b"U", b"V")]
_SPARED = {Spare.ESTABLISHED: "established connections", Spare.KNOWN: "known flows"}


@lru_cache(1024)  # the rules of a list often differ in nothing but their source
def _checksum(parts: tuple[object, ...]) -> str:
    return f"{crc32(msgspec.msgpack.encode(parts)):08x}"


class Deadlines(msgspec.Struct, frozen=True, gc=False):
    """A mixin for `expires_ns` and `confirm_by_ns`: CLOCK_MONOTONIC nanoseconds, 0 for never.

    Until it is confirmed, a provisional rule ends at the earlier of the two. Subclasses declare
    both fields, since the order of fields matters.
    """

    @property
    def kernel_expires_ns(self: Any) -> int:
        """When the kernel stops applying the rule; 0 for never."""
        ends: int = self.expires_ns
        confirm_by: int = self.confirm_by_ns
        return min(ends, confirm_by) if ends and confirm_by else ends or confirm_by

    def expired(self, now_ns: int) -> bool:
        """Whether the kernel has stopped applying the rule at `now_ns`."""
        return 0 < self.kernel_expires_ns <= now_ns

    @property
    def ends_unconfirmed(self: Any) -> bool:
        """Whether the rule ends because it was not confirmed."""
        confirm_by: int = self.confirm_by_ns
        return 0 < confirm_by == int(self.kernel_expires_ns)


class Rule(Deadlines, frozen=True, gc=False):
    """A match with an action, its origin, and its deadlines. There is one rule a match.

    A drop or accept of a source alone, with priority 0 and not on trial, is in the table of
    sources, which decides first. All other rules have a `slot` in the kernel. Those of lower
    `priority` are applied first; of equal priority, operators' come before detectors', and then
    FlowSpec's order applies (RFC 8955 section 5.1), to routes of peers as they were sent (`rank`).
    The search goes on after a limit that the
    packet does not exceed, and after monitor mode. RuleError if the fields do not fit together.
    """

    match: Match
    action: Action
    mode: Mode = Mode.ENFORCE
    origin: str = OPERATOR
    reason: str = ""
    tags: tuple[str, ...] = ()
    created_at: float = 0.0
    expires_ns: int = 0
    confirm_by_ns: int = 0
    spare: Spare = Spare.NONE
    limit: Rate | None = None
    priority: int = 0
    rank: str = ""
    slot: int = 0

    def __post_init__(self) -> None:
        check_told(self.reason, self.tags)
        if (self.limit is None) == (self.action is Action.LIMIT):
            raise RuleError(
                "the action limit needs a rate, and no other action has one",
                "limit",
                'give action "limit" and limit {"pps": …} together',
            )
        if self.spare is Spare.TRIAL and not _may_be_tried(self.action, self.limit):
            raise RuleError(
                "only drops, and limits on all packets together, can be tried",
                "spare",
                'leave spare (--spare) out, or give "known"',
            )
        if self.spare is not Spare.NONE and self.action in CHALLENGES:
            raise RuleError(
                f"a challenge cannot spare {_SPARED[self.spare]}",
                "spare",
                'leave spare (--spare) out, or give "none"',
            )
        module = self.match.get("module")
        if (
            module
            and self.action in CHALLENGES
            and not (of_udp(self.match) and self.action is Action.CHALLENGE)
        ):
            raise RuleError(
                "modules answer over UDP only",
                "match",
                'write udp in the match (--match "udp …"), or give a drop',
            )
        if self.action in CHALLENGES and of_udp(self.match) and not self._asks:
            raise RuleError(
                "of UDP only DNS queries, QUIC, and queries of games (A2S) can be challenged",
                "match",
                f'write "udp dst-port 53", "udp dst-port 443", or "udp payload '
                f'{payload.show(_A2S)}", name a module, or give a limit',
            )
        if not -PRIORITY_MAX <= self.priority <= PRIORITY_MAX:
            fix = f"give -{PRIORITY_MAX} to {PRIORITY_MAX}; lower ones are applied first"
            raise RuleError(f"a priority cannot be {self.priority}", "priority", fix)

    @property
    def _asks(self) -> bool:
        """Whether it challenges what the program knows: to port 53 or 443, or queries of A2S."""
        port, compared = self.match.get("destination_port"), self.match.get("payload") or ()
        if self.action is not Action.CHALLENGE:
            return False
        if self.match.get("module"):  # which has an answer of its own
            return True
        if port == DNS_ONLY:
            return payload.meet(compared, _QUERY)
        if port == QUIC_ONLY:
            return payload.meet(compared, _LONG) and not payload.within(compared, _A2S)
        return payload.within(compared, _A2S) and any(payload.meet(compared, a) for a in _ASKS)

    @property
    def id(self) -> str:
        """The id in the API."""
        return self.match.id

    @property
    def subject(self) -> str:
        """The match as text; for a source alone, only the prefix."""
        source = self.by_source
        return str(source) if source else str(self.match)

    @property
    def source(self) -> Prefix | None:
        """The source component of the match; None if it has none."""
        return self.match.source

    @property
    def by_source(self) -> Prefix | None:
        """The source, if the rule is in the table of sources; else None."""
        return in_source_table(self.match, self.action, self.spare, self.priority)

    @property
    def order(self) -> tuple[int, bool, str, Key]:
        """The sort key by which matches are applied; of one priority, operators' come first."""
        if self.rank:
            return self.priority, automatic(self), self.rank, ()
        return self.priority, automatic(self), "", precedence(self.match)

    @property
    def lets_pass(self) -> bool:
        """Whether packets with the match's header fields may go on to the next match."""
        deciding = self.action in (Action.DROP, Action.ACCEPT)
        return not deciding or self.match.beyond_headers or self.mode is Mode.MONITOR

    @property
    def etag(self) -> str:
        """Eight hex digits that differ after any change.

        Detectors prolong their rules all the time: that is no change for who enforces one.
        """
        ends = () if automatic(self) else (self.expires_ns,)
        description = self.origin, self.reason, self.tags, *ends, self.confirm_by_ns
        return _checksum((*self._verdict, self.spare, *description))

    @property
    def _verdict(self) -> tuple[object, ...]:
        return self.action, self.limit, self.priority, self.mode

    def same_effect(self, other: "Rule") -> bool:
        """Whether both do the same with the same packets; times, origin and tags may differ.

        Two rules on a source alone may also differ in what they spare; the existing rule stays.
        """
        if (self.match, *self._verdict) != (other.match, *other._verdict):
            return False
        return self.spare is other.spare or bool(self.by_source and other.by_source)

    def describe(self) -> dict[str, object]:
        """The fields that go into the audit log; the match is left out if it is a source alone."""
        detail: dict[str, object] = {
            "action": self.action.value,
            "mode": self.mode.value,
            "origin": self.origin,
            "reason": self.reason,
        }
        if self.by_source is None:
            detail = {"match": str(self.match), **detail, "spare": self.spare.value}
        return detail | ({"limit": str(self.limit)} if self.limit else {})

    def replace(self, **changes: Any) -> Self:
        """A copy with these fields changed."""
        return msgspec.structs.replace(self, **changes)


def in_source_table(match: Match, action: Action, spare: Spare, priority: int) -> Prefix | None:
    """The source of a rule that is in the table of sources; None if it is among the matches."""
    if match.others or priority or spare is Spare.TRIAL:  # called for each rule of a long list
        return None
    return match.source if action is Action.DROP or action is Action.ACCEPT else None


def sparing(match: Match, action: Action, limit: Rate | None, priority: int = 0) -> Spare:
    """The default of `spare`: KNOWN, but NONE for sources, limits per source, and challenges."""
    by_source = in_source_table(match, action, Spare.NONE, priority) is not None
    paced = limit is not None and limit.by_source
    return Spare.NONE if by_source or paced or action in CHALLENGES else Spare.KNOWN


def automatic(rule: Rule) -> bool:
    """Whether a rule is a detector's, and neither an operator's nor the configuration's."""
    return rule.origin not in (OPERATOR, *STANDING)


def on_trial(rule: Rule) -> bool:
    """Whether a rule lets a few flows pass, which show whom it hits.

    These are detectors' drops and limits on all packets together, if they spare known flows, and
    the rules that an operator puts on trial.
    """
    if rule.by_source or rule.mode is not Mode.ENFORCE:
        return False
    by_default = automatic(rule) and rule.spare is Spare.KNOWN
    return _may_be_tried(rule.action, rule.limit) and (by_default or rule.spare is Spare.TRIAL)


def of_tcp(rule: Rule) -> bool:
    """Whether a rule matches only TCP; it can be measured only for TCP whom a rule hits."""
    protocols = rule.match.get("protocol")
    tcp_only = protocols is not None and all(low == high == TCP for low, high in protocols)
    return tcp_only or rule.match.get("tcp_flags") is not None


def of_udp(match: Match) -> bool:
    """Whether a match takes UDP alone."""
    return bool(match.get("protocol") == ((UDP, UDP),))


def of_quic(match: Match) -> bool:
    """Whether a match takes UDP to the port of QUIC alone, which a challenge does not answer."""
    return of_udp(match) and match.get("destination_port") == QUIC_ONLY


def _may_be_tried(action: Action, limit: Rate | None) -> bool:
    """Whether a rule can be on trial; a limit for each source cannot, as it is for real sources."""
    return action is Action.DROP or (limit is not None and limit.shared)
