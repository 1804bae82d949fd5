# SPDX-License-Identifier: GPL-2.0-or-later
"""Union and difference of sets of addresses, as keys of the fewest prefixes."""

from collections.abc import Iterator, Sequence

import numpy as np

from xdpctl.base.net.prefix import Prefix
from xdpctl.base.net.prefix_arrays import Family, Keys


def merged(family: Family, keys: Keys) -> Keys:
    """The sorted keys of disjoint prefixes, after the two halves of each prefix were merged."""
    lengths = family.lengths(keys)
    whole, parents = [], family.empty
    for length in range(int(lengths.max(initial=0)), 0, -1):
        level = np.sort(np.concatenate([keys[lengths == length], parents]))
        parents = family.widened(level, length - 1)
        twins = parents[1:] == parents[:-1]
        paired = np.zeros(len(level), np.bool_)
        paired[1:] |= twins
        paired[:-1] |= twins
        whole.append(level[~paired])
        parents = parents[1:][twins]
    return np.sort(np.concatenate([*whole, keys[lengths == 0], parents]))


def union(family: Family, keys: Keys, other: Keys) -> Keys:
    """The keys of the addresses in either set."""
    return merged(family, _outermost(family, np.unique(np.concatenate([keys, other]))))


def difference(family: Family, keys: Keys, other: Keys) -> Keys:
    """The keys of the addresses that are in the first set but not in the second.

    The keys of both must be sorted and disjoint.
    """
    if not len(keys) or not len(other):
        return keys
    last = family.last(keys)
    after = np.searchsorted(other, keys, side="right")
    until = np.searchsorted(other, last, side="right")
    before = np.maximum(after - 1, 0)  # only this key of the second set can cover the key
    covered = (after > 0) & (family.last(other)[before] >= last)
    holed = ~covered & (until > after)
    pieces: list[Prefix] = []
    at = np.flatnonzero(holed)
    for number, prefix in zip(at.tolist(), family.prefixes(keys[at]), strict=True):
        holes = family.prefixes(other[after[number] : until[number]])
        pieces += _around(prefix, holes)
    return merged(family, np.concatenate([keys[~covered & ~holed], family.keys(pieces)]))


def _outermost(family: Family, keys: Keys) -> Keys:
    """The sorted keys that are not inside another key."""
    last = family.last(keys)
    ends = np.unique(last)
    reach = np.maximum.accumulate(np.searchsorted(ends, last))  # ranks, as bytes have no maximum
    inside = np.zeros(len(keys), np.bool_)
    inside[1:] = reach[1:] == reach[:-1]
    return keys[~inside]


def _around(prefix: Prefix, holes: Sequence[Prefix]) -> Iterator[Prefix]:
    """The prefixes that cover a prefix except for the holes inside it."""
    if not holes:
        yield prefix
    elif holes[0] != prefix:
        number = int.from_bytes(prefix.address, "big")
        size = len(prefix.address)
        number |= 1 << (size * 8 - prefix.length - 1)
        upper = Prefix(number.to_bytes(size, "big"), prefix.length + 1)
        lower = Prefix(prefix.address, prefix.length + 1)
        yield from _around(lower, [hole for hole in holes if hole.address < upper.address])
        yield from _around(upper, [hole for hole in holes if hole.address >= upper.address])
