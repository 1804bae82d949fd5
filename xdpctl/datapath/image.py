# SPDX-License-Identifier: GPL-2.0-or-later
"""What the kernel's tables hold, and what they should hold: values that plans are made of."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from xdpctl.abi.constants import Action, Mode, SlotNumber, Spare
from xdpctl.abi.structs import Slot
from xdpctl.base.net.prefix import Prefix
from xdpctl.base.net.prefix_arrays import Keys
from xdpctl.datapath.writes import Write

FREE = Slot(Action.NONE).pack()


def is_shared(slot: int) -> bool:
    """Whether a slot is one of the two that all protected prefixes share."""
    return slot in (SlotNumber.PROTECTED, SlotNumber.NEIGHBOUR)


class Target(NamedTuple):
    """What a prefix should lead to: a shared slot's number and its value, or 0 and the value of
    a slot of its own.
    """

    shared: int
    value: bytes


PROTECTED = Target(SlotNumber.PROTECTED, Slot(Action.ACCEPT).pack())
NEIGHBOUR = Target(SlotNumber.NEIGHBOUR, Slot(Action.ACCEPT).pack())
SHARED = (PROTECTED, NEIGHBOUR)  # each slot is shared by all protected prefixes of its kind
_RESERVED = [Slot(Action.ACCEPT).pack() if is_shared(n) else FREE for n in range(SlotNumber.FIRST)]


@lru_cache(4096)
def own_slot(action: Action, mode: Mode, expires_ns: int, spare: Spare = Spare.NONE) -> Target:
    """The target of a rule: a slot of its own with this action, mode and expiry."""
    return Target(0, Slot(action, mode, expires_ns, spare).pack())


class Listing(NamedTuple):
    """The content of a set: its slot's word, and its sorted keys by family."""

    value: bytes
    keys: Mapping[int, Keys]


@dataclass(frozen=True, slots=True)
class Plan:
    """The `writes` in order, and what `Image.commit` needs after they were made."""

    writes: tuple[Write, ...]
    entries: Mapping[Prefix, int | None] = field(default_factory=dict)
    slots: Mapping[int, bytes] = field(default_factory=dict)
    freed: tuple[int, ...] = ()
    sets: Mapping[int, Mapping[int, Keys] | None] = field(default_factory=dict)
    removals: int = 0  # how many entries the plan removes


@dataclass(slots=True)
class Image:
    """The content of the kernel's tables.

    `entries` maps the prefixes of rules and protection to slot numbers, `slots` has the word of
    each slot, `free` the unused slots, and `sets` the keys of every set by its slot.
    """

    capacity: int
    entries: dict[Prefix, int] = field(default_factory=dict)
    slots: list[bytes] = field(default_factory=lambda: list(_RESERVED))
    free: deque[int] = field(default_factory=deque)
    sets: dict[int, Mapping[int, Keys]] = field(default_factory=dict)

    @classmethod
    def adopt(
        cls,
        capacity: int,
        entries: dict[Prefix, int],
        sets: dict[int, Mapping[int, Keys]],
        slots: list[bytes],
    ) -> "Image":
        """An image of what was read from the kernel; `slots` includes all reserved slots."""
        used = set(entries.values())
        while len(slots) > SlotNumber.FIRST and len(slots) - 1 not in used:
            slots.pop()
        free = deque(n for n in range(SlotNumber.FIRST, len(slots)) if n not in used)
        return cls(capacity, entries, slots, free, sets)

    @property
    def room(self) -> int:
        """How many more rules fit."""
        return self.capacity - (len(self.slots) - SlotNumber.FIRST) + len(self.free)

    def value(self, prefix: Prefix) -> Target | None:
        """The target of a prefix now, without sets; None if it has none."""
        slot = self.entries.get(prefix)
        if slot is None:
            return None
        return Target(slot if is_shared(slot) else 0, self.slots[slot])

    def listing(self, slot: int) -> Listing | None:
        """The content of the set with this slot, or None."""
        keys = self.sets.get(slot)
        return None if keys is None else Listing(self.slots[slot], keys)

    def commit(self, plan: Plan) -> None:
        """Update the image with a plan that was applied."""
        for number, value in plan.slots.items():
            if number < len(self.slots):
                self.slots[number] = value
            else:
                self.slots.append(value)
        for prefix, slot in plan.entries.items():
            if slot is None:
                del self.entries[prefix]
            else:
                self.entries[prefix] = slot
        while self.free and self.free[0] in plan.slots:
            self.free.popleft()
        self.free.extend(plan.freed)
        for number, keys in plan.sets.items():
            if keys is None:
                self.sets.pop(number, None)
            else:
                self.sets[number] = keys


def same(listing: Listing | None, other: Listing | None) -> bool:
    """Whether two listings have the same slot value and the same entries."""
    if listing is None or other is None or listing.value != other.value:
        return listing is other
    families = {*listing.keys, *other.keys}
    pairs = ((listing.keys[family], other.keys[family]) for family in families)
    return all(a is b or np.array_equal(a, b) for a, b in pairs)
