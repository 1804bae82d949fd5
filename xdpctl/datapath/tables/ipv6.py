# SPDX-License-Identifier: GPL-2.0-or-later
"""IPv6: a cell holds a hash and the number of an entry, which has address, length and value."""

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
    """The IPv6 half.

    Entry 0 is never used. An entry that is given up is not used again before a grace period.
    """

    family = V6

    def __init__(self, memory: Mapping[str, Any], *rest: Any) -> None:
        super().__init__(memory, *rest)
        self.filters = self._filters(memory)
        self._entries = np.frombuffer(memory["entries"], ENTRY6)
        self._given_up: list[Numbers] = []
        self._free = self._unused()

    def adopt(self) -> None:
        """See Table. Cells that lead to no entry are cleared first."""
        places = self.cells.held()
        self.cells.clear(places[self._numbers(places) >= len(self._entries)])
        super().adopt()
        self._free, self._given_up = self._unused(), []

    def _unused(self) -> Numbers:
        """The numbers of entries that no cell has."""
        numbers = self._numbers(self.cells.held())
        held = np.zeros(len(self._entries), np.bool_)
        held[0] = True
        held[numbers[numbers < len(held)]] = True
        return np.flatnonzero(~held).astype(np.uint32)

    def _filters(self, memory: Mapping[str, Any]) -> Filters:
        return Filters6(memory["front"], memory["near"], memory["single"])

    def _numbers(self, places: Places) -> NDArray[np.int64]:
        """The entries' numbers of cells; what somebody else wrote may be no number of any."""
        return (self.cells.flat[places] & VALUE_MASK).astype(np.int64)

    def _held(self, places: Places) -> NDArray[Any]:
        """The entries of cells, until adopt() of just any where there is none."""
        return self._entries[np.minimum(self._numbers(places), len(self._entries) - 1)]

    def hashed(self, keys: Keys) -> Hashed:
        """See Table. The key of a cell is a part of the hash."""
        hashes = self._hash(keys)
        return Hashed(hashes & KEY_MASK, hashes * self._seeds[2], hashes)

    def _hash(self, keys: Keys) -> Words:
        """hash6() of bpf/cells.h."""
        high, low = words6(keys)
        lengths = self.family.lengths(keys).astype(np.uint64)
        x = high * self._seeds[0] + lengths * self._seeds[2]
        x = ((x ^ x >> np.uint64(32)) + low) * self._seeds[1]
        return np.asarray(x ^ x >> np.uint64(29))

    def _hash_single(self, keys: Keys) -> Words:
        return np.asarray(self._hash(keys) * self._seeds[2])

    def find(self, keys: Keys) -> Places:
        """The cell of each prefix, -1 if it is not listed."""
        hashed = self.hashed(keys)
        places = self.cells.find(*hashed)
        self._settle(keys, hashed, places)
        return places

    def _settle(self, keys: Keys, hashed: Hashed, places: Places) -> None:
        """A cell found by its hash may be another prefix's; ours may be in the second bucket."""
        found = np.flatnonzero(places >= 0)
        wrong = found[self.keys_at(places[found]) != keys[found]]
        for at in wrong.tolist():
            one = slice(at, at + 1)
            elsewhere = np.full(1, -1, np.int64)
            self.cells.look(hashed.keys[one], hashed.second[one], elsewhere)
            same = elsewhere[0] >= 0 and self.keys_at(elsewhere)[0] == keys[at]
            places[at] = elsewhere[0] if same else -1

    def values_at(self, places: Places) -> Numbers:
        """The values of cells."""
        return np.asarray(self._held(places)["value"])

    def keys_at(self, places: Places) -> Keys:
        """The prefixes of cells."""
        entries = self._held(places)
        return self.family.pack6(entries["address"], entries["length"])

    def _set(self, places: Places, values: Numbers) -> None:
        self._entries["value"][self._numbers(places)] = values

    def _enter(self, keys: Keys, values: Numbers) -> Words:
        if len(self._free) < len(keys):
            self._grace()
            self._free = np.concatenate((self._free, *self._given_up))
            self._given_up = []
        if len(self._free) < len(keys):
            raise CapacityError(f"no room for {len(keys)} more IPv6 entries beside {self.used}")
        numbers, self._free = self._free[: len(keys)], self._free[len(keys) :]
        raw = raw6(keys)
        self._entries["address"][numbers] = raw[:, :16]
        self._entries["length"][numbers] = raw[:, 16]
        self._entries["value"][numbers] = values
        return numbers.astype(np.uint64)

    def _leave(self, places: Places) -> None:
        self._given_up.append(self._numbers(places).astype(np.uint32))
