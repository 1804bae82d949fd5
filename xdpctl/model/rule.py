# SPDX-License-Identifier: GPL-2.0-or-later
"""Rules on sources. Values only: no clock, no kernel, no file."""

from enum import StrEnum
from functools import lru_cache
from typing import Any, Self
from zlib import crc32

import msgspec

from xdpctl.base.net.prefix import Prefix, parse_prefix
from xdpctl.errors import RuleError
from xdpctl.model.tags import ours

OPERATOR = "operator"
TTL_MAX = 10 * 365 * 86400  # ten years, in seconds
CONFIRM_MAX = 3600
REASON_MAX = 500  # characters
TAGS_MAX = 16
_NAME = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-_.")


class Action(StrEnum):
    """What a rule does with the packets that it matches.

    `challenge` answers SYNs until their source has shown that it exists; `cookies` answers those to
    listeners of this host with SYN cookies.
    """

    DROP = "drop"
    ACCEPT = "accept"
    LIMIT = "limit"
    CHALLENGE = "challenge"
    COOKIES = "cookies"


class Mode(StrEnum):
    """`monitor` counts the packets that the action would have hit, and lets them pass."""

    ENFORCE = "enforce"
    MONITOR = "monitor"


class Automatic(StrEnum):
    """Whether detectors' requests are enforced (on), only monitored (observe), or ignored (off)."""

    OFF = "off"
    OBSERVE = "observe"
    ON = "on"


class Spare(StrEnum):
    """Which packets pass although a rule would drop them."""

    NONE = "none"
    ESTABLISHED = "established"  # of TCP connections of this host
    KNOWN = "known"  # these, and of flows that the inside takes part in
    TRIAL = "trial"  # these, and of a few flows, by which it is measured whom the rule hits

    @property
    def known_flows(self) -> bool:
        """Whether packets of known flows pass."""
        return self in (Spare.KNOWN, Spare.TRIAL)


@lru_cache(1024)  # the rules of a list often differ in nothing but their source
def _checksum(parts: tuple[object, ...]) -> str:
    return f"{crc32(msgspec.msgpack.encode(parts)):08x}"


def rule_id(source: Prefix) -> str:
    """The id of the rule on a source: the prefix in a form for URL paths, as `203.0.113.0_24`."""
    return str(source).replace("/", "_")


def parse_rule_id(text: str) -> Prefix:
    """The source that a rule id names; a prefix with a slash is accepted too. RuleError if none."""
    return parse_prefix(text.replace("_", "/"), "id")


def check_name(name: str, field: str) -> str:
    """The name of an origin, tag, token or set, if it is valid; RuleError otherwise.

    A name has 1 to 32 characters of a-z 0-9 - _ . and is not `.` or `..`; it is used in paths.
    """
    if not (0 < len(name) <= 32 and _NAME.issuperset(name)) or name in (".", ".."):
        raise RuleError(
            f"{name[:64]!r} is not a name", field, "use 1 to 32 of a-z, 0-9, '-', '_' and '.'"
        )
    return name


def check_told(reason: str, tags: tuple[str, ...]) -> None:
    """RuleError unless the reason is one line of text and there are not too many tags."""
    check_reason(reason)
    if len(tags) > TAGS_MAX and sum(not ours(tag) for tag in tags) > TAGS_MAX:
        raise RuleError(f"more than {TAGS_MAX} tags", "tags", f"keep at most {TAGS_MAX}")


def check_reason(reason: str) -> None:
    """RuleError unless the reason is one line of text of at most 500 characters."""
    if len(reason) > REASON_MAX:
        raise RuleError(
            f"the reason is longer than {REASON_MAX} characters", "reason", "shorten it"
        )
    if not reason.isprintable():
        raise RuleError(
            "the reason has control characters", "reason", "write it on one line, as plain text"
        )


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
    """A rule: a source, an action, its origin, and its deadlines."""

    source: Prefix
    action: Action
    mode: Mode = Mode.ENFORCE
    origin: str = OPERATOR
    reason: str = ""
    tags: tuple[str, ...] = ()
    created_at: float = 0.0
    expires_ns: int = 0
    confirm_by_ns: int = 0
    spare: Spare = Spare.NONE

    def __post_init__(self) -> None:
        check_told(self.reason, self.tags)
        if self.spare is Spare.TRIAL:
            raise RuleError(
                "a rule on a source alone cannot be tried",
                "spare",
                'give spare "known" (--spare known), or a match',
            )

    @property
    def id(self) -> str:
        """The id in the API."""
        return rule_id(self.source)

    @property
    def subject(self) -> str:
        """The source, as text."""
        return str(self.source)

    @property
    def etag(self) -> str:
        """Eight hex digits that differ after any change."""
        ends = self.expires_ns, self.confirm_by_ns
        parts = (self.action, self.mode, self.origin, self.reason, self.tags, self.spare, *ends)
        return _checksum(parts)

    def same_effect(self, other: "Rule") -> bool:
        """Whether both do the same with the same packets; times, origin and tags may differ."""
        return (self.source, self.action, self.mode) == (other.source, other.action, other.mode)

    def replace(self, **changes: object) -> Self:
        """A copy with these fields changed."""
        return msgspec.structs.replace(self, **changes)
