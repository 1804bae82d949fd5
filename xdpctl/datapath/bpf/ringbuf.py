# SPDX-License-Identifier: GPL-2.0-or-later
"""Reading a BPF ring buffer through its mapped memory (Documentation/bpf/ringbuf.rst).

The memory has a page with the consumer's position, a page with the producer's position, and then
the data twice, so that a record that wraps around is contiguous. A record starts with its length
and two flags.
"""

import mmap
import struct
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

_BUSY, _DISCARD = 1 << 31, 1 << 30
_HEADER = 8


class Ring:
    """A ring buffer of `size` bytes, by its map's descriptor; only one reader at a time."""

    def __init__(self, fd: int, size: int) -> None:
        page = mmap.PAGESIZE
        self._size = size
        self._consumer = memoryview(mmap.mmap(fd, page)).cast("Q")
        whole = mmap.mmap(fd, page + 2 * size, prot=mmap.PROT_READ, offset=page)
        self._producer = memoryview(whole)[:8].cast("Q")
        self._data = memoryview(whole)[page:]

    def read(self) -> Iterator[bytes]:
        """The available records, oldest first; a record is consumed when the next is requested."""
        position = self._consumer[0]
        while position < self._producer[0]:
            at = position & (self._size - 1)
            (length,) = struct.unpack_from("<I", self._data, at)
            if length & _BUSY:
                return
            size = length & ~_DISCARD
            start = at + _HEADER
            if not length & _DISCARD:
                yield bytes(self._data[start : start + size])
            position += (_HEADER + size + 7) // 8 * 8
            self._consumer[0] = position

    def read_all(self, dtype: np.dtype[Any]) -> NDArray[np.void]:
        """A copy of all available records, which all have this type, a multiple of 8 bytes long."""
        position, available = self._consumer[0], self._producer[0]
        record = _record(dtype)
        copied = _copied(self._data, self._size, record, position, available)
        self._consumer[0] = position + len(copied) * record.itemsize
        return copied


class Follower:
    """Reads what another process consumes, without consuming it.

    All records have one type, a multiple of 8 bytes long. The memory is mapped for reading alone.
    The kernel overwrites a record once it is consumed and the ring has gone round, so what was
    copied counts only if the producer has not come so far meanwhile.
    """

    def __init__(self, fd: int, size: int, dtype: np.dtype[Any]) -> None:
        page = mmap.PAGESIZE
        whole = mmap.mmap(fd, page + 2 * size, prot=mmap.PROT_READ, offset=page)
        self._consumer = memoryview(mmap.mmap(fd, page, prot=mmap.PROT_READ)).cast("Q")
        self._size, self._record = size, _record(dtype)
        self._producer = memoryview(whole)[:8].cast("Q")
        self._data = memoryview(whole)[page:]
        self._position = self._producer[0]
        self.overrun = 0  # how often records were overwritten before they were read

    @property
    def waiting(self) -> int:
        """How many records there are to read."""
        return (self._producer[0] - self._position) // self._record.itemsize

    @property
    def room(self) -> float:
        """The share of the ring that is free, 0 to 1: there is none if nobody consumes records."""
        used: int = self._producer[0] - self._consumer[0] + self._record.itemsize
        return max(0.0, 1 - used / self._size)

    def read_all(self) -> NDArray[np.void]:
        """A copy of all new records; of more than the ring holds, the newest."""
        available = self._producer[0]
        position = self._behind(available)
        copied = _copied(self._data, self._size, self._record, position, available)
        gone = self._producer[0] - self._size - position  # bytes overwritten meanwhile
        if gone > 0:
            lost = min(-(-gone // self._record.itemsize), len(copied))
            self.overrun += 1
            self._position = position + len(copied) * self._record.itemsize
            return copied[lost:]
        self._position = position + len(copied) * self._record.itemsize
        return copied

    def _behind(self, available: int) -> int:
        """Where to read from: the first record that is certainly whole."""
        if available - self._position <= self._size:
            return self._position
        self.overrun += 1
        whole = self._size // self._record.itemsize * self._record.itemsize
        behind = (available - self._position - whole) // self._record.itemsize + 1
        return self._position + behind * self._record.itemsize


def _record(dtype: np.dtype[Any]) -> np.dtype[Any]:
    return np.dtype([("length", "u4"), ("page", "u4"), ("record", dtype)])


def _copied(
    data: memoryview, size: int, record: np.dtype[Any], position: int, available: int
) -> NDArray[np.void]:
    """The records between two positions, up to the first that is being written."""
    count = (available - position) // record.itemsize
    records = np.frombuffer(data, record, count, position & (size - 1))
    busy = np.flatnonzero(records["length"] & _BUSY)
    records = records[: busy[0]] if len(busy) else records
    return records["record"].copy()
