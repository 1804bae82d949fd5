# SPDX-License-Identifier: GPL-2.0-or-later
"""Lists of slots: their order, shared nodes, and running out of nodes."""

from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.fakes import FakeDatapath
from tests.support.tables import agree, counting, lead
from xdpctl.abi.constants import SlotNumber, Value
from xdpctl.base.net.prefix import Prefix
from xdpctl.datapath.tables.nodes import Nodes, precedence
from xdpctl.errors import CapacityError

SETS, FIRST, PROTECTED = SlotNumber.SETS, SlotNumber.FIRST, SlotNumber.PROTECTED
LOW, HIGH = SETS, FIRST - 1
SLOTS = FIRST + 8  # that have a node of their own
ROOM = 6
Set = frozenset[int]


class Room:
    """Nodes, with the entries that a test lets use them."""

    def __init__(self, room: int = ROOM) -> None:
        self.memory = bytearray(8 * (SLOTS + room))
        self.in_use: set[int] = set()
        self.graces = 0
        self.nodes = Nodes(self.memory, SLOTS, lambda: self.in_use, self.grace)

    def grace(self) -> None:
        self.graces += 1

    def use(self, *slots: int) -> int:
        """Let an entry lead to these slots."""
        value = self.nodes.value(slots)
        self.in_use.add(value)
        return value


@pytest.fixture
def room() -> Room:
    return Room()


def test_one_slot_is_its_own_value_and_no_slot_is_zero(room: Room) -> None:
    assert room.nodes.value([]) == 0
    assert room.nodes.slots(0) == ()
    for slot in (PROTECTED, SETS, FIRST + 3):
        assert room.nodes.value([slot]) == slot
        assert room.nodes.slots(slot) == (slot,)
    assert room.nodes.used == 0


@settings(max_examples=100)
@given(
    st.sets(
        st.sampled_from([PROTECTED, LOW, LOW + 1, LOW + 28, HIGH - 1, HIGH, FIRST, FIRST + 7]),
        max_size=7,
    )
)
def test_a_list_has_protection_then_the_rule_then_sets_by_number(slots: set[int]) -> None:
    room = Room()
    found = room.nodes.slots(room.nodes.value(slots))
    ordered = [s for s in found if s == PROTECTED] + [s for s in found if s >= FIRST]
    ordered += sorted(s for s in found if SETS <= s < FIRST)
    assert list(found) == ordered
    assert set(found) == slots
    assert sorted(slots, key=precedence) == ordered


def test_equal_lists_share_their_nodes(room: Room) -> None:
    assert room.use(LOW, LOW + 1, HIGH) == room.use(HIGH, LOW + 1, LOW)
    assert room.nodes.used == 2
    room.use(HIGH - 1, LOW + 1, HIGH)
    assert room.nodes.used == 4
    room.use(LOW, HIGH)
    room.use(LOW + 1, HIGH)
    assert room.nodes.used == 5, "the last list is the end of the first"


def test_the_node_of_a_rule_has_the_number_of_its_slot_and_changes_in_place(room: Room) -> None:
    value = room.use(FIRST + 2, HIGH)
    assert value == Value.LIST | FIRST + 2
    assert room.nodes.used == 0
    assert room.nodes.changed(value, HIGH, HIGH - 1) == value
    assert room.nodes.slots(value) == (FIRST + 2, HIGH - 1)
    assert room.nodes.changed(value, HIGH - 1, 0) == FIRST + 2


@pytest.mark.parametrize(
    ("before", "old", "new", "after"),
    [
        ((), 0, HIGH, (HIGH,)),
        ((HIGH,), HIGH, 0, ()),
        ((HIGH,), HIGH, LOW, (LOW,)),
        ((HIGH,), 0, LOW, (LOW, HIGH)),
        ((HIGH,), 0, HIGH, (HIGH,)),
        ((LOW, HIGH), LOW, 0, (HIGH,)),
        ((LOW, HIGH), HIGH, LOW + 1, (LOW, LOW + 1)),
        ((LOW, HIGH), LOW + 1, 0, (LOW, HIGH)),
        ((LOW, HIGH), 0, FIRST, (FIRST, LOW, HIGH)),
        ((FIRST, LOW, HIGH), FIRST, PROTECTED, (PROTECTED, LOW, HIGH)),
        ((PROTECTED, FIRST), FIRST, 0, (PROTECTED,)),
    ],
)
def test_one_slot_is_replaced_by_another(
    room: Room, before: tuple[int, ...], old: int, new: int, after: tuple[int, ...]
) -> None:
    value = room.use(*before)
    assert room.nodes.slots(room.nodes.changed(value, old, new)) == after


