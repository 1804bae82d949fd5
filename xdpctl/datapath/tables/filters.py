# SPDX-License-Identifier: GPL-2.0-or-later
"""Filters: bit arrays that packets read before the cells, to skip needless look-ups.

`front` says that something is listed near an address. `near` says which prefix lengths are listed
there, and has the hashes of narrow prefixes. For IPv4 `front` is a part of `near`, so that both are
in one cache line. A superfluous bit costs a look-up; a missing bit would hide an entry. So bits are
set before an entry is added, and only a repaint, which reads all entries, clears bits.
"""

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xdpctl.abi.sizes import (
    FRONT_UNITS_LOG2,
    NEAR4_UNITS_LOG2,
    NEAR6_SINGLES,
    NEAR6_UNITS_LOG2,
    SINGLE6_UNITS_LOG2,
)
from xdpctl.base.net.prefix_arrays import V4, V6, Family, Keys, addresses4, words6

Hashes = NDArray[np.uint64]
_GOLDEN = np.uint64(0x9E3779B1)  # the multiplier of source_ipv6() in bpf/source.bpf.h
_SPREAD = 1 << 12  # units; prefixes of up to this size are marked together, wider ones singly
_WIDEST6 = 16  # a shorter IPv6 prefix marks everything
_AT_ONCE = 1 << 20  # units in one step
_FRONT_BYTES = (1 << FRONT_UNITS_LOG2) // 8
_EVERY = (1 << 64) - 1  # the /24s of a /18

SIZES = {  # bytes of each array
    4: {"near": 16 << NEAR4_UNITS_LOG2},
    6: {
        "front": _FRONT_BYTES,
        "near": 16 << NEAR6_UNITS_LOG2,
        "single": (1 << SINGLE6_UNITS_LOG2) // 8,
    },
}


def _set(bits: NDArray[np.uint8], units: NDArray[Any]) -> None:
    values = np.left_shift(1, units & np.uint64(7)).astype(np.uint8)
    np.bitwise_or.at(bits, (units >> np.uint64(3)).astype(np.int64), values)


def _spans(first: NDArray[Any], count: int) -> NDArray[np.uint64]:
    """Each of `first`, and the `count - 1` numbers after it."""
    steps = np.arange(count, dtype=np.uint64)
    return (first.astype(np.uint64)[:, None] + steps).reshape(-1)


def _fill(array: NDArray[Any], first: NDArray[Any], count: int, value: int) -> None:
    """Set the bits of `value` in the `count` elements from each of `first` on."""
    bits = array.dtype.type(value)
    if count <= _SPREAD:
        for part in np.array_split(first, len(first) * count // _AT_ONCE + 1):
            np.bitwise_or.at(array, _spans(part, count).astype(np.int64), bits)
        return
    for start in first.tolist():
        array[start : start + count] |= bits


class Filters(ABC):
    """The filters of one family, in buffers of SIZES bytes."""

    family: Family
    narrow: int  # the least length of prefixes that have a bit by their hash

    def mark(self, keys: Keys, hashes: Hashes) -> None:
        """Set the bits for these prefixes; `hashes` are those of the narrow ones."""
        lengths = self.family.lengths(keys)
        for length in np.unique(lengths).tolist():
            self._mark(keys[lengths == length], length)
        self._hashed(keys[lengths >= self.narrow], hashes)

    @abstractmethod
    def _mark(self, keys: Keys, length: int) -> None: ...

    @abstractmethod
    def _hashed(self, keys: Keys, hashes: Hashes) -> None: ...

    @abstractmethod
    def arrays(self) -> tuple[NDArray[Any], ...]:
        """The array of each filter, always in the same order."""


class Filters4(Filters):
    """IPv4: a `near` record for each /18, with a bit for each of its 64 /24s."""

    family = V4
    narrow = NEAR4_UNITS_LOG2 + 1

    def __init__(self, near: Any) -> None:
        self.near = np.frombuffer(near, np.uint64).reshape(-1, 2)
        parts = self.near.view(np.uint32)
        self.front, self.lengths, self.hashes = self.near[:, 0], parts[:, 2], parts[:, 3]

    def arrays(self) -> tuple[NDArray[Any], ...]:
        """The memory of each filter."""
        return (self.near,)

    def _mark(self, keys: Keys, length: int) -> None:
        addresses = addresses4(keys)
        units = addresses >> np.uint64(32 - NEAR4_UNITS_LOG2)
        count = 1 << max(0, NEAR4_UNITS_LOG2 - length)
        if length > NEAR4_UNITS_LOG2:
            run = np.uint64((1 << (1 << max(0, FRONT_UNITS_LOG2 - length))) - 1)
            first = addresses >> np.uint64(32 - FRONT_UNITS_LOG2) & np.uint64(63)
            np.bitwise_or.at(self.front, units.astype(np.int64), run << first)
        else:
            _fill(self.front, units, count, _EVERY)
        if 0 < length < 32:
            _fill(self.lengths, units, count, 1 << (31 - length))

    def _hashed(self, keys: Keys, hashes: Hashes) -> None:
        units = addresses4(keys) >> np.uint64(32 - NEAR4_UNITS_LOG2)
        bits = np.left_shift(np.uint32(1), (hashes >> np.uint64(59)).astype(np.uint32))
        np.bitwise_or.at(self.hashes, units.astype(np.int64), bits)


class Filters6(Filters):
    """IPv6: a bit and a `near` record for each hash of an address's first 32 bits."""

    family = V6
    narrow = 128

    def __init__(self, front: Any, near: Any, single: Any) -> None:
        self.front = np.frombuffer(front, np.uint8)
        self.near = np.frombuffer(near, np.uint64).reshape(-1, 2)
        self.single = np.frombuffer(single, np.uint8)

    def arrays(self) -> tuple[NDArray[Any], ...]:
        """The memory of each filter."""
        return self.front, self.near, self.single

    def _mark(self, keys: Keys, length: int) -> None:
        if length < _WIDEST6:
            self.front[:] = 255
            if length:
                self.near[:, 1] |= np.uint64(1 << (63 - length))
            return
        column, bit = (0, 127 - length) if length >= 64 else (1, 63 - length)
        if length == 128:
            column, bit = 1, NEAR6_SINGLES
        count = 1 << max(0, 32 - length)
        tops = np.unique(words6(keys)[0] >> np.uint64(32))
        for part in np.array_split(tops, len(tops) * count // _AT_ONCE + 1):
            hashes = _spans(part, count) * _GOLDEN & np.uint64(0xFFFFFFFF)
            units = hashes >> np.uint64(32 - FRONT_UNITS_LOG2)
            _set(self.front, units)
            rows = (units >> np.uint64(FRONT_UNITS_LOG2 - NEAR6_UNITS_LOG2)).astype(np.int64)
            np.bitwise_or.at(self.near[:, column], rows, np.uint64(1 << bit))

    def _hashed(self, keys: Keys, hashes: Hashes) -> None:
        _set(self.single, hashes >> np.uint64(64 - SINGLE6_UNITS_LOG2))
