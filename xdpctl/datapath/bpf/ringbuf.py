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
        record = np.dtype([("length", "u4"), ("page", "u4"), ("record", dtype)])
        count = (available - position) // record.itemsize
        at = position & (self._size - 1)
        found = np.frombuffer(self._data, record, count, at)
        busy = np.flatnonzero(found["length"] & _BUSY)
        found = found[: busy[0]] if len(busy) else found
        copied = found["record"].copy()
        self._consumer[0] = position + len(copied) * record.itemsize
        return copied
