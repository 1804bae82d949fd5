# SPDX-License-Identifier: GPL-2.0-or-later
"""A hash table of 64-byte buckets that packets read while it is written.

Each bucket has eight cells. Each key has two buckets; it is in the second if the first was full.
Every change is one store of a 64-bit word, so a packet finds the old or the new value.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xdpctl.abi.sizes import BUCKET_CELLS, CELL_KEY_BITS, CELL_VALUE_BITS

Words = NDArray[np.uint64]
Places = NDArray[np.int64]  # indices of cells in `flat`, -1 for none
Hashing = Callable[[Places], tuple[Words, Words, Words]]  # keys and both hashes of used cells
VALUE_MASK = np.uint64((1 << CELL_VALUE_BITS) - 1)
VALUE_BITS = np.uint64(CELL_VALUE_BITS)
KEY_MASK = np.uint64((1 << CELL_KEY_BITS) - 1)
_CHUNK = 1 << 15
_LOAD, _SPARSE = 4, 1  # mean used cells per bucket, to grow and to shrink
SMALLEST_LOG2 = 4
_LAST = BUCKET_CELLS - 1
_SPENT = np.uint64(1 << CELL_VALUE_BITS)  # of no prefix: the last cell's word after use, never 0


def buckets_log2(entries: int) -> int:
    """The number of buckets for a table of `entries`, as a power of two.

    The table is sized for twice as many, because it holds both sets while one replaces another.
    """
    return max(SMALLEST_LOG2, (2 * entries // _LOAD - 1).bit_length())


class Cells:
    """The cells in `memory`; control.buckets_log2[index] selects the region in use.

    `grace` waits until no packet still uses data that was read before the call.
    """

    def __init__(self, memory: Any, control: Any, index: int, grace: Callable[[], None]) -> None:
        self._memory = np.frombuffer(memory, np.uint64)
        self._largest = (len(self._memory) // BUCKET_CELLS).bit_length() - 2
        self._log2: NDArray[np.uint32] = control["buckets_log2"][index : index + 1]
        self._grace = grace
        self.moves = 0  # how often existing entries were moved to other cells
        self._use(int(self._log2[0]))
        self.used = len(self.used_cells())

    def _use(self, log2: int) -> None:
        count = 1 << log2
        self.flat = self._memory[count * BUCKET_CELLS : 2 * count * BUCKET_CELLS]
        self.rows = self.flat.reshape(-1, BUCKET_CELLS)
        self._shift = np.uint64(64 - log2)

    def fits(self, more: int) -> int | None:
        """The size to grow to before `more` entries are inserted, as a power of two, or None."""
        needed = max(SMALLEST_LOG2, (-(-(self.used + more) // _LOAD) - 1).bit_length())
        wanted = min(needed, self._largest)
        return wanted if 1 << wanted > len(self.rows) else None

    def larger(self) -> int | None:
        """The next larger size, as a power of two, or None."""
        log2 = int(self._log2[0]) + 1
        return log2 if log2 <= self._largest else None

    def sparse(self) -> int | None:
        """The size to shrink to, as a power of two, or None if the table is not sparse."""
        if self.used >= len(self.rows) * _SPARSE:
            return None
        wanted = max(SMALLEST_LOG2, (-(-2 * self.used // _LOAD) - 1).bit_length())
        return wanted if 1 << wanted < len(self.rows) else None

    def move(self, log2: int, hashed: Hashing) -> bool:
        """Move all entries to the region of another size; return whether they fit.

        The new region is filled, then activated, and then the old one is cleared. `hashed` returns
        the keys and both hashes of cells. If an entry does not fit, nothing is changed.
        """
        places = self.used_cells()
        keys, first, second = hashed(places)
        values = self.flat[places] & VALUE_MASK
        before, used = self.flat, self.used
        self._use(log2)
        self.flat[:] = 0
        self.used = 0
        unplaced = self.insert(keys, values, first, second) < 0
        pairs = self.buckets(np.stack((first[unplaced], second[unplaced]), axis=1))
        words = (keys << VALUE_BITS | values)[unplaced].tolist()
        if self._swap(words, pairs, self._others(hashed), lambda: None):
            self._use(int(self._log2[0]))
            self.used = used
            return False
        self.moves += 1
        self._log2[0] = log2
        self._grace()
        before[:] = 0
        return True

    def _others(self, hashed: Hashing) -> Callable[[int], int]:
        """A function that returns the other bucket of the entry in a cell."""

        def other(place: int) -> int:
            _, *hashes = hashed(np.array([place]))
            first, second = self.buckets(np.concatenate(hashes)).tolist()
            return int(second if place // BUCKET_CELLS == first else first)

        return other

    def used_cells(self) -> Places:
        return np.flatnonzero(self.flat & VALUE_MASK)

    def buckets(self, hashes: Words) -> Places:
        """The bucket of each hash."""
        return (hashes >> self._shift).astype(np.int64)

    def find(self, keys: Words, first: Words, second: Words) -> Places:
        """The cell of each key, by its two hashes; -1 if it is not there."""
        places = np.full(len(keys), -1, np.int64)
        for start in range(0, len(keys), _CHUNK):
            part = slice(start, start + _CHUNK)
            self.search_bucket(keys[part], first[part], places[part])
            overflowed = self.rows[self.buckets(first[part]), _LAST] != 0
            missing = np.flatnonzero((places[part] < 0) & overflowed)
            elsewhere = places[part][missing]
            self.search_bucket(keys[part][missing], second[part][missing], elsewhere)
            places[part][missing] = elsewhere
        return places

    def search_bucket(self, keys: Words, hashes: Words, places: Places) -> None:
        """Set `places` for the keys that are in the bucket of their hash; leave the others."""
        buckets = self.buckets(hashes)
        rows = self.rows[buckets]
        equal = (rows >> VALUE_BITS == keys[:, None]) & (rows & VALUE_MASK != 0)
        column = equal.argmax(axis=1)
        hit = equal[np.arange(len(keys)), column]
        places[hit] = (buckets * BUCKET_CELLS + column)[hit]

    def insert(self, keys: Words, values: Words, first: Words, second: Words) -> Places:
        """Put new keys into free cells; return the cells, -1 if both buckets are full."""
        words = keys << VALUE_BITS | values
        places = np.full(len(keys), -1, np.int64)
        for hashes in (first, second):
            unplaced = np.flatnonzero(places < 0)
            if len(unplaced):
                places[unplaced] = self._place(words[unplaced], self.buckets(hashes[unplaced]))
            if hashes is first:
                self._overflow(self.buckets(first[places < 0]))
        self.used += int(np.count_nonzero(places >= 0))
        return places

    def _overflow(self, buckets: Places) -> None:
        """Mark these buckets as overflowed, so that packets also search the second bucket."""
        last = self.rows[buckets, _LAST]
        self.rows[buckets, _LAST] = np.where(last == 0, _SPENT, last)

    def _place(self, words: Words, buckets: Places) -> Places:
        order = np.lexsort((words, buckets))
        places = np.full(len(words), -1, np.int64)
        for start in range(0, len(order), _CHUNK):
            chosen = order[start : start + _CHUNK]
            places[chosen] = self._place_sorted(words[chosen], buckets[chosen])
        return places

    def _place_sorted(self, words: Words, buckets: Places) -> Places:
        """Put words, sorted by bucket, into the free cells of each bucket, as far as they fit."""
        index = np.arange(len(buckets))
        starts = np.concatenate(([True], buckets[1:] != buckets[:-1]))
        rank = index - np.maximum.accumulate(np.where(starts, index, 0))
        rows = self.rows[buckets]
        free = rows & VALUE_MASK == 0
        # two prefixes with the same cell key (a hash, for IPv6) must not share a bucket
        same = (rows >> VALUE_BITS == (words >> VALUE_BITS)[:, None]) & ~free
        ordered = words[:-1] >> VALUE_BITS == words[1:] >> VALUE_BITS
        twins = np.concatenate(([False], ordered & ~starts[1:]))
        fits = (rank < free.sum(axis=1)) & ~same.any(axis=1) & ~twins
        columns = np.argsort(~free, axis=1, kind="stable")
        places = np.full(len(words), -1, np.int64)
        at = buckets * BUCKET_CELLS + columns[index, np.minimum(rank, BUCKET_CELLS - 1)]
        places[fits] = at[fits]
        self.flat[at[fits]] = words[fits]
        return places

    def insert_by_moving(
        self,
        words: list[int],
        buckets: Places,
        hashed: Hashing,
    ) -> list[int]:
        """Insert words whose two `buckets` are full, by moving other entries away.

        Returns the indices of the words that found no place.
        """
        # without a grace period a packet could search the new cell before an entry is copied
        # there, and the old cell after it is overwritten
        return self._swap(words, buckets, self._others(hashed), self._grace)

    def _swap(
        self,
        words: list[int],
        buckets: Places,
        other: Callable[[int], int],
        grace: Callable[[], None],
    ) -> list[int]:
        places: dict[int, int] = {}
        refused = []
        for at, (word, pair) in enumerate(zip(words, buckets.tolist(), strict=True)):
            place = self._make_way(word, pair, other, places)
            if place is None:
                refused.append(at)
            else:
                places[place] = word
        if places:
            self.moves += 1
            grace()
        for place, word in places.items():
            self.flat[place] = word
        self.used += len(places)
        return refused

    def _make_way(
        self, word: int, buckets: list[int], other: Callable[[int], int], taken: dict[int, int]
    ) -> int | None:
        key = word >> CELL_VALUE_BITS
        for bucket in buckets:
            cells = range(bucket * BUCKET_CELLS, (bucket + 1) * BUCKET_CELLS)
            promised = [taken[place] >> CELL_VALUE_BITS for place in cells if place in taken]
            if key in promised or np.any(self.rows[bucket] >> VALUE_BITS == key):
                continue
            for place in cells:
                if place not in taken and self._copy(place, self.rows[other(place)]):
                    return place
        return None

    def _copy(self, place: int, row: Words) -> bool:
        """Copy a cell's entry into another bucket; return whether there was a free cell."""
        free = np.flatnonzero(row & VALUE_MASK == 0)
        key = self.flat[place] >> VALUE_BITS
        if not len(free) or np.any(row[row & VALUE_MASK != 0] >> VALUE_BITS == key):
            return False
        row[free[0]] = self.flat[place]
        return True

    def clear(self, places: Places) -> None:
        """Clear these cells; each must be in use."""
        self.flat[places] = np.where(places % BUCKET_CELLS == _LAST, _SPENT, np.uint64(0))
        self.used -= len(places)
