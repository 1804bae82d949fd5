# SPDX-License-Identifier: GPL-2.0-or-later
"""Both families' tables, the nodes they share, and the slots' words: the whole source table."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from xdpctl.base.net.prefix import Prefix
from xdpctl.base.net.prefix_arrays import FAMILIES, Keys
from xdpctl.datapath.tables.family_table import Numbers, Table
from xdpctl.datapath.tables.ipv4 import Table4
from xdpctl.datapath.tables.ipv6 import Table6
from xdpctl.datapath.tables.nodes import Nodes, Slots

MAPS = {  # the maps of each family, by what they are to its table
    4: {"front": "front4", "near": "near4", "cells": "cells4"},
    6: {
        "front": "front6",
        "near": "near6",
        "single": "single6",
        "cells": "cells6",
        "entries": "entries6",
    },
}
_TABLES: dict[int, type[Table]] = {4: Table4, 6: Table6}


class SourceTable:
    """Over `memory`, the writable memory of each map in MAPS and of `nodes`, `slots`, `controls`.

    `grace` waits until no packet reads what was there before the call.
    """

    def __init__(self, memory: Mapping[str, Any], control: Any, grace: Callable[[], None]) -> None:
        self.words = np.frombuffer(memory["slots"], np.uint64)
        self.tables = {
            number: _TABLES[number](
                {part: memory[name] for part, name in names.items()}, control, grace
            )
            for number, names in MAPS.items()
        }
        self.nodes = Nodes(memory["nodes"], len(self.words), self._values_in_use, grace)

    def _values_in_use(self) -> set[int]:
        found: set[int] = set()
        for table in self.tables.values():
            for _, values in table.scan():
                found.update(np.unique(values).tolist())
        return found

    def adopt(self) -> None:
        """Take over what is there, whoever wrote it."""
        for table in self.tables.values():
            table.adopt()
        self.nodes.adopt()

    def lead(self, family: int, keys: Keys, old: Numbers | int, new: Numbers | int) -> None:
        """Let each prefix lead to slot `new` instead of `old`, 0 for none, beside its others."""
        ones = np.ones(len(keys), np.uint32)
        self.tables[family].lead(self.nodes, keys, ones * np.uint32(old), ones * np.uint32(new))

    def slots_of(self, prefixes: Iterable[Prefix]) -> list[Slots]:
        """The slots that exactly these prefixes lead to, in the order of precedence."""
        listed = list(prefixes)
        values = np.zeros(len(listed), np.uint32)
        for number, family in FAMILIES.items():
            at = [i for i, prefix in enumerate(listed) if prefix.family == number]
            if at:
                values[at] = self.tables[number].values(family.keys(listed[i] for i in at))
        return [self.nodes.slots(value) for value in values.tolist()]

    def scan(self) -> Iterator[tuple[int, Keys, Numbers]]:
        """Everything listed, as (family, keys, values), a part at a time."""
        for number, table in self.tables.items():
            for keys, values in table.scan():
                yield number, keys, values

    def repaint(self, clear: bool = True) -> Iterator[None]:
        """Set the filters' bits that are lacking, and `clear` those that nothing needs any more;
        yields between short steps.
        """
        for table in self.tables.values():
            yield from table.repaint(clear)

    def take_lacking(self) -> int:
        """In front of how many tables bits were lacking since this was last asked."""
        lacking = [table for table in self.tables.values() if table.lacking]
        for table in lacking:
            table.lacking = False
        return len(lacking)
