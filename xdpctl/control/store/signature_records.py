# SPDX-License-Identifier: GPL-2.0-or-later
"""Encoding of signatures for the store, with deadlines as in records.py."""

import msgspec

from xdpctl.base.clock import Now
from xdpctl.control.store.records import decoded, kernel_time
from xdpctl.model.effect import Action, Mode, Spare
from xdpctl.model.match.match import build
from xdpctl.model.rate import Rate
from xdpctl.model.rule import Rule

SIGNATURES = "matches/"


class _Record(msgspec.Struct, omit_defaults=True, forbid_unknown_fields=True):
    match: dict[str, str]
    slot: int
    action: str
    mode: str
    spare: str
    origin: str
    created_at: float
    limit: Rate | None = None
    priority: int = 0
    reason: str = ""
    tags: tuple[str, ...] = ()
    boot: str = ""
    expires_ns: int = 0
    expires_at: float = 0
    confirm_by_ns: int = 0
    confirm_by_at: float = 0


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(_Record)


def encode_signature(signature: Rule, now: Now) -> bytes:
    """The stored value of a signature, as JSON."""
    timed = signature.kernel_expires_ns
    record = _Record(
        match=signature.match.as_json(),
        slot=signature.slot,
        action=signature.action.value,
        mode=signature.mode.value,
        spare=signature.spare.value,
        origin=signature.origin,
        created_at=signature.created_at,
        limit=signature.limit,
        priority=signature.priority,
        reason=signature.reason,
        tags=signature.tags,
        boot=now.boot if timed else "",
        expires_ns=signature.expires_ns,
        expires_at=now.wall(signature.expires_ns) if signature.expires_ns else 0,
        confirm_by_ns=signature.confirm_by_ns,
        confirm_by_at=now.wall(signature.confirm_by_ns) if signature.confirm_by_ns else 0,
    )
    return _encoder.encode(record)


def decode_signature(value: bytes, now: Now) -> Rule:
    """The stored signature; ValueError or RuleError if it is unreadable."""
    record = decoded(_decoder, value)
    rule = Rule(
        match=build(record.match),
        slot=record.slot,
        action=Action(record.action),
        mode=Mode(record.mode),
        spare=Spare(record.spare),
        limit=record.limit,
        priority=record.priority,
        origin=record.origin,
        reason=record.reason,
        tags=record.tags,
        created_at=record.created_at,
        expires_ns=kernel_time(record.expires_ns, record.expires_at, record.boot, now),
        confirm_by_ns=kernel_time(record.confirm_by_ns, record.confirm_by_at, record.boot, now),
    )
    if rule.by_source is not None:
        raise ValueError("it is a rule on a source alone")
    return rule
