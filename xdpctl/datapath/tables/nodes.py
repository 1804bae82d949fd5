# SPDX-License-Identifier: GPL-2.0-or-later
"""Values: what a prefix leads to. One slot is its own value; of several, nodes are a list.

The order on one prefix: protection, the rule, sets by number (accepting ones have the lower
numbers). A rule's slot is on one prefix only, so its node has the slot's number and is changed in
place. Other nodes are shared by all prefixes with the same list, and never changed.
"""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from xdpctl.abi.structs import Constants, SlotNumber, Value
from xdpctl.errors import CapacityError

Slots = tuple[int, ...]
_LONGEST = Constants.SETS_MAX + 2  # every set, the rule and protection


def precedence(slot: int) -> tuple[int, int]:
    """The order of slots on one prefix."""
    return (0 if slot < SlotNumber.SIGNATURES else 1 if slot >= SlotNumber.FIRST else 2), slot


class Nodes:
    """Lists of slots in `memory` of 8 bytes a node; the first `slots` nodes are the slots' own.

    `in_use` tells all values that entries have; `grace` waits until no packet can still be
    reading what was taken out of the tables.
    """

    def __init__(
        self,
        memory: Any,
        slots: int,
        in_use: Callable[[], Iterable[int]],
        grace: Callable[[], None],
    ) -> None:
        self._words = np.frombuffer(memory, np.uint64)
        self._first = slots
        self._in_use = in_use
        self._grace = grace
        self._known: dict[tuple[int, int], int] = {}
        self._free = np.empty(0, np.uint32)
        self.adopt()

    @property
    def used(self) -> int:
        """How many nodes are in use."""
        return len(self._words) - self._first - len(self._free)

    @property
    def capacity(self) -> int:
        """How many nodes there can be."""
        return len(self._words) - self._first

    def adopt(self) -> None:
        """Take over the shared nodes that entries lead to; all others are free."""
        self._known = {}
        pending, seen = list(self._in_use()), set[int]()
        while pending:
            value = pending.pop()
            if value & Value.LIST and value not in seen:
                seen.add(value)  # what somebody else wrote may lead in a circle
                index = value & ~Value.LIST
                slot, rest = self._node(index)
                if self._first <= index < len(self._words):
                    self._known.setdefault((slot, rest), index)
                pending.append(rest)
        free = np.ones(len(self._words), np.bool_)
        free[: self._first] = False
        taken = (value & ~Value.LIST for value in seen)
        free[[index for index in taken if index < len(free)]] = False
        self._free = np.flatnonzero(free).astype(np.uint32)

    def _node(self, index: int) -> tuple[int, int]:
        if index >= len(self._words):
            return 0, 0
        word = int(self._words[index])
        return word & 0xFFFFFFFF, word >> 32

    def slots(self, value: int) -> Slots:
        """The slots that a value leads to, in the order in which a packet meets them."""
        found: list[int] = []
        while value & Value.LIST and len(found) < _LONGEST:
            slot, value = self._node(value & ~Value.LIST)
            found.append(slot)
        return (*found, value) if value else tuple(found)

    def value(self, slots: Iterable[int]) -> int:
        """The value that leads to these slots, 0 for none; CapacityError if no node is left."""
        value = 0
        for slot in sorted(slots, key=precedence, reverse=True):
            value = self._before(slot, value) if value else slot
        return value

    def changed(self, value: int, old: int, new: int) -> int:
        """The value after slot `old` went and `new` came, where they are not 0."""
        if old == value or not value:
            return new
        slots = set(self.slots(value)) - {old, 0}
        return self.value(slots | {new} if new else slots)

    def _before(self, slot: int, rest: int) -> int:
        if slot >= SlotNumber.FIRST:
            self._words[slot] = slot | rest << 32
            return Value.LIST | slot
        index = self._known.get((slot, rest))
        if index is None:
            index = self._allocate()
            self._words[index] = slot | rest << 32
            self._known[slot, rest] = index
        return Value.LIST | index

    def reserve(self, lists: int) -> None:
        """Collect nodes that nothing leads to any more, unless so many new lists fit anyway.

        Only between changes: in the middle of one, some are made and not yet led to.
        """
        if len(self._free) < min(lists * _LONGEST, self.capacity):
            self.adopt()
            self._grace()

    def _allocate(self) -> int:
        if not len(self._free):
            raise CapacityError(
                f"sets overlap in more than {self.capacity} different ways on the same prefix; "
                "nothing more was applied. Merge sets that list the same prefixes."
            )
        index, self._free = int(self._free[0]), self._free[1:]
        return index
