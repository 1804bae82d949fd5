# SPDX-License-Identifier: GPL-2.0-or-later
"""Packets by kind and destination in the last moments, estimated from heads. Pure."""

from collections import deque
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from xdpctl.abi.constants import Traffic
from xdpctl.base.net.prefix import Prefix
from xdpctl.traffic.packets import PacketArray, destination, joined, kinds

WINDOW_SECONDS = 0.1  # a rate covers at least this time
KEPT_SECONDS = 0.5
_FULL = 1.0  # seconds
_ODD = tuple(np.uint64(n) for n in (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9))


@dataclass(frozen=True, slots=True)
class Chunk:
    """Packets of one reading; `ended` is monotonic, `seconds` is its length."""

    ended: float
    seconds: float
    packets: PacketArray

    @property
    def kinds(self) -> NDArray[np.uint8]:
        """The kind of each packet."""
        return kinds(self.packets)

    def of(self, chosen: NDArray[np.bool_]) -> "Chunk":
        return replace(self, packets=self.packets[chosen])


@dataclass(frozen=True, slots=True)
class Strata:
    """Rates in packets a second by destination and kind; `first` has one packet of each stratum."""

    rates: NDArray[np.float64]
    first: PacketArray

    @property
    def kinds(self) -> NDArray[np.uint8]:
        return kinds(self.first)

    def key(self, place: int) -> tuple[Prefix, Traffic]:
        """The destination and kind of one stratum."""
        return destination(self.first[place]), Traffic(int(self.kinds[place]))


def strata(packets: PacketArray, seconds: float) -> Strata:
    """The rate of each stratum."""
    words = np.ascontiguousarray(packets["destination"]).view(np.uint64).reshape(-1, 2)
    mixed = (words[:, 0] ^ (words[:, 1] * _ODD[0])) * _ODD[1]
    codes = (mixed ^ (mixed >> np.uint64(29))) + packets["traffic"].astype(np.uint64) * _ODD[2]
    _, first, places = np.unique(codes, return_index=True, return_inverse=True)
    sums = np.bincount(places, packets["weight"], len(first))
    return Strata(sums / max(seconds, 1e-6), packets[first])


class Recent:
    """The packets of the last half second."""

    def __init__(self) -> None:
        self._chunks: deque[Chunk] = deque()

    def add(self, chunk: Chunk) -> None:
        """Add a reading, and forget what is old."""
        self._chunks.append(chunk)
        while self._chunks[0].ended < chunk.ended - KEPT_SECONDS:
            self._chunks.popleft()

    def last(self, seconds: float) -> Chunk:
        """The packets of at least the last `seconds`, as one chunk."""
        chunks: list[Chunk] = []
        covered = 0.0
        for chunk in reversed(self._chunks):
            if covered >= seconds - 1e-9:
                break
            chunks.append(chunk)
            covered += chunk.seconds
        chunks.reverse()
        packets = joined(part.packets for part in chunks)
        ended = chunks[-1].ended if chunks else 0.0
        return Chunk(ended, max(covered, seconds), packets)


class Second:
    """Gathers the packets of a second."""

    def __init__(self) -> None:
        self._chunks: list[Chunk] = []
        self._seconds = 0.0

    def add(self, chunk: Chunk) -> Strata | None:
        """Add packets; return the rates of the second once it is over, else None."""
        self._chunks.append(chunk)
        self._seconds += chunk.seconds
        if self._seconds < _FULL:
            return None
        packets = joined(gathered.packets for gathered in self._chunks)
        rates = strata(packets, self._seconds)
        self._chunks, self._seconds = [], 0.0
        return rates
