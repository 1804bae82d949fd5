# SPDX-License-Identifier: GPL-2.0-or-later
"""Aggregation of a set: exact, so that no verdict changes, or lossy, which adds addresses.

The most specific prefix decides, among the set's entries and everything else that is listed (the
"others"). The rank of an address in the set has two parts: the others that cover it and are wider
than the set's narrowest entry for it, and whether one of the others is the same prefix as that
entry. Exact merging keeps the rank of every address. So it keeps every verdict, even when one of
the others expires or is in monitor mode. The lossy functions keep ranks only relative to the
prefixes in `keep_out`.
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
    """Count the distinct addresses that the keys cover."""
    return sum(_sizes(family, _tops(family, _union(keys))))


def merged(family: Family, keys: Keys, others: Iterable[Keys] = ()) -> Keys:
    """The fewest entries that keep the rank of every address; sorted.

    Without others, the result is the shortest list of prefixes of the same addresses, which is
    unique. With others, an entry changes only if that saves an entry, and is widened no more than
    needed.
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
    """Widen every entry longer than `length` to that length, and merge the result.

    Entries whose widened prefix would overlap one of `keep_out` stay as they are. Returns the
    entries and the number of addresses added.
    """
    excluded = _of(family, keep_out)
    longer = family.lengths(keys) > length
    wide = family.widened(keys[longer], length)
    wide = np.where(_overlapping(family, wide, excluded), keys[longer], wide)
    result = merged(family, np.concatenate([keys[~longer], wide]), [excluded])
    return result, count_addresses(family, result) - count_addresses(family, keys)


def smallest(
    family: Family, keys: Keys, entries: int, keep_out: Iterable[Prefix | Keys]
) -> tuple[Keys, int]:
    """Reduce the set to at most `entries` entries, or as far as possible.

    Only exact merging makes prefixes that overlap one of `keep_out`. This is a heuristic: common
    parents are taken in the order of addresses added per entry saved, and a parent that would save
    more entries than needed is skipped. If none is skipped, no list of that size adds fewer
    addresses. Returns the entries and the number of addresses added.
    """
    excluded = _of(family, keep_out)
    exact = merged(family, keys, [excluded])
    # Entries that overlap no excluded prefix are disjoint, and no allowed parent covers a fixed one
    fixed = _overlapping(family, exact, excluded)
    free = exact[~fixed]
    surplus = len(exact) - entries
    if surplus > 0 and len(free) > 1:
        parents = _weakest(family, free, excluded, surplus)
        exact = merged(family, np.concatenate([exact, parents]), [excluded])
    return exact, count_addresses(family, exact) - count_addresses(family, keys)


def _of(family: Family, items: Iterable[Prefix | Keys]) -> Keys:
    """All prefixes of this family, as sorted keys."""
    prefixes: list[Prefix] = []
    arrays: list[Keys] = []
    for item in items:
        if not isinstance(item, Prefix):
            arrays.append(item)
        elif item.family == family.number:
            prefixes.append(item)
    return _union(family.keys(prefixes), *arrays)


def _filled(family: Family, keys: Keys) -> tuple[Keys, Keys]:
    """All prefixes that the sorted keys fill: the keys, and parents whose two halves are filled.

    The second result has only the parents, that is, the prefixes that narrower keys fill.
    """
    lengths = family.lengths(keys)
    level = family.empty
    joined = [family.empty]
    for length in range(family.bits, 0, -1):
        level = _union(level, keys[lengths == length])
        parents = family.widened(level, length - 1)
        level = parents[1:][parents[1:] == parents[:-1]]
        joined.append(level)
    joined_keys = _union(*joined)
    return _union(keys, joined_keys), joined_keys


def _ranked(family: Family, keys: Keys, filled: Keys, joined: Keys, others: Keys) -> Keys:
    """`merged` with others, all of which lie inside filled prefixes.

    A region is the part of one of the others that no narrower one in it covers. All entries in a
    region have the same rank, so one entry is enough for each of the widest filled prefixes in the
    region. No entry is needed where narrower entries fill that prefix, or the others in it do.
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
    own = own[~within(hidden, tree[widest[own]])]  # drops entries among the others, too
    own = own[np.argsort(widest[own], kind="stable")]
    first = np.diff(widest[own], prepend=-1) != 0
    last = np.roll(first, -1)
    tied = difference(keys[within(others, keys)], joined)
    return _union(_common(family, tree[own[first]], tree[own[last]]), tied)


def _weakest(family: Family, free: Keys, excluded: Keys, surplus: int) -> Keys:
    """Common parents of disjoint keys that save `surplus` entries, or as many as possible.

    Parent i is the narrowest prefix that covers the keys i and i + 1. When a parent is taken, the
    cost of another one per entry saved can only grow, so the heap holds lower bounds (as in
    cost-complexity pruning of decision trees).
    """
    parents = _common(family, free[:-1], free[1:])
    allowed = ~_overlapping(family, parents, excluded)
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
        # a parent that saves too much never fits: what lowers its savings lowers the surplus
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
    """For each parent of `_weakest`, the index of the next wider one, -1 for none."""
    padded = np.concatenate([lengths.astype(np.int16), [-1]])  # a sentinel for both ends
    above = np.where(padded[first - 1] > padded[last], first - 1, last)
    wider: list[int] = np.where(padded[above] < 0, -1, above).tolist()
    return wider


def _union(*arrays: Keys) -> Keys:
    """All keys of the arrays, sorted, without duplicates."""
    keys: Keys = np.sort(np.concatenate(arrays), kind="stable")
    new = np.ones(len(keys), np.bool_)
    new[1:] = keys[1:] != keys[:-1]
    return keys[new]


def _sizes(family: Family, keys: Keys) -> list[int]:
    """The number of addresses of each key."""
    return [1 << family.bits - length for length in family.lengths(keys).tolist()]


def _tops(family: Family, keys: Keys) -> Keys:
    """The sorted keys that no other of the keys covers."""
    ends = np.searchsorted(keys, family.last(keys), "right")
    top = np.ones(len(keys), np.bool_)
    top[1:] = np.maximum.accumulate(ends)[:-1] <= np.arange(1, len(keys))
    return keys[top]


def _around(family: Family, keys: Keys) -> Places:
    """For each sorted key, the index of the narrowest other key that covers it, -1 for none."""
    places = np.arange(len(keys))
    ends = np.searchsorted(keys, family.last(keys), "right")
    around = places - 1
    around[1:][np.maximum.accumulate(ends)[:-1] <= places[1:]] = -1
    wrong = places[around >= 0]
    while len(wrong := wrong[ends[around[wrong]] <= wrong]):
        around[wrong] = around[around[wrong]]  # the candidate ends before this key: go one up
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
    """The keys' addresses as an array with one octet per column."""
    if family.number == 6:
        return raw6(keys)[:, :16]
    return addresses4(keys).astype(">u4").view(np.uint8).reshape(-1, 4)


def _common(family: Family, left: Keys, right: Keys) -> Keys:
    """The narrowest prefix that covers both keys of each pair."""
    apart = _octets(family, left) ^ _octets(family, right)
    at = np.argmax(apart != 0, axis=1)
    _, bits = np.frexp(apart[np.arange(len(apart)), at].astype(np.float64))  # 1 to 8 where not 0
    shared = np.where(bits > 0, 8 * at + 8 - bits, family.bits)
    lengths = np.minimum(shared, np.minimum(family.lengths(left), family.lengths(right)))
    common = left.copy()
    for length in np.unique(lengths).tolist():
        common[lengths == length] = family.widened(left[lengths == length], length)
    return common
