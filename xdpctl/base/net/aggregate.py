# SPDX-License-Identifier: GPL-2.0-or-later
"""A set made smaller: exactly, so that no verdict changes, or at the price of more addresses.

The most specific prefix decides, over the set and all else that is listed: the others. An
address's rank in the set is which of the others around it are wider than the narrowest entry that
covers it, and whether one is on the same prefix. Merging keeps the rank of every address, and so
the verdict also when one of the others expires or only monitors. The lossy calls keep it next to
what they keep out, and next to nothing else.
"""

from collections.abc import Iterable
from heapq import heapify, heappop, heappush
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from xdpctl.base.net.prefix import Prefix
from xdpctl.base.net.prefix_arrays import Family, Keys, addresses4, difference, raw6, within

Places = NDArray[np.intp]
Mask = NDArray[np.bool_]


def count_addresses(family: Family, keys: Keys) -> int:
    """How many distinct addresses the keys cover."""
    return sum(_sizes(family, _tops(family, _union(keys))))


def merged(family: Family, keys: Keys, others: Iterable[Keys] = ()) -> Keys:
    """The fewest entries that give every address its rank; sorted.

    Without others they are the shortest list of the same addresses, which is unique. Next to
    others an entry stays as it is unless that saves one, and is widened no more than needed.
    """
    keys = _union(keys)
    filled, joined = _filled(family, keys)
    tops = _tops(family, filled)
    among = _union(family.empty, *others)
    among = among[_covered(family, among, tops)]
    return _ranked(family, keys, filled, joined, among) if len(among) else tops


def widened(
    family: Family, keys: Keys, length: int, keep_out: Iterable[Prefix | Keys]
) -> tuple[Keys, int]:
    """Every longer entry as its prefix of that length, merged; and how many addresses that adds.

    Where that prefix would overlap one of `keep_out`, its entries stay as they are.
    """
    kept = _of(family, keep_out)
    longer = family.lengths(keys) > length
    wide = family.widened(keys[longer], length)
    wide = np.where(_overlapping(family, wide, kept), keys[longer], wide)
    result = merged(family, np.concatenate([keys[~longer], wide]), [kept])
    return result, count_addresses(family, result) - count_addresses(family, keys)


def smallest(
    family: Family, keys: Keys, entries: int, keep_out: Iterable[Prefix | Keys]
) -> tuple[Keys, int]:
    """At most so many entries, or all that can be saved; and how many addresses that adds.

    Only exact merging makes prefixes that overlap one of `keep_out`. A heuristic: common parents
    are taken in the order of addresses added per entry saved, except those that save more than is
    still wanted. Where none was passed over, no list of that size adds fewer.
    """
    kept = _of(family, keep_out)
    exact = merged(family, keys, [kept])
    # The entries that overlap none are disjoint, and no allowed parent covers one that does.
    fixed = _overlapping(family, exact, kept)
    free = exact[~fixed]
    surplus = len(exact) - entries
    if surplus > 0 and len(free) > 1:
        parents = _weakest(family, free, kept, surplus)
        exact = merged(family, np.concatenate([exact, parents]), [kept])
    return exact, count_addresses(family, exact) - count_addresses(family, keys)


def _of(family: Family, listed: Iterable[Prefix | Keys]) -> Keys:
    """All that is of this family, as sorted keys."""
    prefixes: list[Prefix] = []
    arrays: list[Keys] = []
    for item in listed:
        if not isinstance(item, Prefix):
            arrays.append(item)
        elif item.family == family.number:
            prefixes.append(item)
    return _union(family.keys(prefixes), *arrays)


def _filled(family: Family, keys: Keys) -> tuple[Keys, Keys]:
    """All prefixes that the sorted keys fill: themselves, and what two such siblings make.

    Second, the latter alone: those that narrower keys fill.
    """
    lengths = family.lengths(keys)
    level = family.empty
    joined = [family.empty]
    for length in range(family.bits, 0, -1):
        level = _union(level, keys[lengths == length])
        parents = family.widened(level, length - 1)
        level = parents[1:][parents[1:] == parents[:-1]]
        joined.append(level)
    made = _union(*joined)
    return _union(keys, made), made


def _ranked(family: Family, keys: Keys, filled: Keys, joined: Keys, others: Keys) -> Keys:
    """`merged` next to others, all in what is filled.

    A region is what one of the others covers, but not what narrower ones in it cover or are.
    Entries of one region rank the same; so of each of the widest filled prefixes in a region one
    entry is enough. It takes none where narrower entries fill it, or the others in it, anyway.
    """
    tree = _union(filled, others)
    other = within(others, tree)
    around = _around(family, tree)
    widest = np.arange(len(tree))
    inner = ~other & (around >= 0) & ~other[around]
    widest[inner] = around[inner]
    while not np.array_equal(widest, widest[widest]):
        widest = widest[widest]
    hidden, _ = _filled(family, others[within(filled, others)])
    own = np.flatnonzero(within(keys, tree))
    own = own[~within(hidden, tree[widest[own]])]  # those of the others are hidden, too
    own = own[np.argsort(widest[own], kind="stable")]
    first = np.diff(widest[own], prepend=-1) != 0
    last = np.roll(first, -1)
    tied = difference(keys[within(others, keys)], joined)
    return _union(_common(family, tree[own[first]], tree[own[last]]), tied)


