# SPDX-License-Identifier: GPL-2.0-or-later
"""Comparing the source table with a dictionary: what is listed, and what a packet meets."""

from collections.abc import Iterable, Mapping

import numpy as np

from tests.support.fakes import FakeDatapath
from tests.support.spaces import by_family
from tests.support.walker import search
from xdpctl.abi.constants import Action, Mode, SlotNumber
from xdpctl.abi.structs import Slot
from xdpctl.base.net.prefix import Prefix
from xdpctl.base.net.prefix_arrays import FAMILIES
from xdpctl.datapath.tables.nodes import precedence
from xdpctl.datapath.tables.source import SourceTable

COUNTS = int.from_bytes(Slot(Action.DROP, Mode.MONITOR).pack(), "little")  # does not end a search
Held = Mapping[Prefix, Iterable[int]]


def counting(rules: int = 64, seeds: tuple[int, int, int] | None = None) -> FakeDatapath:
    """A fake kernel whose slots are all in monitor mode, so that a search meets every slot."""
    kernel = FakeDatapath(rules)
    if seeds:
        kernel.control["seeds"] = seeds
        kernel.source = SourceTable(kernel.memory_of, kernel.control, lambda: None)
    kernel.source.words[1:] = COUNTS
    return kernel


def lead(kernel: FakeDatapath, prefixes: Iterable[Prefix], old: int, new: int) -> None:
    """Replace slot `old` by slot `new` in the lists of many prefixes at once."""
    for number, keys in by_family(prefixes).items():
        kernel.source.lead(number, keys, old, new)


def met(kernel: FakeDatapath, address: bytes) -> list[int]:
    """The slots that a packet from this address meets."""
    return search(kernel.source, kernel.control, address, 0)[1]


def expected(slots_of: Held, address: bytes) -> list[int]:
    """The slots that a packet should meet: longest prefix first, each set only once."""
    slots: list[int] = []
    single = Prefix(address, len(address) * 8)
    for length in range(single.length, -1, -1):
        for slot in sorted(slots_of.get(single.widened(length), ()), key=precedence):
            if slot not in slots or not SlotNumber.SETS <= slot < SlotNumber.FIRST:
                slots.append(slot)
    return slots


def agree(kernel: FakeDatapath, slots_of: Held, addresses: Iterable[bytes]) -> None:
    """Assert that the table lists the same as the dictionary, and that packets meet the same."""
    listed = kernel.listed()
    assert {prefix: set(slots) for prefix, slots in listed.items()} == {
        prefix: set(slots) for prefix, slots in slots_of.items()
    }
    assert all(list(slots) == sorted(slots, key=precedence) for slots in listed.values())
    assert kernel.source.slots_of(slots_of) == [listed[prefix] for prefix in slots_of]
    for number, table in kernel.source.tables.items():
        assert table.used == sum(prefix.family == number for prefix in slots_of)
    for address in addresses:
        assert met(kernel, address) == expected(slots_of, address), address


def edges(prefixes: Iterable[Prefix]) -> list[bytes]:
    """The first and the last address of each prefix, and the addresses just outside it."""
    addresses = set()
    for prefix in prefixes:
        size = len(prefix.address)
        first = int.from_bytes(prefix.address, "big")
        last = first + (1 << size * 8 - prefix.length) - 1
        top = (1 << size * 8) - 1
        addresses |= {
            number.to_bytes(size, "big")
            for number in (first, last, max(first - 1, 0), min(last + 1, top))
        }
    return sorted(addresses)


def random_prefixes(random: np.random.Generator, count: int, lengths: Iterable[int]) -> set[Prefix]:
    """`count` random prefixes of each family; `lengths` are for IPv4, IPv6 has four times those."""
    listed = list(lengths)
    prefixes = set()
    for family in FAMILIES.values():
        for _ in range(count):
            address = random.bytes(family.bits // 8)
            length = int(random.choice(listed)) * family.bits // 32
            prefixes.add(Prefix(address, family.bits).widened(length))
    return prefixes
