# SPDX-License-Identifier: GPL-2.0-or-later
"""The sampled packets of the last minute."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from threading import Lock

import numpy as np

from xdpctl.traffic.packets import PACKET, PacketArray, joined

SECONDS_MAX = 60.0
PACKETS_MAX = 1 << 17  # about 13 MB
_CHUNK_SECONDS = 0.25  # the resolution of a window


@dataclass(frozen=True, slots=True)
class Seen:
    """Sampled packets, and the monotonic times between which they were seen."""

    packets: PacketArray
    begun: float
    ended: float
    missing: int  # packets of that time without a head, because there was no room

    @property
    def seconds(self) -> float:
        """For how long packets were watched."""
        return max(self.ended - self.begun, 0.0)


@dataclass(slots=True)
class _Chunk:
    begun: float
    ended: float
    packets: list[PacketArray]
    missing: int = 0

    @property
    def count(self) -> int:
        return sum(map(len, self.packets))


class Window:
    """Keeps the newest packets, of 60 seconds at most; any thread may read it."""

    def __init__(self, most: int = PACKETS_MAX) -> None:
        self._chunks: deque[_Chunk] = deque()
        self._most = most
        self._lock = Lock()
        self._count = 0

    def add(self, begun: float, ended: float, packets: PacketArray, missing: int = 0) -> None:
        """Add the packets that were seen between two monotonic times."""
        with self._lock:
            last = self._chunks[-1] if self._chunks else None
            if last is None or ended - last.begun > _CHUNK_SECONDS or begun > last.ended:
                last = _Chunk(begun, ended, [])
                self._chunks.append(last)
            last.ended = ended
            last.missing += missing
            if len(packets):
                last.packets.append(packets)
                self._count += len(packets)
            while self._chunks[0].ended < ended - SECONDS_MAX or (
                self._count > self._most and len(self._chunks) > 1
            ):
                self._count -= self._chunks.popleft().count

    def last(self, seconds: float) -> Seen:
        """The packets of the last `seconds`, or of as much as is kept."""
        with self._lock:
            if not self._chunks:
                return Seen(np.empty(0, PACKET), 0.0, 0.0, 0)
            ended = self._chunks[-1].ended
            chunks = [c for c in self._chunks if c.begun >= ended - seconds - _CHUNK_SECONDS / 2]
            return _seen(chunks or [self._chunks[-1]])

    def parts(self, begun: float, ended: float, seconds: float) -> list[Seen]:
        """What was seen between two monotonic times, in parts of about `seconds`, oldest first.

        Incomplete parts are left out.
        """
        parts: list[list[_Chunk]] = []
        with self._lock:
            for chunk in self._chunks:
                if chunk.begun < begun or chunk.ended > ended:
                    continue
                if not parts or chunk.ended - parts[-1][0].begun > seconds + _CHUNK_SECONDS / 2:
                    parts.append([])
                parts[-1].append(chunk)
            found = [_seen(chunks) for chunks in parts]
        return [part for part in found if part.seconds >= seconds - _CHUNK_SECONDS]


def _seen(chunks: Sequence[_Chunk]) -> Seen:
    """The packets of these chunks, of which there is at least one."""
    packets = joined(part for chunk in chunks for part in chunk.packets)
    missing = sum(chunk.missing for chunk in chunks)
    return Seen(packets, chunks[0].begun, chunks[-1].ended, missing)
