# SPDX-License-Identifier: GPL-2.0-or-later
"""The whole source table: the tables of both families, their shared nodes, and the slots' words."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from xdpctl.abi.constants import Action, SlotNumber, Word
from xdpctl.base.net.prefix import Prefix
from xdpctl.base.net.prefix_arrays import FAMILIES, Keys
from xdpctl.datapath.tables.family_table import Numbers, Table
from xdpctl.datapath.tables.ipv4 import Table4
from xdpctl.datapath.tables.ipv6 import Table6
from xdpctl.datapath.tables.nodes import Nodes, Slots

MAPS = {  # the names of each family's maps, by their role in its table
    4: {"near": "near4", "cells": "cells4"},
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
    """The source table in `memory`, the writable memory of the maps in MAPS, `nodes` and `slots`.

    `control` is the CONTROL record. `grace` waits until no packet still uses data that was read
    before the call.
    """

    def __init__(self, memory: Mapping[str, Any], control: Any, grace: Callable[[], None]) -> None:
        self._control = control
        self.words = np.frombuffer(memory["slots"], np.uint64)
        self.tables = {
            number: _TABLES[number](
                {part: memory[name] for part, name in names.items()}, control, grace
            )
            for number, names in MAPS.items()
        }
        self.nodes = Nodes(memory["nodes"], len(self.words), self._values_in_use, grace)

    def _values_in_use(self) -> set[int]:
        in_use: set[int] = set()
        for table in self.tables.values():
            for _, values in table.scan():
                in_use.update(np.unique(values).tolist())
        return in_use

    def adopt(self) -> None:
        """Accept the content of the memory, whoever wrote it, and clear what is invalid."""
        for table in self.tables.values():
            table.adopt()
        self.nodes.adopt()
        self.note_outgoing()

    def write_words(self, words: Iterable[tuple[int, int]]) -> None:
        """Write words of slots."""
        for slot, word in words:
            self.words[slot] = word
        self.note_outgoing()

    def note_outgoing(self) -> bool:
        """Tell the program at TC egress whether there is an out set; else it asks no table.

        Returns whether it was told otherwise before.
        """
        sets = self.words[SlotNumber.SETS : SlotNumber.FIRST]
        there = bool((sets & np.uint64(Word.ACTION) == Action.OUT).any())
        differs = bool(self._control["outgoing"]) is not there
        self._control["outgoing"] = there
        return differs

    def lead(self, family: int, keys: Keys, old: Numbers | int, new: Numbers | int) -> None:
        """Replace slot `old` by slot `new` (0 for none) in the list of slots of each prefix."""
        ones = np.ones(len(keys), np.uint32)
        self.tables[family].lead(self.nodes, keys, ones * np.uint32(old), ones * np.uint32(new))

    def slots_of(self, prefixes: Iterable[Prefix]) -> list[Slots]:
        """The slots of each of these exact prefixes, in the order of precedence."""
        listed = list(prefixes)
        values = np.zeros(len(listed), np.uint32)
        for number, family in FAMILIES.items():
            at = [i for i, prefix in enumerate(listed) if prefix.family == number]
            if at:
                values[at] = self.tables[number].values(family.keys(listed[i] for i in at))
        return [self.nodes.slots(value) for value in values.tolist()]

    def scan(self) -> Iterator[tuple[int, Keys, Numbers]]:
        """All entries as (family, keys, values), in parts."""
        for number, table in self.tables.items():
            for keys, values in table.scan():
                yield number, keys, values

    def repaint(self, clear: bool = True) -> Iterator[None]:
        """Set missing bits of the filters, and with `clear` clear bits that no entry needs.

        Yields between short steps.
        """
        for table in self.tables.values():
            yield from table.repaint(clear)

    def take_lacking(self) -> int:
        """The number of tables whose filters had missing bits since the last call."""
        lacking = [table for table in self.tables.values() if table.lacking]
        for table in lacking:
            table.lacking = False
        return len(lacking)
