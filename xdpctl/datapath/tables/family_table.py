# SPDX-License-Identifier: GPL-2.0-or-later
"""The source table of one family: prefixes, each of which leads to a list of slots."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from xdpctl.base.net.prefix_arrays import Family, Keys
from xdpctl.datapath.tables.cells import VALUE_BITS, VALUE_MASK, Cells, Places, Words
from xdpctl.datapath.tables.filters import SIZES, Filters
from xdpctl.datapath.tables.nodes import Nodes
from xdpctl.errors import CapacityError

Numbers = NDArray[np.uint32]
_STEP = 1 << 11  # buckets scanned in one step


class Hashed(NamedTuple):
    """The cell keys of prefixes, and the hashes that select their two buckets."""

    keys: Words
    first: Words
    second: Words


class Table(ABC):
    """The prefixes of one family, in the maps' memory.

    `memory` has `near`, `cells` and, for IPv6, `front`, `single` and `entries`. `control` is the
    CONTROL record in its map's memory. `grace` waits until no packet still uses data that was read
    before the call.
    """

    family: Family
    filters: Filters

    def __init__(
        self,
        memory: Mapping[str, Any],
        control: Any,
        grace: Callable[[], None],
    ) -> None:
        index = 0 if self.family.number == 4 else 1
        self._whole: NDArray[np.uint32] = control["whole"][index : index + 1]
        self._seeds: NDArray[np.uint64] = control["seeds"].copy()
        self.cells = Cells(memory["cells"], control, index, grace)
        self._grace = grace
        self._repainted: Filters | None = None
        self.lacking = False  # whether a repaint found bits missing that should have been set

    @property
    def used(self) -> int:
        """The number of prefixes in the table."""
        return self.cells.used

    def adopt(self) -> None:
        """Keep the entries that a look-up finds, clear all other cells, and count the entries.

        Other entries may come from another writer, or from a kill while a prefix was in two cells.
        """
        places = self.cells.used_cells()
        keys = self.keys_at(places)
        lost = self.find(keys) != places
        self.cells.clear(places[lost])
        self.cells.used = int(np.count_nonzero(~lost))
        self.mark(keys[~lost])

    @abstractmethod
    def hashed(self, keys: Keys) -> Hashed:
        """The key and the two hashes of each prefix."""
        ...

    @abstractmethod
    def find(self, keys: Keys) -> Places:
        """The cell of each prefix, -1 if it is not listed."""

    @abstractmethod
    def values_at(self, places: Places) -> Numbers:
        """The value of each cell."""

    @abstractmethod
    def keys_at(self, places: Places) -> Keys:
        """The prefix of each cell."""

    @abstractmethod
    def _set(self, places: Places, values: Numbers) -> None: ...

    @abstractmethod
    def _enter(self, keys: Keys, values: Numbers) -> Words:
        """The values to store in the cells of new prefixes, next to the key."""

    @abstractmethod
    def _leave(self, places: Places) -> None:
        """Called before these cells are cleared."""

    @abstractmethod
    def _filters(self, memory: Mapping[str, Any]) -> Filters: ...

    def values(self, keys: Keys) -> Numbers:
        """The value of each prefix, 0 if it is not listed."""
        places = self.find(keys)
        values = np.zeros(len(keys), np.uint32)
        values[places >= 0] = self.values_at(places[places >= 0])
        return values

    def lead(self, nodes: Nodes, keys: Keys, old: Numbers, new: Numbers) -> None:
        """Replace slot `old` by slot `new` (0 for none) in the list of slots of each prefix.

        A prefix must not occur twice.
        """
        places = self.find(keys)
        present = places >= 0
        if present.any():
            self._change(nodes, places[present], old[present], new[present])
        fresh = ~present & (new != 0)
        if fresh.any():  # last, because this may move every cell
            self._insert(keys[fresh], new[fresh])

    def _change(self, nodes: Nodes, places: Places, old: Numbers, new: Numbers) -> None:
        changed = _changed(nodes, self.values_at(places), old, new)
        still_listed = changed != 0
        self._set(places[still_listed], changed[still_listed])
        if not still_listed.all():
            self._leave(places[~still_listed])
            self.cells.clear(places[~still_listed])

    def _insert(self, keys: Keys, values: Numbers) -> None:
        self.mark(keys)
        size = self.cells.fits(len(keys))
        if size:
            self.cells.move(size, self._hashed_at)
        self._fill(self.hashed(keys), self._enter(keys, values))

    def _fill(self, hashed: Hashed, values: Words) -> None:
        """Put new prefixes into cells, and move other entries where both buckets are full."""
        places = self.cells.insert(hashed.keys, values, hashed.first, hashed.second)
        unplaced = places < 0
        if not unplaced.any():
            return
        words = (hashed.keys << VALUE_BITS | values)[unplaced]
        pairs = self.cells.buckets(
            np.stack((hashed.first[unplaced], hashed.second[unplaced]), axis=1)
        )
        refused = self.cells.insert_by_moving(words.tolist(), pairs, self._hashed_at)
        if refused:
            size = self.cells.larger()
            if size is None or not self.cells.move(size, self._hashed_at):
                raise CapacityError(
                    f"no room for {len(refused)} more entries: the table already has {self.used}"
                )
            refused_places = np.flatnonzero(unplaced)[refused]
            self._fill(Hashed(*(part[refused_places] for part in hashed)), values[refused_places])

    def _hashed_at(self, places: Places) -> Hashed:
        return self.hashed(self.keys_at(places))

    def drop(self, keys: Keys) -> None:
        """Remove prefixes, whatever they lead to."""
        places = self.find(keys)
        places = places[places >= 0]
        self._leave(places)
        self.cells.clear(places)

    def mark(self, keys: Keys) -> None:
        """Set the filters' bits for these prefixes, so that packets reach their cells."""
        hashes = self._narrow_hashes(keys)
        if not self.family.lengths(keys).all():
            self._whole[0] = 1
        for filters in filter(None, (self.filters, self._repainted)):
            filters.mark(keys, hashes)

    def _narrow_hashes(self, keys: Keys) -> Words:
        """The hashes of those keys that the filters note by their hash."""
        return self._hash_narrow(keys[self.family.lengths(keys) >= self.filters.narrow])

    @abstractmethod
    def _hash_narrow(self, keys: Keys) -> Words: ...

    def scan(self) -> Iterator[tuple[Keys, Numbers]]:
        """All prefixes and their values, some buckets at a time; the keys are not sorted."""
        step = _STEP * self.cells.rows.shape[1]
        for start in range(0, len(self.cells.flat), step):
            places = start + np.flatnonzero(self.cells.flat[start : start + step] & VALUE_MASK)
            yield self.keys_at(places), self.values_at(places)

    def repaint(self, clear: bool = True) -> Iterator[None]:
        """Compute the filters again from all entries, and yield between short steps.

        Sets bits that are missing, and with `clear` clears bits that no entry needs.
        """
        size = self.cells.sparse() if clear else None
        if size:
            self.cells.move(size, self._hashed_at)
        sizes, moves = SIZES[self.family.number], -1
        try:
            while moves != self.cells.moves:  # an entry may have moved to a cell already scanned
                moves, whole = self.cells.moves, False
                memory = {name: bytearray(size) for name, size in sizes.items()}
                repainted = self._repainted = self._filters(memory)
                for keys, _ in self.scan():
                    repainted.mark(keys, self._narrow_hashes(keys))
                    whole |= not self.family.lengths(keys).all()
                    yield
            self._take_over(repainted, whole, clear)
        finally:
            self._repainted = None

    def _take_over(self, painted: Filters, whole: bool, clear: bool) -> None:
        if whole and not self._whole[0]:
            self._whole[0], self.lacking = 1, True
        for live, fresh in zip(self.filters.arrays(), painted.arrays(), strict=True):
            if np.array_equal(live.view(np.uint64), fresh.view(np.uint64)):
                continue  # nearly always, and much faster than what follows
            if np.any(fresh & ~live):
                live |= fresh
                self.lacking = True
            if clear:
                live[...] = fresh


def _changed(nodes: Nodes, values: Numbers, old: Numbers, new: Numbers) -> Numbers:
    """Each value, with slot `old` removed from its list and `new` added."""
    out = np.where(values == old, new, values).astype(np.uint32)
    listed = np.flatnonzero(values != old)
    triples = np.stack((values[listed], old[listed], new[listed]), axis=1)
    kinds, which = np.unique(triples, axis=0, return_inverse=True)
    nodes.reserve(len(kinds))
    results = [nodes.changed(*kind) for kind in kinds.tolist()]
    out[listed] = np.array(results, np.uint32)[which.reshape(-1)]
    return out
