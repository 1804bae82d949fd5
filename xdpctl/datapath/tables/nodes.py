# SPDX-License-Identifier: GPL-2.0-or-later
"""Values of table entries: each value encodes the list of slots of a prefix.

If a prefix has one slot, its value is that slot's number. If a prefix has several slots, its value
is the number of the first node of a linked list of nodes. The list has the slot of protection
first, then the rule's slot, then the slots of sets by number (accepting sets have the lower
numbers). A rule's slot belongs to one prefix only, so its node has the slot's number and changes in
place. All prefixes with the same list share the other nodes, which never change.
"""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from xdpctl.abi.constants import Constants, SlotNumber, Value
from xdpctl.errors import CapacityError

Slots = tuple[int, ...]
_LONGEST = Constants.SETS_MAX + 2  # slots on one prefix: every set, the rule and protection


def precedence(slot: int) -> tuple[int, int]:
    """The sort key of slots on one prefix."""
    return (0 if slot < SlotNumber.SIGNATURES else 1 if slot >= SlotNumber.FIRST else 2), slot


class Nodes:
    """Lists of slots in `memory`, with 8 bytes per node.

    The first `slots` nodes are reserved: each belongs to the slot with its number. `in_use` returns
    the values of all entries. `grace` waits until no packet still uses data that was read before
    the call.
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
        """The number of shared nodes in use."""
        return len(self._words) - self._first - len(self._free)

    @property
    def capacity(self) -> int:
        """The largest number of shared nodes."""
        return len(self._words) - self._first

    def adopt(self) -> None:
        """Find the shared nodes that entries lead to, and free all others."""
        self._known = {}
        pending, seen = list(self._in_use()), set[int]()
        while pending:
            value = pending.pop()
            if value & Value.LIST and value not in seen:
                seen.add(value)  # nodes that another process wrote may form a cycle
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
        """The slots of a value, in the order in which a packet meets them."""
        slots: list[int] = []
        while value & Value.LIST and len(slots) < _LONGEST:
            slot, value = self._node(value & ~Value.LIST)
            slots.append(slot)
        return (*slots, value) if value else tuple(slots)

    def value(self, slots: Iterable[int]) -> int:
        """The value for these slots, 0 for none; CapacityError if no node is free."""
        value = 0
        for slot in sorted(slots, key=precedence, reverse=True):
            value = self._before(slot, value) if value else slot
        return value

    def changed(self, value: int, old: int, new: int) -> int:
        """The value with slot `old` removed and `new` added; 0 stands for no slot."""
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
        """Free unused nodes if there may not be enough for this number of new lists.

        Call it only between changes: during a change, new nodes exist that no entry leads to yet.
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
