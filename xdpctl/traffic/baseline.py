# SPDX-License-Identifier: GPL-2.0-or-later
"""The traffic of the last two hours: some sampled packets of each five minutes, in memory."""

from collections import deque
from dataclasses import dataclass, field
from threading import Lock

import numpy as np

from xdpctl.traffic.packets import PACKET, PacketArray, joined

_PART_SECONDS = 300.0
_PARTS = 24  # two hours
BEFORE_MAX = _PARTS * _PART_SECONDS  # seconds
_KEPT = 1_000  # packets of a part
_AROUND = 1_800.0  # seconds around the time that is asked for


@dataclass(frozen=True, slots=True)
class Before:
    """Packets of an earlier time, and how many seconds they cover; 0 if nothing is known."""

    packets: PacketArray
    seconds: float


@dataclass(slots=True)
class _Part:
    begun: float
    ended: float
    kept: PacketArray = field(default_factory=lambda: np.empty(0, PACKET))
    ranks: np.ndarray[tuple[int], np.dtype[np.float64]] = field(
        default_factory=lambda: np.empty(0)
    )  # of the kept packets
    left_out: float = np.inf  # the smallest rank of a packet that is not kept


class Baseline:
    """Keeps a random sample of each part, from which sums of weights are estimated without bias.

    Priority sampling (Duffield, Lund and Thorup, 2007): a packet's rank is a random number divided
    by its weight. The smallest ranks are kept, and a kept packet weighs at least as much as the
    inverse of the smallest rank that is not.
    """

    def __init__(self, seed: int | None = None) -> None:
        self._parts: deque[_Part] = deque(maxlen=_PARTS)
        self._random = np.random.default_rng(seed)
        self._lock = Lock()

    def add(self, begun: float, ended: float, packets: PacketArray) -> None:
        """Add the packets that were seen between two monotonic times."""
        with self._lock:
            part = self._parts[-1] if self._parts else None
            if part is None or ended - part.begun > _PART_SECONDS:
                part = _Part(begun, ended)
                self._parts.append(part)
            part.ended = ended
            if not len(packets):
                return
            ranks = self._random.random(len(packets)) / packets["weight"]
            ranks = np.concatenate([part.ranks, ranks])
            both = joined((part.kept, packets))
            if len(both) > _KEPT:
                order = np.argpartition(ranks, _KEPT)
                part.left_out = min(part.left_out, float(ranks[order[_KEPT:]].min()))
                ranks, both = ranks[order[:_KEPT]], both[order[:_KEPT]]
            part.ranks, part.kept = ranks, both

    def ago(self, now: float, seconds: float) -> Before:
        """The packets around `seconds` before `now`, weighted to stand for all of that time."""
        at = now - seconds
        with self._lock:
            near = [
                part
                for part in self._parts
                if part.begun <= at + _AROUND and part.ended >= at - _AROUND
                and part.ended < now - _PART_SECONDS
            ]  # fmt: skip
            samples, covered = [], 0.0
            for part in near:
                covered += part.ended - part.begun
                sample = part.kept.copy()
                sample["weight"] = np.maximum(sample["weight"], round(1 / part.left_out))
                samples.append(sample)
        return Before(joined(samples), covered)
