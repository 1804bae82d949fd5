# SPDX-License-Identifier: GPL-2.0-or-later
"""Plans: the ordered list of writes that takes the tables from their content to a desired one.

The order avoids temporary wrong verdicts. First, entries that decide are written, longest prefix
first; then entries that stop deciding are changed or removed, shortest first. So while one plan
is applied, an address whose verdict is the same before and after never gets another verdict.
test_plan.py checks this after every write.
"""

from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache

import numpy as np

from xdpctl.abi.constants import Action, Mode, SlotNumber
from xdpctl.abi.structs import Slot
from xdpctl.base.net.prefix import Prefix
from xdpctl.base.net.prefix_arrays import FAMILIES, Keys, difference
from xdpctl.datapath.image import Image, Listing, Plan, Target
from xdpctl.datapath.writes import PointAllAt, PointAt, Word, Write, Zero
from xdpctl.errors import CapacityError

_unpacked = lru_cache(4096)(Slot.unpack)
_FREE = Slot(Action.NONE).pack()


def decides(target: Target | None, now_ns: int) -> bool:
    """Whether a target decides a packet: it exists, is enforced, and has not expired."""
    if target is None or not target.value:
        return False
    slot = _unpacked(target.value)
    live = slot.expires_ns == 0 or slot.expires_ns > now_ns
    return live and slot.mode == Mode.ENFORCE and slot.action != Action.NONE


def differences(desired: Mapping[Prefix, Target], image: Image) -> dict[Prefix, Target | None]:
    """The changes that make the image's entries equal to `desired`; None removes a prefix."""
    changes: dict[Prefix, Target | None] = {
        prefix: None for prefix in image.entries if prefix not in desired
    }
    changes.update(
        (prefix, target) for prefix, target in desired.items() if image.value(prefix) != target
    )
    return changes


def transition(image: Image, changes: Mapping[Prefix, Target | None], now_ns: int) -> Plan:
    """Plan the writes for `changes`, in an order that affects no other address.

    CapacityError, with nothing planned, if they need more slots than are free.
    """
    return _Planner(image, now_ns).plan(changes)


class _Planner:
    def __init__(self, image: Image, now_ns: int) -> None:
        self.image = image
        self.now_ns = now_ns
        self.zeroed: list[Write] = []  # `zeroed` and `prepared`: slots not yet in use
        self.prepared: list[Write] = []
        self.writes: list[Write] = []
        self.entries: dict[Prefix, int | None] = {}
        self.slots: dict[int, bytes] = {}
        self.freed: list[int] = []
        self._reused = iter(image.free)
        self._next = len(image.slots)

    def plan(self, changes: Mapping[Prefix, Target | None]) -> Plan:
        self._check_room(changes.items())
        settle: list[tuple[int, Prefix, Target | None]] = []
        leave: list[tuple[int, Prefix, Target | None]] = []
        for prefix, target in changes.items():
            chosen = settle if decides(target, self.now_ns) else leave
            chosen.append((prefix.length, prefix, target))
        settle.sort(key=lambda item: (len(item[1].address), -item[0]))
        leave.sort(key=lambda item: (len(item[1].address), item[0]))
        for _, prefix, target in settle + leave:
            if target is None:
                self._remove(prefix)
            else:
                self._put(prefix, target)
        return Plan(
            writes=tuple(self.zeroed + self.prepared + self.writes),
            entries=self.entries,
            slots=self.slots,
            freed=tuple(self.freed),
            removals=sum(slot is None for slot in self.entries.values()),
        )

    def _check_room(self, changes: Iterable[tuple[Prefix, Target | None]]) -> None:
        entries = self.image.entries
        new = sum(
            1
            for prefix, target in changes
            if target and not target.shared and entries.get(prefix, 0) < SlotNumber.FIRST
        )
        if new > self.image.room:
            raise CapacityError(
                f"the source table takes {self.image.capacity} rules and has room for "
                f"{self.image.room}; {new} more were requested, and none was applied"
            )

    def _put(self, prefix: Prefix, target: Target) -> None:
        old = self.image.entries.get(prefix, SlotNumber.NONE)
        if target.shared:
            if old >= SlotNumber.FIRST:
                self.freed.append(old)
            if self.image.slots[target.shared] != target.value:
                self._prepare(target.shared, target.value)
            self._lead(prefix, old, target.shared)
        elif old >= SlotNumber.FIRST:
            self.slots[old] = target.value
            self.writes.append(Word(old, target.value))
        else:
            self._lead(prefix, old, self._allocate(target.value))

    def _allocate(self, value: bytes) -> int:
        number = next(self._reused, 0)
        if number:
            self.zeroed.append(Zero(number))
        else:
            number = self._next
            self._next += 1
        self._prepare(number, value)
        return number

    def _prepare(self, number: int, value: bytes) -> None:
        self.slots[number] = value
        self.prepared.append(Word(number, value))

    def _lead(self, prefix: Prefix, old: int, number: int) -> None:
        if old != number:
            self.entries[prefix] = number
            self.writes.append(PointAt(prefix, old, number))

    def _remove(self, prefix: Prefix) -> None:
        number = self.image.entries[prefix]
        if number >= SlotNumber.FIRST:
            self.freed.append(number)
        self.entries[prefix] = None
        self.writes.append(PointAt(prefix, number, SlotNumber.NONE))


def replace_set(image: Image, slot: int, wanted: Listing | None) -> Plan:
    """Plan the writes that give a set its desired content, or remove it (`wanted` is None).

    A new set takes effect at once, when all its entries are written; a removed set stops at once.
    For a changed set only the differences are written, and a new action or mode takes effect at
    once.
    """
    current = image.listing(slot)
    value = wanted.value if wanted else _FREE
    old, new = (listing.keys if listing else {} for listing in (current, wanted))
    added = {f: difference(keys, old.get(f, keys[:0])) for f, keys in new.items()}
    removed = {f: difference(keys, new.get(f, keys[:0])) for f, keys in old.items()}
    word: list[Write] = [] if current and current.value == value else [Word(slot, value)]
    coming: list[Write] = list(_leads(added, 0, slot))
    leaving: list[Write] = list(_leads(removed, slot, 0))
    changes: list[Write]
    if not current:
        changes = [Word(slot, _FREE), Zero(slot), *coming, *word]
    elif not wanted:
        changes = word + leaving
    else:
        changes = leaving + word + coming if word else coming + leaving
    return Plan(
        writes=tuple(changes),
        slots={slot: value},
        sets={slot: wanted.keys if wanted else None},
        removals=sum(map(len, removed.values())),
    )


def _leads(keys: Mapping[int, Keys], old: int, new: int) -> Iterator[PointAllAt]:
    """The writes by prefix length: longest first to add entries, shortest first to remove them."""
    for number, family_keys in keys.items():
        lengths = FAMILIES[number].lengths(family_keys)
        present = np.unique(lengths).tolist()
        for length in reversed(present) if new else present:
            yield PointAllAt(number, family_keys[lengths == length], old, new)