def test_unused_nodes_are_collected_when_none_is_left(room: Room) -> None:
    for slot in range(LOW, LOW + ROOM):
        room.use(slot, HIGH)
    kept = room.nodes.value([LOW, HIGH])
    room.in_use = {kept}
    assert room.graces == 0
    assert room.nodes.used == room.nodes.capacity == ROOM
    room.nodes.reserve(1)
    assert room.graces == 1
    assert room.nodes.used == 1
    assert room.nodes.slots(room.use(LOW + 18, HIGH)) == (LOW + 18, HIGH)
    assert room.nodes.slots(kept) == (LOW, HIGH)
    assert room.nodes.value([LOW, HIGH]) == kept


def test_with_all_nodes_in_use_another_list_is_refused_without_a_change(room: Room) -> None:
    held = {slot: room.use(slot, HIGH) for slot in range(LOW, LOW + ROOM)}
    before = bytes(room.memory)
    with pytest.raises(CapacityError, match="more than 6 different ways"):
        room.nodes.value([LOW + 18, HIGH])
    assert bytes(room.memory) == before
    assert all(room.nodes.slots(value) == (slot, HIGH) for slot, value in held.items())


def test_nodes_written_by_another_process_are_adopted(room: Room) -> None:
    values = [room.use(2, 3, HIGH), room.use(FIRST, 3, HIGH), room.use(HIGH - 1, HIGH)]
    again = Nodes(room.memory, SLOTS, lambda: values, room.grace)
    assert again.used == 3
    assert [again.value(s) for s in ((2, 3, HIGH), (FIRST, 3, HIGH), (HIGH - 1, HIGH))] == values


def test_reading_stops_at_a_loop_and_at_the_end_of_memory(room: Room) -> None:
    room.nodes._words[SLOTS] = 2 | (Value.LIST | SLOTS) << 32
    assert set(room.nodes.slots(Value.LIST | SLOTS)) >= {2}
    assert room.nodes.slots(Value.LIST | 4_000_000) == (0,)


def test_adopting_nodes_with_a_loop_ends(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    room.nodes._words[SLOTS] = 2 | (Value.LIST | SLOTS) << 32
    room.in_use = {Value.LIST | SLOTS}
    looks, node = iter(range(1000)), room.nodes._node
    monkeypatch.setattr(room.nodes, "_node", lambda index: (next(looks), node(index))[1])
    room.nodes.adopt()


def combined(kernel: FakeDatapath, prefixes: list[Prefix], ways: list[Set]) -> dict[Prefix, Set]:
    """Let each prefix lead to its slots, one slot for all prefixes at a time."""
    held = dict(zip(prefixes, ways, strict=True))
    for slot in sorted({slot for way in ways for slot in way}):
        lead(kernel, [prefix for prefix, way in held.items() if slot in way], 0, slot)
    return held


HOSTS = [Prefix(bytes((10, 0, n >> 8, n & 255)), 32) for n in range(400)]
PAIRS = [frozenset(pair) for pair in combinations(range(20, 60), 2)]


def test_every_node_can_be_used_by_overlapping_sets() -> None:
    kernel = counting()
    room = kernel.source.nodes.capacity
    held = combined(kernel, HOSTS[:room], PAIRS[:room])
    agree(kernel, held, [])
    assert kernel.source.nodes.used == room


def test_more_lists_than_nodes_are_refused_even_all_at_once() -> None:
    kernel = counting()
    room = kernel.source.nodes.capacity
    with pytest.raises(CapacityError):
        combined(kernel, HOSTS[: room + 1], PAIRS[: room + 1])


def test_unused_nodes_are_collected_in_the_middle_of_a_large_change() -> None:
    kernel = counting()
    nodes = kernel.source.nodes
    fresh = dict(zip(HOSTS[300:330], range(2, 32), strict=True))
    for prefix, slot in fresh.items():
        lead(kernel, [prefix], 0, slot)
    held = combined(kernel, HOSTS[: nodes.capacity], PAIRS[: nodes.capacity])
    alone(kernel, held, HOSTS[:10])
    lead(kernel, [HOSTS[399]], 0, 2)
    lead(kernel, [HOSTS[399]], 0, HIGH)
    assert nodes.used == nodes.capacity - 9, "so nine are free"
    alone(kernel, held, HOSTS[nodes.capacity - 25 : nodes.capacity])  # and 25 will be
    lead(kernel, fresh, 0, HIGH - 1)  # thirty more combinations at once
    held |= {prefix: frozenset({slot, HIGH - 1}) for prefix, slot in fresh.items()}
    agree(kernel, {**held, HOSTS[399]: {2, HIGH}}, [])


def alone(kernel: FakeDatapath, held: dict[Prefix, Set], prefixes: list[Prefix]) -> None:
    """Reduce each prefix to one of its slots."""
    for prefix in prefixes:
        one, *_ = kept = sorted(held[prefix])
        lead(kernel, [prefix], one, 0)
        held[prefix] = frozenset(kept[1:])
