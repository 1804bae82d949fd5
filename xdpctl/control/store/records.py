# SPDX-License-Identifier: GPL-2.0-or-later
"""Encoding of rules and sets for the store: JSON with deadlines that survive a reboot.

Within one boot, deadlines are read as kernel time, so a step of the wall clock does not move them.
After a reboot they are computed from the wall clock.
"""

from functools import lru_cache
from typing import TypeVar

import msgspec

from xdpctl.base.clock import Now
from xdpctl.base.net.prefix import Prefix
from xdpctl.model.effect import Action, Mode, Spare
from xdpctl.model.match.match import Match
from xdpctl.model.names import parse_rule_id, rule_id
from xdpctl.model.rule import Rule
from xdpctl.model.source_set import SourceSet

T = TypeVar("T")
RULES = "rules/"
TOKENS = "tokens/"
SETS = "sets/"
ENTRIES = "entries/"
SETTINGS = "settings/"
INCIDENTS = "incidents/"
UNSENT = "unsent/"
SHARED = "shared/"
FLEET = "fleet/"
ANNOUNCEMENTS = "announcements/"
EXPECTATIONS = "expectations/"
_FOREVER = 1e9  # seconds


class _Match(msgspec.Struct, forbid_unknown_fields=True):
    source: str


class _Shared(msgspec.Struct, omit_defaults=True, forbid_unknown_fields=True):
    """All of a record except its match; thousands of rules of one import share these values."""

    action: str
    mode: str
    origin: str
    created_at: float
    reason: str = ""
    tags: tuple[str, ...] = ()
    boot: str = ""
    expires_ns: int = 0
    expires_at: float = 0
    confirm_by_ns: int = 0
    confirm_by_at: float = 0
    spare: str = ""


class _Record(_Shared, kw_only=True, forbid_unknown_fields=True):
    match: _Match


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(_Record)
_sets = msgspec.json.Decoder(SourceSet)
_strings: dict[str, str] = {}


def _shared(text: str) -> str:
    """One object for equal texts, since thousands of rules repeat origins, reasons and tags."""
    if len(_strings) > 10_000:
        _strings.clear()
    return _strings.setdefault(text, text)


def rule_key(source: Prefix) -> str:
    """The key of the rule on this source."""
    return RULES + rule_id(source)


def source_of(key: str) -> Prefix:
    """The source of the rule that has this key; RuleError if the key names none."""
    return parse_rule_id(key.removeprefix(RULES))


def encode(rule: Rule, now: Now) -> bytes:
    """The stored value of a rule, as JSON."""
    timed = rule.expires_ns or rule.confirm_by_ns
    shared = _encode_shared(
        action=rule.action,
        mode=rule.mode,
        origin=rule.origin,
        reason=rule.reason,
        tags=rule.tags,
        created_at=rule.created_at,
        expires_ns=rule.expires_ns,
        confirm_by_ns=rule.confirm_by_ns,
        spare=rule.spare,
        now=now if timed else None,
    )
    return b'{"match":{"source":"%b"},%b' % (str(rule.match.source).encode(), shared)


@lru_cache(256)
def _encode_shared(
    action: Action,
    mode: Mode,
    origin: str,
    reason: str,
    tags: tuple[str, ...],
    created_at: float,
    expires_ns: int,
    confirm_by_ns: int,
    spare: Spare,
    now: Now | None,
) -> bytes:
    """The JSON after the match, up to the end; `now` is None if the rule has no deadline."""
    record = _Shared(
        action=action.value,
        mode=mode.value,
        origin=origin,
        created_at=created_at,
        reason=reason,
        tags=tags,
        boot=now.boot if now else "",
        expires_ns=expires_ns,
        expires_at=now.wall(expires_ns) if now and expires_ns else 0,
        confirm_by_ns=confirm_by_ns,
        confirm_by_at=now.wall(confirm_by_ns) if now and confirm_by_ns else 0,
        spare="" if spare is Spare.NONE else spare.value,
    )
    return _encoder.encode(record)[1:]


def decoded(decoder: "msgspec.json.Decoder[T]", value: bytes) -> T:
    """The decoded value; ValueError if it is not valid, or nested too deeply."""
    try:
        return decoder.decode(value)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def kernel_time(ns: int, unix: float, boot: str, now: Now) -> int:
    """A stored deadline as kernel time of this boot, in nanoseconds; 0 for none.

    `ns` and `unix` are the deadline in kernel time of the boot `boot` and in wall-clock time.
    """
    if not ns or boot == now.boot:
        return ns
    return max(1, now.after(max(-_FOREVER, min(unix - now.unix, _FOREVER))))


def decode(source: Prefix, value: bytes, now: Now) -> Rule:
    """The rule stored under the key of `source`; ValueError or RuleError if it is unreadable."""
    record = decoded(_decoder, value)
    if record.match.source != str(source):
        raise ValueError(f"its match is {record.match.source[:60]!r}, and its key says {source}")
    rule = Rule(
        match=Match(source),
        action=Action(record.action),
        mode=Mode(record.mode),
        origin=_shared(record.origin),
        reason=_shared(record.reason),
        tags=tuple(map(_shared, record.tags)),
        created_at=record.created_at,
        expires_ns=kernel_time(record.expires_ns, record.expires_at, record.boot, now),
        confirm_by_ns=kernel_time(record.confirm_by_ns, record.confirm_by_at, record.boot, now),
        spare=Spare(record.spare) if record.spare else Spare.NONE,
    )
    if rule.by_source is None:
        raise ValueError(f"it is no rule on a source alone: it {rule.action}s, spare {rule.spare}")
    return rule


def encode_set(source_set: SourceSet) -> bytes:
    """The stored value of a set, as JSON; its entries are a record of their own."""
    return _encoder.encode(source_set)


def decode_set(value: bytes) -> SourceSet:
    """The stored set; ValueError if it is unreadable."""
    return decoded(_sets, value)
