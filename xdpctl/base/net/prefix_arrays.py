# SPDX-License-Identifier: GPL-2.0-or-later
"""Many prefixes of one family as a numpy array of keys; each key is a prefix.

An IPv4 key is the integer `address << 6 | length`, which is also the key of a cell in the source
table. An IPv6 key has 17 bytes, the address and then the length. Keys sort by address, and wider
prefixes before narrower ones.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xdpctl.base.net.prefix import Prefix

Keys = NDArray[Any]  # uint64 for IPv4, S17 for IPv6
Lengths = NDArray[np.uint8]
_LENGTH4 = 6  # bits of an IPv4 key that hold the length


@dataclass(frozen=True, slots=True)
class Family:
    """An address family (4 or 6): conversions between its prefixes and keys."""

    number: int
    bits: int
    dtype: np.dtype[Any]

    @property
    def empty(self) -> Keys:
        """An empty array of keys."""
        return np.empty(0, self.dtype)

    def keys(self, prefixes: Iterable[Prefix]) -> Keys:
        """The key of each prefix, in the order given: neither sorted nor deduplicated."""
        if self.number == 6:
            raw = b"".join(address + length.to_bytes() for address, length in prefixes)
            return np.frombuffer(raw, self.dtype)
        entries = list(prefixes)
        addresses = np.frombuffer(b"".join(p.address for p in entries), ">u4").astype(np.uint64)
        return self.pack4(addresses, np.array([p.length for p in entries], np.uint64))

    def pack4(self, addresses: NDArray[Any], lengths: NDArray[Any] | int) -> Keys:
        """IPv4 keys of host-order addresses, whose host bits are zero."""
        return addresses.astype(np.uint64) << np.uint64(_LENGTH4) | np.asarray(lengths, np.uint64)

    def pack6(self, addresses: NDArray[np.uint8], lengths: NDArray[Any]) -> Keys:
        """IPv6 keys of addresses given as (n, 16) bytes."""
        raw = np.empty((len(addresses), 17), np.uint8)
        raw[:, :16], raw[:, 16] = addresses, lengths
        return raw.reshape(-1).view(self.dtype)

    def lengths(self, keys: Keys) -> Lengths:
        """The prefix length of each key."""
        if self.number == 6:
            return raw6(keys)[:, 16]
        return (keys & np.uint64(63)).astype(np.uint8)

    def prefixes(self, keys: Keys) -> list[Prefix]:
        """The prefix of each key, in the same order."""
        lengths = self.lengths(keys).tolist()
        if self.number == 6:
            data = raw6(keys)[:, :16].tobytes()
        else:
            data = addresses4(keys).astype(">u4").tobytes()
        size = self.bits // 8
        return [Prefix(data[i * size : (i + 1) * size], n) for i, n in enumerate(lengths)]

    def widened(self, keys: Keys, length: int) -> Keys:
        """Each key widened to `length`; no key may be shorter than that."""
        if self.number == 4:
            shift = np.uint64(32 - length)
            return self.pack4(addresses4(keys) >> shift << shift, length)
        raw = raw6(keys).copy()
        whole, rest = divmod(length, 8)
        if rest:
            raw[:, whole] &= 0xFF << (8 - rest) & 0xFF
            whole += 1
        raw[:, whole:16] = 0
        raw[:, 16] = length
        return raw.reshape(-1).view(self.dtype)

    def share(self, keys: Keys) -> float:
        """The share of the address space that sorted keys cover, 0 to 1; IPv6: /64s of 2000::/3."""
        if not len(keys):
            return 0.0
        lengths = self.lengths(keys).astype(np.float64)
        if self.number == 4:
            first, whole, bits = addresses4(keys).astype(np.float64), 2.0**32, 32
        else:
            first, whole, bits = words6(keys)[0].astype(np.float64), 2.0**61, 64
        ends = first + np.exp2(bits - np.minimum(lengths, bits))
        before = np.concatenate(([0.0], np.maximum.accumulate(ends)[:-1]))  # prefixes may be nested
        return float(np.maximum(ends - np.maximum(first, before), 0).sum() / whole)

    def last(self, keys: Keys) -> Keys:
        """The key of the last single address in each key's prefix."""
        if self.number == 4:
            host = np.uint64(0xFFFFFFFF) >> self.lengths(keys).astype(np.uint64)
            return self.pack4(addresses4(keys) | host, 32)
        raw = raw6(keys).copy()
        lengths = raw[:, 16].astype(np.int16)
        for at in range(16):
            host = np.clip(8 * (at + 1) - lengths, 0, 8)
            raw[:, at] |= ((1 << host) - 1).astype(np.uint8)
        raw[:, 16] = 128
        return raw.reshape(-1).view(self.dtype)


V4 = Family(4, 32, np.dtype(np.uint64))
V6 = Family(6, 128, np.dtype("S17"))
FAMILIES = {4: V4, 6: V6}


def addresses4(keys: Keys) -> NDArray[np.uint64]:
    """The addresses of IPv4 keys, in host order."""
    return keys >> np.uint64(_LENGTH4)


def raw6(keys: Keys) -> NDArray[np.uint8]:
    """IPv6 keys as (n, 17) bytes."""
    return np.ascontiguousarray(keys).view(np.uint8).reshape(-1, 17)


def words6(keys: Keys) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """The high and low 64 bits of the addresses of IPv6 keys, in host order."""
    halves = np.ascontiguousarray(raw6(keys)[:, :16]).view(">u8")
    return halves[:, 0].astype(np.uint64), halves[:, 1].astype(np.uint64)


def within(keys: Keys, wanted: Keys) -> NDArray[np.bool_]:
    """For each key of `wanted`, whether it is among the sorted `keys`."""
    if not len(keys):
        return np.zeros(len(wanted), np.bool_)
    at = np.searchsorted(keys, wanted)
    at[at == len(keys)] = 0
    return np.asarray(keys[at] == wanted)


def difference(keys: Keys, other: Keys) -> Keys:
    """The sorted `keys` that are not among the sorted `other`."""
    return keys[~within(other, keys)]
