# SPDX-License-Identifier: GPL-2.0-or-later
"""IPv6: a cell holds a hash and the index of an entry, which has address, length and value."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xdpctl.abi.arrays import ENTRY6
from xdpctl.base.net.prefix_arrays import V6, Keys, raw6, words6
from xdpctl.datapath.tables.cells import KEY_MASK, VALUE_MASK, Places, Words
from xdpctl.datapath.tables.family_table import Hashed, Numbers, Table
from xdpctl.datapath.tables.filters import Filters, Filters6
from xdpctl.errors import CapacityError


class Table6(Table):
    """The IPv6 table.

    Entry 0 is never used. A released entry is not reused before a grace period.
    """

    family = V6

    def __init__(self, memory: Mapping[str, Any], *rest: Any) -> None:
        super().__init__(memory, *rest)
        self.filters = self._filters(memory)
        self._entries = np.frombuffer(memory["entries"], ENTRY6)
        self._released: list[Numbers] = []
        self._free = self._unused()

    def adopt(self) -> None:
        """See Table. Cells whose index is out of range are cleared first."""
        places = self.cells.used_cells()
        self.cells.clear(places[self._numbers(places) >= len(self._entries)])
        super().adopt()
        self._free, self._released = self._unused(), []

    def _unused(self) -> Numbers:
        """The indices of the entries that no cell refers to."""
        numbers = self._numbers(self.cells.used_cells())
        used = np.zeros(len(self._entries), np.bool_)
        used[0] = True
        used[numbers[numbers < len(used)]] = True
        return np.flatnonzero(~used).astype(np.uint32)

    def _filters(self, memory: Mapping[str, Any]) -> Filters:
        return Filters6(memory["front"], memory["near"], memory["single"])

    def _numbers(self, places: Places) -> NDArray[np.int64]:
        """The entry index in each cell; it may be out of range if another process wrote it."""
        return (self.cells.flat[places] & VALUE_MASK).astype(np.int64)

    def _entries_at(self, places: Places) -> NDArray[Any]:
        """The entry of each cell; before adopt(), the last entry for an index out of range."""
        return self._entries[np.minimum(self._numbers(places), len(self._entries) - 1)]

    def hashed(self, keys: Keys) -> Hashed:
        """See Table. The key of a cell is a part of the prefix's hash."""
        hashes = self._hash(keys)
        return Hashed(hashes & KEY_MASK, hashes * self._seeds[2], hashes)

    def _hash(self, keys: Keys) -> Words:
        """The same hash as hash6() in bpf/cells.h."""
        high, low = words6(keys)
        lengths = self.family.lengths(keys).astype(np.uint64)
        x = high * self._seeds[0] + lengths * self._seeds[2]
        x = ((x ^ x >> np.uint64(32)) + low) * self._seeds[1]
        return np.asarray(x ^ x >> np.uint64(29))

    def _hash_narrow(self, keys: Keys) -> Words:
        return np.asarray(self._hash(keys) * self._seeds[2])

    def find(self, keys: Keys) -> Places:
        """The cell of each prefix, -1 if it is not listed."""
        hashed = self.hashed(keys)
        places = self.cells.find(*hashed)
        self._settle(keys, hashed, places)
        return places

    def _settle(self, keys: Keys, hashed: Hashed, places: Places) -> None:
        """Correct cells found by hash that belong to another prefix with the same cell key.

        The right cell may then be in the second bucket.
        """
        hits = np.flatnonzero(places >= 0)
        wrong = hits[self.keys_at(places[hits]) != keys[hits]]
        for at in wrong.tolist():
            single = slice(at, at + 1)
            elsewhere = np.full(1, -1, np.int64)
            self.cells.search_bucket(hashed.keys[single], hashed.second[single], elsewhere)
            same = elsewhere[0] >= 0 and self.keys_at(elsewhere)[0] == keys[at]
            places[at] = elsewhere[0] if same else -1

    def values_at(self, places: Places) -> Numbers:
        """The value of each cell's entry."""
        return np.asarray(self._entries_at(places)["value"])

    def keys_at(self, places: Places) -> Keys:
        """The prefix of each cell's entry."""
        entries = self._entries_at(places)
        return self.family.pack6(entries["address"], entries["length"])

    def _set(self, places: Places, values: Numbers) -> None:
        self._entries["value"][self._numbers(places)] = values

    def _enter(self, keys: Keys, values: Numbers) -> Words:
        if len(self._free) < len(keys):
            self._grace()
            self._free = np.concatenate((self._free, *self._released))
            self._released = []
        if len(self._free) < len(keys):
            raise CapacityError(
                f"no room for {len(keys)} more IPv6 entries: the table already has {self.used}"
            )
        numbers, self._free = self._free[: len(keys)], self._free[len(keys) :]
        raw = raw6(keys)
        self._entries["address"][numbers] = raw[:, :16]
        self._entries["length"][numbers] = raw[:, 16]
        self._entries["value"][numbers] = values
        return numbers.astype(np.uint64)

    def _leave(self, places: Places) -> None:
        self._released.append(self._numbers(places).astype(np.uint32))