def _weakest(family: Family, free: Keys, kept: Keys, surplus: int) -> Keys:
    """Common parents of disjoint keys that save `surplus` of them, or all that can be saved.

    Parent i is the narrowest around the keys i and i + 1. As parents are taken, what another
    adds per entry saved only grows, so the heap holds lower bounds (pruning by cost and
    complexity, as of decision trees).
    """
    parents = _common(family, free[:-1], free[1:])
    allowed = ~_overlapping(family, parents, kept)
    first = np.searchsorted(free, parents)
    last = np.searchsorted(free, family.last(parents), "right") - 1
    above = _above(family.lengths(parents), first, last)
    covered = [0, *accumulate(_sizes(family, free))]
    low, high = first.tolist(), last.tolist()
    saves = (last - first).tolist()
    sizes = _sizes(family, parents)
    adds = [s - covered[j + 1] + covered[i] for s, i, j in zip(sizes, low, high, strict=True)]
    heap = [(adds[i] / saves[i], i) for i in np.flatnonzero(allowed).tolist()]
    heapify(heap)
    inside = bytearray(len(parents))
    taken: list[int] = []
    while surplus > 0 and heap:
        ratio, at = heappop(heap)
        # One that saves too much will never fit: what lowers its savings lowers the surplus.
        if inside[at] or saves[at] > surplus:
            continue
        if adds[at] / saves[at] > ratio:
            heappush(heap, (adds[at] / saves[at], at))
            continue
        inside[low[at] : high[at]] = b"\1" * (high[at] - low[at])
        taken.append(at)
        added, saved = adds[at], saves[at]
        surplus -= saved
        while (at := above[at]) >= 0:
            adds[at] -= added
            saves[at] -= saved
    return parents[taken]


def _above(lengths: NDArray[np.uint8], first: Places, last: Places) -> list[int]:
    """The next wider of the parents of `_weakest`, -1 for none."""
    padded = np.concatenate([lengths.astype(np.int16), [-1]])  # for both ends
    above = np.where(padded[first - 1] > padded[last], first - 1, last)
    found: list[int] = np.where(padded[above] < 0, -1, above).tolist()
    return found


def _union(*arrays: Keys) -> Keys:
    """All keys of the arrays, sorted and once."""
    keys: Keys = np.sort(np.concatenate(arrays), kind="stable")
    new = np.ones(len(keys), np.bool_)
    new[1:] = keys[1:] != keys[:-1]
    return keys[new]


def _sizes(family: Family, keys: Keys) -> list[int]:
    """How many addresses each key has."""
    return [1 << family.bits - length for length in family.lengths(keys).tolist()]


def _tops(family: Family, keys: Keys) -> Keys:
    """Those of the sorted keys that no other of them covers."""
    ends = np.searchsorted(keys, family.last(keys), "right")
    top = np.ones(len(keys), np.bool_)
    top[1:] = np.maximum.accumulate(ends)[:-1] <= np.arange(1, len(keys))
    return keys[top]


def _around(family: Family, keys: Keys) -> Places:
    """Where the narrowest other key is that covers each of the sorted keys; -1 for none."""
    places = np.arange(len(keys))
    ends = np.searchsorted(keys, family.last(keys), "right")
    around = places - 1
    around[1:][np.maximum.accumulate(ends)[:-1] <= places[1:]] = -1
    wrong = places[around >= 0]
    while len(wrong := wrong[ends[around[wrong]] <= wrong]):
        around[wrong] = around[around[wrong]]  # what lies between ends before this key
    return around


def _covered(family: Family, keys: Keys, tops: Keys) -> Mask:
    """Which of the keys are covered by, or are, one of the sorted disjoint keys `tops`."""
    if not len(tops):
        return np.zeros(len(keys), np.bool_)
    at = np.searchsorted(tops, keys, "right") - 1
    return np.asarray((at >= 0) & (family.last(tops)[at] >= family.last(keys)))


def _overlapping(family: Family, keys: Keys, others: Keys) -> Mask:
    """Which of the keys cover, are, or are covered by one of the sorted others."""
    low = np.searchsorted(others, keys)
    high = np.searchsorted(others, family.last(keys), "right")
    return (low < high) | _covered(family, keys, _tops(family, others))


def _octets(family: Family, keys: Keys) -> NDArray[np.uint8]:
    """The keys' addresses, an octet a column."""
    if family.number == 6:
        return raw6(keys)[:, :16]
    return addresses4(keys).astype(">u4").view(np.uint8).reshape(-1, 4)


def _common(family: Family, left: Keys, right: Keys) -> Keys:
    """The narrowest prefix that covers both, pair by pair."""
    apart = _octets(family, left) ^ _octets(family, right)
    at = np.argmax(apart != 0, axis=1)
    _, bits = np.frexp(apart[np.arange(len(apart)), at].astype(np.float64))  # 1 to 8 where not 0
    shared = np.where(bits > 0, 8 * at + 8 - bits, family.bits)
    lengths = np.minimum(shared, np.minimum(family.lengths(left), family.lengths(right)))
    common = left.copy()
    for length in np.unique(lengths).tolist():
        common[lengths == length] = family.widened(left[lengths == length], length)
    return common
