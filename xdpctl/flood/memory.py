# SPDX-License-Identifier: GPL-2.0-or-later
"""Keeps a random sample of the normal packets of the last hours, by family and kind."""

from collections import deque

import numpy as np
from numpy.typing import NDArray

from xdpctl.abi.constants import FlowState, Traffic
from xdpctl.flood.counts import Chunk
from xdpctl.flood.normal import ENOUGH, Normal
from xdpctl.traffic.packets import PACKET, PacketArray, joined

KEPT = 2_000  # packets of a family and kind
FEW = 2 * ENOUGH  # packets of a loud kind: a flood must not displace what is normal
QUARANTINE_SECONDS = 60.0  # an attack begins before anybody knows of it
_FILL_A_SECOND = 100.0  # packets of a kind, until it is full
_RENEW_SECONDS = 10.0  # between two packets of a full sample, which covers about five hours
_PASS_MAX = 50  # packets of a kind in one reading
Slot = tuple[int, Traffic]


class NormalTraffic:
    """Packets of unknown flows that pass. Rules spare known flows, so they hit no others."""

    def __init__(self, seed: int | None = None) -> None:
        self._kept: dict[Slot, PacketArray] = {}
        self._waiting: deque[tuple[float, Slot, PacketArray, int]] = deque()
        self._room: dict[Slot, float] = {}
        self._random = np.random.default_rng(seed)
        self._seen_at: float | None = None
        self._normal: dict[int, Normal] = {}

    def add(
        self, chunk: Chunk, loud: frozenset[Traffic], answered: frozenset[Traffic] = frozenset()
    ) -> None:
        """Take packets of a reading; none of a `loud` kind, whatever its destination.

        Of an `answered` kind, which is loud but whose requests services answer, a few packets are
        taken; these replace no packet in the sample.
        """
        seconds = min(chunk.ended - self._seen_at, 1.0) if self._seen_at is not None else 0.0
        self._seen_at = chunk.ended
        if loud:
            self._waiting = deque(entry for entry in self._waiting if entry[1][1] not in loud)
        unknown = chunk.packets["flow"] != FlowState.KNOWN
        for family in (4, 6):
            of_family = unknown & (chunk.packets["family"] == family)
            if of_family.any():
                self._take(chunk, of_family, family, loud, answered, seconds)
        while self._waiting and self._waiting[0][0] <= chunk.ended - QUARANTINE_SECONDS:
            _, slot, packets, most = self._waiting.popleft()
            self._keep(slot, packets, most)

    def _take(
        self,
        chunk: Chunk,
        of_family: NDArray[np.bool_],
        family: int,
        loud: frozenset[Traffic],
        answered: frozenset[Traffic],
        seconds: float,
    ) -> None:
        for number in np.unique(chunk.kinds[of_family]).tolist():
            kind = Traffic(number)
            if kind in loud:
                continue
            slot = family, kind
            full = len(self._kept.get(slot, ())) >= KEPT
            more = seconds / _RENEW_SECONDS if full else seconds * _FILL_A_SECOND
            room = min(self._room.get(slot, 1.0) + more, _PASS_MAX)
            places = np.flatnonzero(of_family & (chunk.kinds == number))
            count = min(int(room), len(places))
            self._room[slot] = room - count
            if count:
                chosen = chunk.packets[self._random.choice(places, count, replace=False)]
                most = FEW if kind in answered else KEPT
                self._waiting.append((chunk.ended, slot, chosen, most))

    def _keep(self, slot: Slot, packets: PacketArray, most: int) -> None:
        sample = self._kept.get(slot, np.empty(0, PACKET))
        room = most - len(sample)
        if room > 0:
            sample = joined((sample, packets[:room]))
        packets = packets[max(room, 0) :] if most == KEPT else packets[:0]
        if len(packets):  # each new packet replaces a random old one
            places = self._random.choice(len(sample), min(len(packets), len(sample)), replace=False)
            sample[places] = packets[: len(places)]
        self._kept[slot] = sample
        self._normal.pop(slot[0], None)

    def of_family(self, family: int) -> Normal:
        """The sample of a family; each packet has the weight 1."""
        if family not in self._normal:
            parts = [sample for slot, sample in self._kept.items() if slot[0] == family]
            packets = joined(parts)
            packets["weight"] = 1
            order = self._random.permutation(len(packets))
            self._normal[family] = Normal(packets[order])
        return self._normal[family]

    def packets(self) -> PacketArray:
        """All samples, for a file."""
        return joined(self._kept.values())

    def restore(self, packets: PacketArray) -> None:
        """Begin with the samples of an earlier process."""
        normal = Normal(packets)
        for family in (4, 6):
            for kind in Traffic:
                places = np.flatnonzero((packets["family"] == family) & (normal.kinds == kind))
                if len(places):
                    chosen = self._random.permutation(places)[:KEPT]
                    self._kept[family, kind] = packets[chosen]
        self._normal = {}
