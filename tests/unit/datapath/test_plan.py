# SPDX-License-Identifier: GPL-2.0-or-later
"""Plans, write by write: an address whose verdict stays never has another one in between."""

from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.fakes import FakeDatapath
from tests.support.walks import NOW, PREFIXES, TARGETS, change, tables, undisturbed
from xdpctl.abi.constants import Action, SlotNumber
from xdpctl.abi.structs import Hits
from xdpctl.base.net.prefix import Prefix
from xdpctl.datapath.image import PROTECTED, Image, Target
from xdpctl.datapath.plan import decides, differences, transition
from xdpctl.datapath.readback import read
from xdpctl.datapath.writes import PointAt, Word, Zero
from xdpctl.errors import CapacityError


@settings(max_examples=300)
@given(st.lists(tables, min_size=2, max_size=4))
def test_no_address_meets_a_verdict_that_is_neither_its_old_nor_its_new_one(
    steps: list[dict[Prefix, Target]],
) -> None:
    kernel, image = FakeDatapath(capacity=64), Image(64)
    for desired in steps:
        undisturbed(kernel, change(kernel, image, desired))


@settings(max_examples=200)
@given(st.lists(tables, min_size=1, max_size=4))
def test_the_committed_image_is_what_the_writes_made(steps: list[dict[Prefix, Target]]) -> None:
    kernel, image = FakeDatapath(capacity=64), Image(64)
    for desired in steps:
        list(change(kernel, image, desired))
        entries = {prefix: slots[0] for prefix, slots in kernel.listed().items()}
        assert image.entries == entries
        assert b"".join(image.slots) == kernel.source.words[: len(image.slots)].tobytes()
        assert {p: image.value(p) for p in image.entries} == desired
        assert not differences(desired, image)
        used = sorted(n for n in entries.values() if n >= SlotNumber.FIRST)
        assert sorted([*used, *image.free]) == list(range(SlotNumber.FIRST, len(image.slots)))
        assert image.room == 64 - len(used)


@settings(max_examples=100)
@given(tables, tables)
def test_an_adopted_image_leads_to_the_same_tables(
    first: dict[Prefix, Target], second: dict[Prefix, Target]
) -> None:
    kernel, image = FakeDatapath(capacity=64), Image(64)
    list(change(kernel, image, first))
    adopted, _ = read(kernel.source, 64)
    assert {p: adopted.value(p) for p in adopted.entries} == first
    list(change(kernel, adopted, second))
    assert {p: adopted.value(p) for p in kernel.listed()} == second


@pytest.mark.parametrize(("old", "new"), list(product([None, *TARGETS], repeat=2)))
def test_a_prefix_can_go_from_any_state_to_any_other(old: str | None, new: str | None) -> None:
    kernel, image, prefix = FakeDatapath(), Image(16), PREFIXES[0]
    for state in (old, new):
        list(change(kernel, image, {prefix: TARGETS[state]} if state else {}))
    assert image.value(prefix) == (TARGETS[new] if new else None)
    assert kernel.held().keys() == ({str(prefix)} if new else set())


def hosts(count: int, first: int = 0) -> dict[Prefix, Target]:
    return {Prefix(bytes((192, 0, 2, n)), 32): TARGETS["drop"] for n in range(first, first + count)}


def test_the_last_slot_can_be_used_and_one_more_is_refused() -> None:
    kernel, image = FakeDatapath(capacity=7), Image(7)
    list(change(kernel, image, hosts(7)))
    before = kernel.listed()
    assert image.room == 0
    with pytest.raises(CapacityError, match="takes 7 rules and has room for 0; 1 more"):
        transition(image, dict(hosts(1, first=100)), NOW)
    assert kernel.listed() == before
    assert image.room == 0


def test_a_full_table_still_takes_protected_prefixes_and_changes_in_place() -> None:
    kernel, image = FakeDatapath(capacity=3), Image(3)
    list(change(kernel, image, hosts(3)))
    wanted = {**dict.fromkeys(hosts(3), TARGETS["accept"]), PREFIXES[0]: PROTECTED}
    list(change(kernel, image, wanted))
    assert kernel.held()[str(PREFIXES[0])].action == Action.ACCEPT
    assert image.room == 0


