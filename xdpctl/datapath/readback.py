# SPDX-License-Identifier: GPL-2.0-or-later
"""Reading the content of the kernel's tables back into an image."""

from collections import defaultdict
from collections.abc import Mapping

import numpy as np

from xdpctl.abi.constants import SlotNumber, Value
from xdpctl.base.net.prefix import Prefix
from xdpctl.base.net.prefix_arrays import FAMILIES, Keys
from xdpctl.datapath.image import Image, is_shared
from xdpctl.datapath.tables.source import SourceTable


def read(source: SourceTable, capacity: int) -> tuple[Image, list[Prefix]]:
    """Read all entries into an image, and remove invalid ones from the tables.

    Returns the image, and the removed prefixes: those that lead to no slot, or to another's slot.
    """
    source.adopt()
    reader = _Reader(source)
    image = reader.read(capacity)
    return image, reader.drop()


class _Reader:
    def __init__(self, source: SourceTable) -> None:
        self._source = source
        self._entries: dict[Prefix, int] = {}
        self._used: set[int] = set()
        self._sets: dict[int, dict[int, list[Keys]]] = defaultdict(lambda: {4: [], 6: []})
        self._wrong: list[tuple[int, Keys]] = []

    def read(self, capacity: int) -> Image:
        for family, keys, values in self._source.scan():
            is_rule = (values >= SlotNumber.FIRST) & (values < Value.LIST)
            self._rules(family, keys[is_rule], values[is_rule].tolist())
            rest, rest_values = keys[~is_rule], values[~is_rule]
            for value in np.unique(rest_values).tolist():
                self._listed(family, rest[rest_values == value], value)
        highest = max((SlotNumber.FIRST - 1, *self._used))
        words = self._source.words[: highest + 1]
        slots = [word.tobytes() for word in words]
        return Image.adopt(capacity, self._entries, self._arrays(), slots)

    def drop(self) -> list[Prefix]:
        """Remove the invalid entries; their prefixes."""
        for family, keys in self._wrong:
            self._source.tables[family].drop(keys)
        return [p for family, keys in self._wrong for p in FAMILIES[family].prefixes(keys)]

    def _rules(self, family: int, keys: Keys, slots: list[int]) -> Keys:
        """Add the rules that have a slot of their own to the image; return their keys."""
        right = []
        for prefix, slot in zip(FAMILIES[family].prefixes(keys), slots, strict=True):
            right.append(slot not in self._used and slot < len(self._source.words))
            if right[-1]:
                self._used.add(slot)
                self._entries[prefix] = slot
        mask = np.array(right, np.bool_)
        if not mask.all():
            self._wrong.append((family, keys[~mask]))
        return keys[mask]

    def _listed(self, family: int, keys: Keys, value: int) -> None:
        slots = self._source.nodes.slots(value)
        alone = [s for s in slots if is_shared(s) or s >= SlotNumber.FIRST]
        never = range(SlotNumber.SIGNATURES, SlotNumber.SETS)  # a prefix never leads to these
        fine = (
            not any(s == SlotNumber.NONE or s in never for s in slots)
            and len(alone) <= 1
            and len(set(slots)) == len(slots)
        )
        if not slots or not fine:
            self._wrong.append((family, keys))
            return
        if alone and is_shared(alone[0]):
            self._entries.update(dict.fromkeys(FAMILIES[family].prefixes(keys), alone[0]))
        elif alone:
            keys = self._rules(family, keys, alone * len(keys))
        for slot in slots:
            if SlotNumber.SETS <= slot < SlotNumber.FIRST:
                self._sets[slot][family].append(keys)

    def _arrays(self) -> dict[int, Mapping[int, Keys]]:
        return {
            slot: {
                family: np.sort(np.concatenate(parts)) if parts else FAMILIES[family].empty
                for family, parts in by_family.items()
            }
            for slot, by_family in self._sets.items()
        }
