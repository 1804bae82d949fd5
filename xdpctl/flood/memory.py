# SPDX-License-Identifier: GPL-2.0-or-later
"""Keeps a sample of normal packets by family and kind, of the last hours. Pure but for chance."""

from collections import deque

import numpy as np
from numpy.typing import NDArray

from xdpctl.abi.constants import FlowState, Traffic
from xdpctl.flood.counts import Chunk
from xdpctl.flood.normal import ENOUGH, Normal
from xdpctl.traffic.packets import PACKET, PacketArray, joined

KEPT = 2_000  # packets of a family and kind
FEW = 2 * ENOUGH  # of one that is loud: whoever floods must not displace what is normal
QUARANTINE_SECONDS = 60.0  # an attack begins before anybody knows of it
_FILL_A_SECOND = 100.0  # packets of a kind, until it is full
_RENEW_SECONDS = 10.0  # then one in so many seconds: a sample is of some five hours
_PASS_MAX = 50  # packets of a kind in one reading
Slot = tuple[int, Traffic]


class NormalTraffic:
    """Packets that pass, of no known flow: rules spare known flows, so they hit no others."""

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
        """Take packets of a reading; none of a kind that is loud, whatever its destination.

        Of a kind that is loud and `answered`, few are taken, and none in the place of others.
        """
        seconds = min(chunk.ended - self._seen_at, 1.0) if self._seen_at is not None else 0.0
        self._seen_at = chunk.ended
        if loud:
            self._waiting = deque(each for each in self._waiting if each[1][1] not in loud)
        unknown = chunk.packets["flow"] != FlowState.KNOWN
        for family in (4, 6):
            ours = unknown & (chunk.packets["family"] == family)
            if ours.any():
                self._take(chunk, ours, family, loud, answered, seconds)
        while self._waiting and self._waiting[0][0] <= chunk.ended - QUARANTINE_SECONDS:
            _, slot, packets, most = self._waiting.popleft()
            self._keep(slot, packets, most)

    def _take(
        self,
        chunk: Chunk,
        ours: NDArray[np.bool_],
        family: int,
        loud: frozenset[Traffic],
        answered: frozenset[Traffic],
        seconds: float,
    ) -> None:
        for number in np.unique(chunk.kinds[ours]).tolist():
            kind = Traffic(number)
            if kind in loud:
                continue
            slot = family, kind
            full = len(self._kept.get(slot, ())) >= KEPT
            more = seconds / _RENEW_SECONDS if full else seconds * _FILL_A_SECOND
            room = min(self._room.get(slot, 1.0) + more, _PASS_MAX)
            found = np.flatnonzero(ours & (chunk.kinds == number))
            count = min(int(room), len(found))
            self._room[slot] = room - count
            if count:
                chosen = chunk.packets[self._random.choice(found, count, replace=False)]
                most = FEW if kind in answered else KEPT
                self._waiting.append((chunk.ended, slot, chosen, most))

    def _keep(self, slot: Slot, packets: PacketArray, most: int) -> None:
        kept = self._kept.get(slot, np.empty(0, PACKET))
        room = most - len(kept)
        if room > 0:
            kept = joined((kept, packets[:room]))
        packets = packets[max(room, 0) :] if most == KEPT else packets[:0]
        if len(packets):  # each replaces one by chance
            places = self._random.choice(len(kept), min(len(packets), len(kept)), replace=False)
            kept[places] = packets[: len(places)]
        self._kept[slot] = kept
        self._normal.pop(slot[0], None)

    def of_family(self, family: int) -> Normal:
        """What is kept of a family; each packet stands for itself."""
        if family not in self._normal:
            parts = [kept for slot, kept in self._kept.items() if slot[0] == family]
            packets = joined(parts)
            packets["weight"] = 1
            order = self._random.permutation(len(packets))
            self._normal[family] = Normal(packets[order])
        return self._normal[family]

    def packets(self) -> PacketArray:
        """All that is kept, for a file."""
        return joined(self._kept.values())

    def restore(self, packets: PacketArray) -> None:
        """Begin with what was kept before."""
        found = Normal(packets)
        for family in (4, 6):
            for kind in Traffic:
                ours = np.flatnonzero((packets["family"] == family) & (found.kinds == kind))
                if len(ours):
                    chosen = self._random.permutation(ours)[:KEPT]
                    self._kept[family, kind] = packets[chosen]
        self._normal = {}
