# SPDX-License-Identifier: GPL-2.0-or-later
"""Reads the heads of packets ten times a second, and decides how many are observed."""

import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from xdpctl.abi.constants import Reason
from xdpctl.abi.sizes import REASONS
from xdpctl.base.periodic import PeriodicTask
from xdpctl.datapath.heads import NEVER, Heads, Masks, no_masks
from xdpctl.datapath.served import CountsOf
from xdpctl.traffic.baseline import Baseline
from xdpctl.traffic.packets import PacketArray, read
from xdpctl.traffic.served import Served
from xdpctl.traffic.window import Seen, Window

EPOCH_SECONDS = 0.1
_LATE_SECONDS = 5.0
_WANTED = 100  # heads of each reason in an epoch
_OBSERVED = 4_000  # packets that no rule decided in an epoch
_HEADS = 300  # most heads of packets that no rule decided
_MOST_LOG2 = 20  # at least one packet in a million is observed
_TROUBLE = "traffic is not observed, so live figures are missing"


class Sampler:
    """Fills `window` and `served`, between `start` and `stop`.

    `baseline` gets only the packets that no rule decided.
    """

    def __init__(self, heads: Heads, open_counts: Callable[[], CountsOf]) -> None:
        self._heads = heads
        self.window, self.baseline, self.served = Window(), Baseline(), Served(open_counts)
        self._every_log2 = np.zeros(REASONS, np.int64)
        self._read_at: float | None = None
        self._lost = 0
        self._beat = PeriodicTask("observation", EPOCH_SECONDS, self.step, _TROUBLE, rest=5.0)
        self.start = self._beat.start

    def stop(self) -> None:
        """Stop observing; packets are no longer copied."""
        self._beat.stop()
        self._heads.observe(no_masks())

    def late(self, now: float) -> bool:
        """Whether nothing was read for a while, so that the window is out of date."""
        return self._read_at is None or now > self._read_at + _LATE_SECONDS

    def last(self, seconds: float) -> Seen | None:
        """The packets of the last seconds; None if nothing is observed."""
        return None if self.late(time.monotonic()) else self.window.last(seconds)

    def step(self, now: float) -> None:
        """Read what was observed since the last step, and adapt to it."""
        packets = read(self._heads.read())
        lost, first = self._heads.lost(), self._read_at is None
        if self._read_at is not None:  # the first reading has packets of an earlier process
            self.window.add(self._read_at, now, packets, max(lost - self._lost, 0))
            undecided = packets[packets["reason"] == Reason.NO_RULE]
            self.baseline.add(self._read_at, now, undecided)
            self._every_log2 = adapt(self._every_log2, packets)
        self._read_at, self._lost = now, lost
        self._heads.observe(masks(self._every_log2))
        if not first:
            self.served.add(now, packets)


def adapt(every_log2: NDArray[np.int64], packets: PacketArray) -> NDArray[np.int64]:
    """How rarely each reason's packets are observed next: the n of one in 2^n.

    It becomes rarer at once, so that a flood costs little, and denser by one step an epoch. Many
    packets that no rule decided are observed; the program copies fewer of them, by strata.
    """
    reasons = packets["reason"] % REASONS
    wanted = _log2(np.bincount(reasons, packets["weight"], REASONS) / _WANTED)
    heads = np.bincount(reasons, minlength=REASONS)[Reason.NO_RULE]
    of_all = packets["weight"][reasons == Reason.NO_RULE].sum(dtype=np.float64) / _OBSERVED
    denser = every_log2[Reason.NO_RULE] - (heads < _HEADS / 2)
    rarer = every_log2[Reason.NO_RULE] + _log2(heads / _HEADS)
    wanted[Reason.NO_RULE] = max(_log2(of_all), rarer if heads > _HEADS else denser)
    return np.minimum(np.maximum(wanted, every_log2 - 1), _MOST_LOG2)


def _log2(many: NDArray[np.float64]) -> NDArray[np.int64]:
    """The exponent of the smallest power of two that is not less, at least 0."""
    return np.asarray(np.ceil(np.log2(np.maximum(many, 1.0))), np.int64)


def masks(every_log2: NDArray[np.int64]) -> Masks:
    """The masks that observe one packet in 2^n of each reason."""
    by_reason = np.full(REASONS, NEVER, np.uint32)
    reasons = [reason for reason in Reason if reason is not Reason.NONE]
    by_reason[reasons] = (1 << every_log2[reasons]) - 1
    return by_reason
