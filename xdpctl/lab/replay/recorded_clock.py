# SPDX-License-Identifier: GPL-2.0-or-later
"""The clock of a recording, by which limits are rehearsed. Pure."""

from dataclasses import dataclass

_REORDERED_NS = 10**9  # several queues or cards record packets out of order by less than this
_GAP_NS = 4 * 3600 * 10**9  # by then every bucket is empty, so more makes no difference
_LAST_NS = 1 << 62


@dataclass(slots=True)
class RecordedClock:
    """Turns the packets' times into a clock that never goes back; it begins at 1 ns.

    A packet that is late by up to a second gets the time of the latest one before it. If times step
    back further, the recording's clock was set: the clock goes on from there as if no time had
    passed. A packet without a time gets the time of the one before it.
    """

    ns: int = 1
    late: int = 0  # packets with an earlier time than one before them
    set_back: int = 0  # of these, packets at which the clock was set back
    timeless: int = 0  # packets without a time
    _latest: int = 0

    def read(self, unix_ns: int) -> int:
        """The clock in ns at a packet with this time; 0: the packet has none."""
        if not unix_ns:
            self.timeless += 1
            return self.ns
        ahead = unix_ns - (self._latest or unix_ns)
        if ahead < 0:
            self.late += 1
            if ahead >= -_REORDERED_NS:
                return self.ns
            self.set_back += 1
        else:
            self.ns = min(self.ns + min(ahead, _GAP_NS), _LAST_NS)
        self._latest = unix_ns
        return self.ns
