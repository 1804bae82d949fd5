# SPDX-License-Identifier: GPL-2.0-or-later
"""Encoding of announcements for the store, with deadlines as in records.py."""

import msgspec

from xdpctl.base.clock import Now
from xdpctl.control.store.records import decoded, kernel_time
from xdpctl.errors import RuleError
from xdpctl.model.announcement import Announcement


class _Record(msgspec.Struct):
    announcement: Announcement
    boot: str
    expires_at: float


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(_Record)


def encode(announcement: Announcement, now: Now) -> bytes:
    """The stored value of an announcement, as JSON."""
    until = now.wall(announcement.expires_ns) if announcement.expires_ns else 0.0
    return _encoder.encode(_Record(announcement, now.boot, until))


def decode(value: bytes, now: Now) -> Announcement:
    """The stored announcement; ValueError if it is unreadable."""
    record = decoded(_decoder, value)
    announcement = record.announcement
    try:
        _ = announcement.victim  # fails now if the route cannot be read
    except RuleError as error:
        raise ValueError(str(error)) from error
    return announcement.replace(
        expires_ns=kernel_time(announcement.expires_ns, record.expires_at, record.boot, now)
    )
