# SPDX-License-Identifier: GPL-2.0-or-later
"""IPv4: a cell holds the complete entry, that is, address, length and value."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from xdpctl.base.net.prefix_arrays import V4, Keys
from xdpctl.datapath.tables.cells import VALUE_BITS, VALUE_MASK, Places, Words
from xdpctl.datapath.tables.family_table import Hashed, Numbers, Table
from xdpctl.datapath.tables.filters import Filters, Filters4


class Table4(Table):
    family = V4

    def __init__(self, memory: Mapping[str, Any], *rest: Any) -> None:
        super().__init__(memory, *rest)
        self.filters = self._filters(memory)

    def _filters(self, memory: Mapping[str, Any]) -> Filters:
        return Filters4(memory["near"])

    def hashed(self, keys: Keys) -> Hashed:
        """See Table. The key of a cell is the prefix itself."""
        return Hashed(keys, keys * self._seeds[0], keys * self._seeds[1])

    def _hash_narrow(self, keys: Keys) -> Words:
        return np.asarray(keys * self._seeds[1])

    def find(self, keys: Keys) -> Places:
        """The cell of each prefix, -1 if it is not listed."""
        return self.cells.find(*self.hashed(keys))

    def values_at(self, places: Places) -> Numbers:
        """The value of each cell."""
        return (self.cells.flat[places] & VALUE_MASK).astype(np.uint32)

    def keys_at(self, places: Places) -> Keys:
        """The prefix of each cell."""
        return self.cells.flat[places] >> VALUE_BITS

    def _set(self, places: Places, values: Numbers) -> None:
        words = self.cells.flat[places]
        self.cells.flat[places] = words & ~VALUE_MASK | values.astype(np.uint64)

    def _enter(self, keys: Keys, values: Numbers) -> Words:
        return values.astype(np.uint64)

    def _leave(self, places: Places) -> None:
        """Nothing to do: a cell is the complete entry."""
