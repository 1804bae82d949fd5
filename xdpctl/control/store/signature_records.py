# SPDX-License-Identifier: GPL-2.0-or-later
"""Signatures as the store keeps them, with the same times as rules (see records.py)."""

import msgspec

from xdpctl.base.clock import Now
from xdpctl.control.store.records import decoded, kernel_time
from xdpctl.model.match.match import build
from xdpctl.model.rule import Action, Mode, Spare
from xdpctl.model.signature import Rate, Signature

SIGNATURES = "signatures/"


class _Record(msgspec.Struct, omit_defaults=True):
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


def encode_signature(held: Signature, now: Now) -> bytes:
    """The value that the store keeps of a signature."""
    timed = held.kernel_expires_ns
    record = _Record(
        match=held.match.as_json(),
        slot=held.slot,
        action=held.action.value,
        mode=held.mode.value,
        spare=held.spare.value,
        origin=held.origin,
        created_at=held.created_at,
        limit=held.limit,
        priority=held.priority,
        reason=held.reason,
        tags=held.tags,
        boot=now.boot if timed else "",
        expires_ns=held.expires_ns,
        expires_at=now.wall(held.expires_ns) if held.expires_ns else 0,
        confirm_by_ns=held.confirm_by_ns,
        confirm_by_at=now.wall(held.confirm_by_ns) if held.confirm_by_ns else 0,
    )
    return _encoder.encode(record)


def decode_signature(value: bytes, now: Now) -> Signature:
    """ValueError or RuleError if it is unreadable."""
    record = decoded(_decoder, value)
    return Signature(
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
