# SPDX-License-Identifier: GPL-2.0-or-later
"""Reading the tables back: valid entries are adopted, invalid ones are removed and reported."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.fakes import FakeDatapath
from tests.support.spaces import by_family, parsed, prefixes_of, space
from tests.support.tables import lead
from xdpctl.abi.constants import Action, SlotNumber, Value
from xdpctl.abi.structs import Slot
from xdpctl.base.net.prefix import Prefix
from xdpctl.datapath.image import Image, is_shared
from xdpctl.datapath.readback import read
from xdpctl.datapath.tables.nodes import precedence
from xdpctl.datapath.tables.source import MAPS, SourceTable

CAPACITY = 16
ITS_MAPS = {"nodes", "slots", *(name for names in MAPS.values() for name in names.values())}
FIRST, PROTECTED = SlotNumber.FIRST, SlotNumber.PROTECTED
LOW, HIGH = SlotNumber.SETS, FIRST - 1
DROP = int.from_bytes(Slot(Action.DROP).pack(), "little")
HOST, NET, HOST6, NET6 = parsed("203.0.113.7", "10.0.0.0/8", "2001:db8::1", "2001:db8::/32")
NETS = (bytes((203, 0, 113, 8)), bytes.fromhex("20010db8") + bytes(11) + bytes((8,)))
POOL = [prefix for net in NETS for prefix in space(net, 2)] + [HOST, NET, HOST6, NET6]


def held_by(image: Image) -> dict[Prefix, tuple[int, ...]]:
    """The slots by prefix according to the image."""
    found: dict[Prefix, set[int]] = {prefix: {slot} for prefix, slot in image.entries.items()}
    for slot, by in image.sets.items():
        for prefix in prefixes_of(by):
            found.setdefault(prefix, set()).add(slot)
    return {prefix: tuple(sorted(s, key=precedence)) for prefix, s in found.items()}


def believed(kernel: FakeDatapath) -> list[Prefix]:
    """Read the tables, assert that the image agrees with them, and return what was removed."""
    image, dropped = read(kernel.source, CAPACITY)
    listed = kernel.listed()
    assert held_by(image) == listed
    for by in image.sets.values():
        assert all(np.array_equal(keys, np.unique(keys)) for keys in by.values())
    own = [slot for slot in image.entries.values() if not is_shared(slot)]
    assert len(own) == len(set(own)), "a rule's slot is on one prefix only"
    assert all(FIRST <= slot < FIRST + CAPACITY for slot in own)
    assert set(image.sets) <= set(range(SlotNumber.SETS, FIRST))
    assert b"".join(image.slots) == kernel.source.words[: len(image.slots)].tobytes()
    assert image.room == CAPACITY - len(own)
    again, more = read(kernel.source, CAPACITY)
    assert not more
    assert (again.entries, again.slots, list(again.free)) == (
        *(image.entries, image.slots),
        list(image.free),
    )
    return dropped


@pytest.fixture
def kernel() -> FakeDatapath:
    """A rule on each of two prefixes, and sets on those and others."""
    kernel = FakeDatapath(CAPACITY)
    kernel.source.words[FIRST : FIRST + 3] = DROP
    kernel.source.words[[LOW, HIGH - 1, HIGH]] = DROP
    lead(kernel, {HOST}, 0, FIRST)
    lead(kernel, {NET6}, 0, FIRST + 1)
    lead(kernel, {HOST, NET, HOST6}, 0, HIGH)
    lead(kernel, {HOST, NET, NET6}, 0, LOW)
    return kernel


def test_valid_tables_are_adopted(kernel: FakeDatapath) -> None:
    before = kernel.listed()
    assert believed(kernel) == []
    assert kernel.listed() == before
    assert before[HOST] == (FIRST, LOW, HIGH)


def test_an_empty_table_is_an_empty_image() -> None:
    kernel = FakeDatapath(CAPACITY)
    image, dropped = read(kernel.source, CAPACITY)
    assert image == Image(CAPACITY)
    assert not dropped


def test_a_rules_slot_on_two_prefixes_is_removed_from_one(
    kernel: FakeDatapath,
) -> None:
    lead(kernel, {NET}, 0, FIRST)
    (dropped,) = believed(kernel)
    assert dropped in (HOST, NET)


@pytest.mark.parametrize("slot", [FIRST + CAPACITY, (1 << 25) - 1])
def test_a_prefix_with_an_invalid_slot_is_removed(kernel: FakeDatapath, slot: int) -> None:
    (other,) = parsed("192.0.2.1")
    lead(kernel, {other}, 0, slot)
    assert believed(kernel) == [other]


def test_two_rules_or_protection_and_a_rule_on_one_prefix_are_wrong(kernel: FakeDatapath) -> None:
    one, two = parsed("192.0.2.1", "2001:db8::5")
    for prefix, slots in ((one, (FIRST + 3, FIRST + 4)), (two, (PROTECTED, FIRST + 5))):
        for slot in slots:
            lead(kernel, {prefix}, 0, slot)
    assert set(believed(kernel)) == {one, two}


def test_a_list_that_goes_in_a_circle_is_wrong(kernel: FakeDatapath) -> None:
    value = int(kernel.source.tables[4].values(by_family([NET])[4])[0])
    assert value & Value.LIST
    kernel.source.nodes._words[value & ~Value.LIST] = HIGH | value << 32
    assert NET in believed(kernel)
    assert NET not in kernel.listed()


def test_a_list_behind_the_end_of_memory_is_wrong(kernel: FakeDatapath) -> None:
    value = int(kernel.source.tables[4].values(by_family([NET])[4])[0])
    kernel.source.nodes._words[value & ~Value.LIST] = HIGH | (Value.LIST | 1 << 24) << 32
    assert NET in believed(kernel)


def test_an_entry_behind_the_end_of_memory_is_removed(kernel: FakeDatapath) -> None:
    cells = kernel.source.tables[6].cells
    cells.flat[cells.used_cells()[0]] |= np.uint64((1 << 26) - 1)
    read(kernel.source, CAPACITY)
    believed(kernel)
    assert len([p for p in kernel.listed() if p.family == 6]) == 1


words = st.one_of(
    st.integers(0, (1 << 64) - 1),
    st.integers(0, FIRST + 34),
    st.builds(
        lambda a, b: a | (Value.LIST | b) << 32,
        st.integers(0, FIRST + 33),
        st.integers(0, 4 * FIRST),
    ),
)
states = st.lists(
    st.tuples(
        st.sampled_from([1, LOW, HIGH - 1, HIGH, *range(FIRST, FIRST + 6)]),
        st.sets(st.sampled_from(POOL)),
    )
)


def garbage(*names: str) -> st.SearchStrategy[list[tuple[str, int, int]]]:
    """Words that another process writes into these arrays."""
    return st.lists(st.tuples(st.sampled_from(names), st.integers(0, 400), words), max_size=12)


def spoiled(states: Any, garbage: Any) -> FakeDatapath:
    """A kernel with garbage near the beginning of its used memory."""
    kernel = FakeDatapath(CAPACITY)
    for slot, prefixes in states:
        kernel.source.words[slot] = DROP
        lead(kernel, prefixes if slot < FIRST else set(sorted(prefixes)[:1]), 0, slot)
    for name, at, word in garbage:
        memory = np.frombuffer(kernel.memory_of[name], np.uint64)
        if name.startswith("cells"):
            memory = kernel.source.tables[int(name[-1])].cells.flat
        elif name == "nodes" and at % 2:
            memory = memory[kernel.source.nodes._first :]
        memory[at % len(memory)] = word
    read_from = {name: kernel.memory_of[name] for name in ITS_MAPS}
    before = {name: bytes(memory) for name, memory in read_from.items()}
    kernel.source = SourceTable(read_from, kernel.control, lambda: None)
    after = {name: bytes(memory) for name, memory in read_from.items()}
    assert after == before, "who only opens it changes nothing"
    return kernel


@settings(max_examples=150)
@given(states, garbage("nodes", "slots"))
def test_garbage_in_lists_and_slots_is_removed_without_an_error(states: Any, garbage: Any) -> None:
    kernel = spoiled(states, garbage)
    believed(kernel)


@settings(max_examples=150)
@given(states, garbage("cells4", "cells6", "entries6"))
def test_garbage_in_cells_and_entries_is_removed_without_an_error(
    states: Any, garbage: Any
) -> None:
    kernel = spoiled(states, garbage)
    believed(kernel)


@pytest.mark.parametrize("shared", [SlotNumber.PROTECTED, SlotNumber.NEIGHBOUR])
def test_many_prefixes_may_share_the_slots_of_protection(shared: int) -> None:
    kernel = FakeDatapath(CAPACITY)
    lead(kernel, {HOST, NET, HOST6, NET6}, 0, shared)
    assert not believed(kernel)
    image, _ = read(kernel.source, CAPACITY)
    assert image.room == CAPACITY, "they take no rule's slot"
