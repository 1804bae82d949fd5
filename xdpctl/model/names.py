# SPDX-License-Identifier: GPL-2.0-or-later
"""Checks of the names, ids, reasons and tags that people and detectors give."""

from xdpctl.base.net.prefix import Prefix, parse_prefix
from xdpctl.errors import RuleError
from xdpctl.model.tags import ours

REASON_MAX = 500  # characters
TAGS_MAX = 16
_NAME = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-_.")


def rule_id(source: Prefix) -> str:
    """The id of a rule on a source: the prefix in a form for URL paths, as `203.0.113.0_24`."""
    return str(source).replace("/", "_")


def parse_rule_id(text: str) -> Prefix:
    """The source that a rule id names; a prefix with a slash is accepted too. Else RuleError."""
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