def test_slots_are_reused_in_the_order_they_were_freed() -> None:
    kernel, image = FakeDatapath(), Image(16)
    a, b, c = hosts(3)
    list(change(kernel, image, {a: TARGETS["drop"]}))
    list(change(kernel, image, hosts(3)))
    list(change(kernel, image, {c: TARGETS["drop"]} | {b: TARGETS["drop"]}))
    list(change(kernel, image, {c: TARGETS["drop"]}))
    assert list(image.free) == [SlotNumber.FIRST, image.free[1]]
    freed = list(image.free)
    fresh = list(hosts(2, first=50))
    for prefix in fresh:
        list(change(kernel, image, dict.fromkeys([*image.entries, prefix], TARGETS["drop"])))
    assert [image.entries[prefix] for prefix in fresh] == freed


def test_a_reused_slot_starts_with_no_hits() -> None:
    kernel, image = FakeDatapath(), Image(16)
    (old,) = hosts(1)
    list(change(kernel, image, {old: TARGETS["drop"]}))
    kernel.hit(old, Hits(23, 1481))
    list(change(kernel, image, {}))
    (new,) = hosts(1, first=9)
    writes = list(change(kernel, image, {new: TARGETS["drop"]}))
    assert [type(write) for write in writes] == [Zero, Word, PointAt]
    assert kernel.hits([image.entries[new]]) == [Hits(0, 0)]


def test_a_change_in_place_keeps_the_hits() -> None:
    kernel, image = FakeDatapath(), Image(16)
    (host,) = hosts(1)
    list(change(kernel, image, {host: TARGETS["drop"]}))
    kernel.hit(host, Hits(23, 1481))
    (write,) = change(kernel, image, {host: TARGETS["monitor"]})
    assert isinstance(write, Word)
    assert kernel.hits([image.entries[host]]) == [Hits(23, 1481)]


def test_only_the_first_of_two_prefixes_on_one_slot_is_adopted() -> None:
    kernel, image = FakeDatapath(), Image(16)
    list(change(kernel, image, hosts(1)))
    (first,), (second,) = hosts(1), hosts(1, first=9)
    kernel.write(PointAt(second, 0, SlotNumber.FIRST))
    adopted, (dropped,) = read(kernel.source, 16)
    (held,) = adopted.entries
    assert {held, dropped} == {first, second}
    assert adopted.entries == {held: SlotNumber.FIRST}
    assert kernel.listed() == {held: (SlotNumber.FIRST,)}


def test_adoption_frees_gaps_and_unused_slots_at_the_end() -> None:
    a, b = hosts(2)
    first, drop = SlotNumber.FIRST, TARGETS["drop"].value
    words = [drop] * (first + 6)
    image = Image.adopt(8, {a: first + 1, b: first + 3}, {}, words)
    assert list(image.free) == [first, first + 2]
    assert len(image.slots) == first + 4
    assert image.room == 6


@pytest.mark.parametrize("slot", [SlotNumber.FIRST + 16, (1 << 25) - 1, 1 << 25, (1 << 26) - 1])
def test_an_entry_without_a_slot_is_removed(slot: int) -> None:
    kernel = FakeDatapath()
    (host,) = hosts(1)
    kernel.write(PointAt(host, 0, slot))
    image, dropped = read(kernel.source, 16)
    assert not image.entries
    assert dropped == [host]
    assert not kernel.listed()


def test_an_unchanged_state_needs_no_write() -> None:
    assert not transition(Image(16), {}, NOW).writes


def test_only_live_enforced_targets_decide() -> None:
    decided = {name for name, target in TARGETS.items() if decides(target, NOW)}
    assert decided == {"drop", "drop for a while", "accept", "protected"}
    assert not decides(None, NOW)
    assert not decides(Target(0, b""), NOW)
