# SPDX-License-Identifier: GPL-2.0-or-later
"""What a rule is. Values only: no clock, no kernel, no file."""

from enum import StrEnum
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
    """What a rule does with what it matches."""

    DROP = "drop"
    ACCEPT = "accept"
    LIMIT = "limit"


class Mode(StrEnum):
    """`monitor` counts what the action would have hit, and lets it pass."""

    ENFORCE = "enforce"
    MONITOR = "monitor"


class Automatic(StrEnum):
    """Whether what detectors ask for is done, only watched, or not even that."""

    OFF = "off"
    OBSERVE = "observe"
    ON = "on"


class Spare(StrEnum):
    """Whose packets pass although a rule would drop them."""

    NONE = "none"
    ESTABLISHED = "established"


def rule_id(source: Prefix) -> str:
    """`203.0.113.0_24`: the match itself, in a form that a URL path takes."""
    return str(source).replace("/", "_")


def parse_rule_id(text: str) -> Prefix:
    """The source a rule id names; takes the prefix itself too."""
    return parse_prefix(text.replace("_", "/"), "id")


def check_name(name: str, field: str) -> str:
    """The name of an origin, tag, token or set, if it is one; else RuleError names the field.

    It has 1 to 32 of a-z 0-9 - _ . and is, as in paths, not `.` or `..`.
    """
    if not (0 < len(name) <= 32 and _NAME.issuperset(name)) or name in (".", ".."):
        raise RuleError(
            f"{name[:64]!r} is not a name", field, "use 1 to 32 of a-z, 0-9, '-', '_' and '.'"
        )
    return name


def check_told(reason: str, tags: tuple[str, ...]) -> None:
    """RuleError unless the reason is one line of text and the tags are few."""
    check_reason(reason)
    if len(tags) > TAGS_MAX and sum(not ours(tag) for tag in tags) > TAGS_MAX:
        raise RuleError(f"more than {TAGS_MAX} tags", "tags", f"keep at most {TAGS_MAX}")


def check_reason(reason: str) -> None:
    """RuleError unless it is one line of text."""
    if len(reason) > REASON_MAX:
        raise RuleError(
            f"the reason is longer than {REASON_MAX} characters", "reason", "shorten it"
        )
    if not reason.isprintable():
        raise RuleError(
            "the reason has control characters", "reason", "write it on one line, as plain text"
        )


class Deadlines(msgspec.Struct, frozen=True, gc=False):
    """When a rule ends: `expires_ns` and `confirm_by_ns` are CLOCK_MONOTONIC, 0 for never.

    Until it is confirmed, a provisional rule's kernel expiry is the earlier of the two. Those who
    inherit declare both fields; the order of fields matters.
    """

    @property
    def kernel_expires_ns(self: Any) -> int:
        """When the kernel stops applying it."""
        ends: int = self.expires_ns
        confirm_by: int = self.confirm_by_ns
        return min(ends, confirm_by) if ends and confirm_by else ends or confirm_by

    def expired(self, now_ns: int) -> bool:
        """Whether the kernel stops applying it at `now_ns` or before."""
        return 0 < self.kernel_expires_ns <= now_ns

    @property
    def ends_unconfirmed(self: Any) -> bool:
        """Whether what ends it is that nobody confirmed it."""
        confirm_by: int = self.confirm_by_ns
        return 0 < confirm_by == int(self.kernel_expires_ns)


class Rule(Deadlines, frozen=True, gc=False):
    """A source and an action, who asked for it, and until when."""

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

    @property
    def id(self) -> str:
        """The id by which the API names it."""
        return rule_id(self.source)

    @property
    def subject(self) -> str:
        """What it is about, in words."""
        return str(self.source)

    @property
    def etag(self) -> str:
        """Eight hex digits that differ after any change."""
        ends = self.expires_ns, self.confirm_by_ns
        parts = (self.action, self.mode, self.origin, self.reason, self.tags, self.spare, *ends)
        return f"{crc32(repr(parts).encode()):08x}"

    def same_effect(self, other: "Rule") -> bool:
        """Equal but for its times and who tells the story."""
        return (self.source, self.action, self.mode) == (other.source, other.action, other.mode)

    def replace(self, **changes: object) -> Self:
        """A copy with these fields changed."""
        return msgspec.structs.replace(self, **changes)
