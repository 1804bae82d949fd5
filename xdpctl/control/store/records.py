# SPDX-License-Identifier: GPL-2.0-or-later
"""Encoding of records for the store: JSON, with deadlines that survive a reboot.

Within one boot, deadlines are read as kernel time, so a step of the wall clock does not move them.
After a reboot they are computed from the wall clock.
"""

from typing import TypeVar

import msgspec

from xdpctl.base.clock import Now
from xdpctl.model.source_set import SourceSet

T = TypeVar("T")
TOKENS = "tokens/"
SETS = "sets/"
ENTRIES = "entries/"
SETTINGS = "settings/"
INCIDENTS = "incidents/"
UNSENT = "unsent/"
SHARED = "shared/"
YIELDED = "yielded/"
ROLLOUTS = "rollout/"
FLEET = "fleet/"
ANNOUNCEMENTS = "announcements/"
REHEARSALS = "rehearsals/"
EXPECTATIONS = "expectations/"
_FOREVER = 1e9  # seconds


_encoder = msgspec.json.Encoder()
_sets = msgspec.json.Decoder(SourceSet)


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


def encode_set(source_set: SourceSet) -> bytes:
    """The stored value of a set, as JSON; its entries are a record of their own."""
    return _encoder.encode(source_set)


def decode_set(value: bytes) -> SourceSet:
    """The stored set; ValueError if it is unreadable."""
    return decoded(_sets, value)
