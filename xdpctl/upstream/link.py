# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether a link is full, second by second. Pure.

What fills a link is lost before it arrives, whatever is dropped here. A frame takes more of a link
than its bytes: on Ethernet (IEEE 802.3), 8 bytes of preamble, 4 of checksum and a gap of 12.
"""

import math
from collections import deque
from typing import NamedTuple

from xdpctl.base.units import si3
from xdpctl.upstream.settings import HOT_SECONDS, Uplink

FRAME_BYTES = 24  # of each frame, besides those that the filter counts
_LOST_SHARE, _LOST_LEAST = 0.01, 100.0  # of the packets, and packets a second: less is chance
_FULL = 0.9  # the share from which on an uplink is full
WATCHED_SECONDS = 10  # in which HOT_SECONDS make a link full, so that pulses count
_OVER_SECONDS, _OVER_SHARE = 10, 0.2  # so long so far below _FULL: the link is free again
_TOO_LOW = 1.05  # more than this cannot be: the configured rate is wrong


class Reading(NamedTuple):
    """A second of a link; rates. NaN for what is not known.

    `lost`: packets that the device or its driver lost before the filter. `dropped`: by the filter.
    `sent`: bits that go out, on the wire.
    """

    packets: float
    bits: float  # on the wire
    lost: float
    dropped: float
    sent: float = math.nan


UNKNOWN = Reading(*(math.nan,) * 4)


class State(NamedTuple):
    """A link as of its last second. `share` is of its rate; NaN if it is not known.

    `full_for`: seconds, 0 if it is not full. `most`: the largest share so far. `share_out` and
    `full_out_for` are of what goes out.
    """

    reading: Reading
    share: float
    full_for: int
    most: float
    why: str
    share_out: float = math.nan
    full_out_for: int = 0

    @property
    def is_full(self) -> bool:
        """Whether its rate arrives in this second."""
        return self.share >= _FULL

    @property
    def rate_is_wrong(self) -> bool:
        """Whether more came than the link can carry, so its rate is configured too low."""
        return self.most > _TOO_LOW


class Link:
    """Judges one link; `add` a reading each second."""

    def __init__(self, uplink: Uplink) -> None:
        self.uplink = uplink
        self._hot = deque[bool](maxlen=WATCHED_SECONDS)
        self._row, self._cool, self._full_for, self._most = 0, 0, 0, 0.0
        self._hot_out = 0
        self.state = State(UNKNOWN, math.nan, 0, 0.0, "")

    def add(self, reading: Reading) -> None:
        """Take the next second into account."""
        share = reading.bits / self.uplink.bits_in
        why = self._why(reading, share)
        self._hot.append(bool(why))
        self._row = self._row + 1 if why else 0
        calm = not why and not share > _FULL - _OVER_SHARE
        if why or not math.isnan(share):  # an unknown share proves nothing
            self._cool = self._cool + 1 if calm else 0
        hot = sum(self._hot)
        if self._full_for or (why and hot >= HOT_SECONDS):
            self._full_for += 1 if self._full_for else hot
        if self._cool >= _OVER_SECONDS:
            self._full_for = 0
        if share > self._most and self._row >= HOT_SECONDS:
            self._most = share  # bursts do not count: a single second may exaggerate them
        reason = (why or self.state.why) if self._full_for else ""
        out = reading.sent / self.uplink.bits_out if self.uplink.bits_out else math.nan
        self._hot_out = self._hot_out + 1 if out >= _FULL else 0
        full_out = self._hot_out if self._hot_out >= HOT_SECONDS else 0
        self.state = State(reading, share, self._full_for, self._most, reason, out, full_out)

    def _why(self, reading: Reading, share: float) -> str:
        """Why the link is full in this second; "" if it is not."""
        if share >= _FULL:
            rate = si3(self.uplink.bits_in)
            return f"{share:.0%} of its {rate}bit/s arrive"
        arriving = reading.packets + reading.lost
        many = reading.lost >= max(_LOST_LEAST, _LOST_SHARE * arriving)
        if many and reading.dropped > 0:
            return f"the device loses {si3(reading.lost)} packets/s before the filter"
        return ""
