# SPDX-License-Identifier: GPL-2.0-or-later
"""Reads the heads of packets ten times a second, and decides how many are observed."""

import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from xdpctl.abi.constants import FlowState, OutClass, Reason
from xdpctl.abi.sizes import REASONS
from xdpctl.base.periodic import PeriodicTask
from xdpctl.datapath.heads import NEVER, Heads, Masks, no_masks, nothing_out
from xdpctl.datapath.served import CountsOf
from xdpctl.traffic.baseline import Baseline
from xdpctl.traffic.classify import classified
from xdpctl.traffic.packets import PacketArray, read
from xdpctl.traffic.served import Served
from xdpctl.traffic.window import Seen, Window

EPOCH_SECONDS = 0.1
_LATE_SECONDS = 5.0
_FEW = 0.5  # share of the most heads
_WANTED = 100  # heads of each reason in an epoch
_OBSERVED = 4_000  # packets that no rule decided in an epoch
_HEADS = 300  # most heads of packets that no rule decided
_OUT_OBSERVED, _OUT_HEADS = 1_000, 100  # the same of each class of what goes out
_OUT_KEPT = 1 << 16  # packets of the last minute
_MOST_LOG2 = 20  # at least one packet in a million is observed
_TROUBLE = "traffic is not observed, so live figures are missing"


class Sampler:
    """Fills `window` and `served`, between `start` and `stop`, and `out` with what goes out.

    `baseline` gets only the packets that no rule decided.
    """

    def __init__(self, heads: Heads, open_counts: Callable[[], CountsOf]) -> None:
        self._heads = heads
        self.window, self.baseline, self.served = Window(), Baseline(), Served(open_counts)
        self.out = Window(_OUT_KEPT)
        self._every_log2 = np.zeros(REASONS, np.int64)
        self._out_every_log2 = np.zeros(len(OutClass), np.int64)
        self._read_at: float | None = None
        self._lost = self._out_lost = 0
        self._beat = PeriodicTask("observation", EPOCH_SECONDS, self.step, _TROUBLE, rest=5.0)
        self.start = self._beat.start

    def stop(self) -> None:
        """Stop observing; packets are no longer copied."""
        self._beat.stop()
        self._heads.observe(no_masks())
        self._heads.out.observe(nothing_out())

    def late(self, now: float) -> bool:
        """Whether nothing was read for a while, so that the window is out of date."""
        return self._read_at is None or now > self._read_at + _LATE_SECONDS

    def last(self, seconds: float) -> Seen | None:
        """The packets of the last seconds; None if nothing is observed."""
        return None if self.late(time.monotonic()) else self.window.last(seconds)

    def step(self, now: float) -> None:
        """Read what was observed since the last step, and adapt to it."""
        self._step_out(now)  # before the next epoch begins
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

    def _step_out(self, now: float) -> None:
        packets, lost = classified(read(self._heads.out.read())), self._heads.out.lost()
        if self._read_at is not None:
            self.out.add(self._read_at, now, packets, max(lost - self._out_lost, 0))
            self._out_every_log2 = adapt_out(self._out_every_log2, packets)
        self._out_lost = lost
        self._heads.out.observe(((1 << self._out_every_log2) - 1).astype(np.uint32))


def adapt(every_log2: NDArray[np.int64], packets: PacketArray) -> NDArray[np.int64]:
    """How rarely each reason's packets are observed next: the n of one in 2^n.

    It becomes rarer at once, so that a flood costs little, and denser by one step an epoch. Many
    packets that no rule decided are observed; the program copies fewer of them, by strata.
    """
    reasons, undecided = packets["reason"] % REASONS, [Reason.NO_RULE]
    weights = np.bincount(reasons, packets["weight"], REASONS)
    heads = np.bincount(reasons, minlength=REASONS)
    wanted = _log2(weights / _WANTED)
    wanted[undecided] = _by_strata(
        every_log2[undecided], weights[undecided] / _OBSERVED, heads[undecided] / _HEADS
    )
    return np.minimum(np.maximum(wanted, every_log2 - 1), _MOST_LOG2)


def adapt_out(every_log2: NDArray[np.int64], packets: PacketArray) -> NDArray[np.int64]:
    """The same for each OutClass of what goes out."""
    classes = np.where(packets["flow"] == FlowState.UNKNOWN, OutClass.BEGINS, OutClass.GOES_ON)
    weights = np.bincount(classes, packets["weight"], len(OutClass))
    heads = np.bincount(classes, minlength=len(OutClass))
    wanted = _by_strata(every_log2, weights / _OUT_OBSERVED, heads / _OUT_HEADS)
    return np.minimum(np.maximum(wanted, every_log2 - 1), _MOST_LOG2)


def _by_strata(
    every_log2: NDArray[np.int64], observed: NDArray[np.float64], heads: NDArray[np.float64]
) -> NDArray[np.int64]:
    """What is wanted where the program copies fewer than it observes; both as shares of the most.

    It becomes denser while there are few heads.
    """
    rarer, denser = every_log2 + _log2(heads), every_log2 - (heads < _FEW)
    return np.maximum(_log2(observed), np.where(heads > 1, rarer, denser))


def _log2(many: NDArray[np.float64]) -> NDArray[np.int64]:
    """The exponent of the smallest power of two that is not less, at least 0."""
    return np.asarray(np.ceil(np.log2(np.maximum(many, 1.0))), np.int64)


def masks(every_log2: NDArray[np.int64]) -> Masks:
    """The masks that observe one packet in 2^n of each reason."""
    by_reason = np.full(REASONS, NEVER, np.uint32)
    reasons = [reason for reason in Reason if reason is not Reason.NONE]
    by_reason[reasons] = (1 << every_log2[reasons]) - 1
    return by_reason
