# SPDX-License-Identifier: GPL-2.0-or-later
"""Encoding of rules for the store, with deadlines as in records.py."""

from functools import lru_cache

import msgspec

from xdpctl.base.clock import Now
from xdpctl.base.net.prefix import Prefix
from xdpctl.control.store.records import decoded, kernel_time
from xdpctl.model.effect import Action, Mode, Spare
from xdpctl.model.match.match import Key, Match, build, id_of, key_named
from xdpctl.model.rate import Rate
from xdpctl.model.rule import Rule

RULES = "rules/"


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
    limit: Rate | None = None
    priority: int = 0
    rank: str = ""
    slot: int = 0


class _Record(_Shared, kw_only=True, forbid_unknown_fields=True):
    match: dict[str, str]


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(_Record)
_strings: dict[str, str] = {}


def _shared(text: str) -> str:
    """One object for equal texts, since thousands of rules repeat origins, reasons and tags."""
    if len(_strings) > 10_000:
        _strings.clear()
    return _strings.setdefault(text, text)


def rule_key(key: Key) -> str:
    """The key in the store of the rule that has this key."""
    return RULES + id_of(key)


def key_of(text: str) -> Key:
    """The key of the rule that has this key in the store; RuleError if it names none."""
    return key_named(text.removeprefix(RULES))


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
        limit=rule.limit,
        priority=rule.priority,
        rank=rule.rank,
        slot=rule.slot,
        now=now if timed else None,
    )
    source = rule.match.source_only
    if source is not None:
        return b'{"match":{"source":"%b"},%b' % (str(source).encode(), shared)
    return b'{"match":%b,%b' % (_encoder.encode(rule.match.as_json()), shared)


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
    limit: Rate | None,
    priority: int,
    rank: str,
    slot: int,
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
        limit=limit,
        priority=priority,
        rank=rank,
        slot=slot,
    )
    return _encoder.encode(record)[1:]


def decode(key: Key, value: bytes, now: Now) -> Rule:
    """The rule stored under a key; ValueError or RuleError if it is unreadable."""
    record = decoded(_decoder, value)
    rule = Rule(
        match=_match(key, record.match),
        action=Action(record.action),
        mode=Mode(record.mode),
        origin=_shared(record.origin),
        reason=_shared(record.reason),
        tags=tuple(map(_shared, record.tags)),
        created_at=record.created_at,
        expires_ns=kernel_time(record.expires_ns, record.expires_at, record.boot, now),
        confirm_by_ns=kernel_time(record.confirm_by_ns, record.confirm_by_at, record.boot, now),
        spare=Spare(record.spare) if record.spare else Spare.NONE,
        limit=record.limit,
        priority=record.priority,
        rank=record.rank,
        slot=record.slot,
    )
    if rule.by_source and rule.slot:
        raise ValueError("a rule in the table of sources has no slot of its own")
    return rule


def _match(key: Key, stored: dict[str, str]) -> Match:
    if isinstance(key, Prefix) and stored == {"source": str(key)}:
        return Match(key)
    match = build(stored)
    if match.key != key:
        raise ValueError(f"its match is {str(match)[:60]!r}, and its key says {id_of(key)}")
    return match
