# SPDX-License-Identifier: GPL-2.0-or-later
"""Signatures: rules that match on more than a source, or that limit. Values only."""

from typing import Any, Self
from zlib import crc32

import msgspec

from xdpctl.base.net.prefix import Prefix
from xdpctl.errors import RuleError
from xdpctl.model.backstop import BACKSTOP
from xdpctl.model.match.components import TCP
from xdpctl.model.match.match import Match
from xdpctl.model.match.precedence import Key, precedence
from xdpctl.model.rate import Rate
from xdpctl.model.rule import OPERATOR, Action, Deadlines, Mode, Rule, Spare, check_told

CONFIGURED = "configured"  # the origin of the limits in the configuration
STANDING = (CONFIGURED, BACKSTOP)  # origins of limits that nobody posts
PRIORITY_MAX = 32767
CHALLENGES = (Action.CHALLENGE, Action.COOKIES)  # of SYNs
_SPARED = {Spare.ESTABLISHED: "established connections", Spare.KNOWN: "known flows"}


def _may_be_tried(action: Action, limit: Rate | None) -> bool:
    """Whether it can be measured whom it hits: a limit for each source is meant for real ones."""
    return action is Action.DROP or (limit is not None and limit.per == "all")


def sparing(action: Action, limit: Rate | None) -> Spare:
    """The default of `spare`: NONE for a limit per source and for challenges, else KNOWN."""
    none = action in CHALLENGES or (limit is not None and limit.by_source)
    return Spare.NONE if none else Spare.KNOWN


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
    spare: Spare = Spare.KNOWN
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
        deciding = self.action in (Action.DROP, Action.ACCEPT)
        return not deciding or self.mode is Mode.MONITOR

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
    return rule.origin not in (OPERATOR, *STANDING)


def on_trial(signature: Signature) -> bool:
    """Whether a rule lets a few flows pass, by which it is measured whom it hits.

    Those are drops of detectors that spare known flows, and such limits on all packets together;
    and what an operator has tried.
    """
    acts = _may_be_tried(signature.action, signature.limit)
    asked = automatic(signature) and signature.spare is Spare.KNOWN
    return acts and signature.mode is Mode.ENFORCE and (asked or signature.spare is Spare.TRIAL)


def of_tcp(signature: Signature) -> bool:
    """Whether it matches TCP alone, of which it can be measured whom a rule hits."""
    found = signature.match.get("protocol")
    named = found is not None and all(low == high == TCP for low, high in found)
    return named or signature.match.get("tcp_flags") is not None
