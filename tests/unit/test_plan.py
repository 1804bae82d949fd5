"""A plan walked write by write: nobody whose verdict stays ever meets another one in between."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fakes import FakeDatapath
from xdpctl.errors import CapacityError
from xdpctl.plan import (
    PROTECTED,
    Image,
    Listing,
    Plan,
    Target,
    decides,
    differences,
    own_slot,
    relist,
    transition,
)
from xdpctl.prefix import Prefix
from xdpctl.readback import read
from xdpctl.table.family import FAMILIES
from xdpctl.wire import Action, Hits, Mode, Reason, SlotNumber
from xdpctl.writes import Lead, Leads, Word, Write, Zero

NOW = 1000
TARGETS = {
    "drop": own_slot(Action.DROP, Mode.ENFORCE, 0),
    "drop for a while": own_slot(Action.DROP, Mode.ENFORCE, NOW + 1),
    "accept": own_slot(Action.ACCEPT, Mode.ENFORCE, 0),
    "monitor": own_slot(Action.DROP, Mode.MONITOR, 0),
    "expired": own_slot(Action.ACCEPT, Mode.ENFORCE, NOW),
    "protected": PROTECTED,
}
NETS = (bytes((203, 0, 113, 8)), bytes.fromhex("20010db8") + bytes(11) + bytes((8,)))


def space(net: bytes) -> list[Prefix]:
    """Every prefix of the last four lengths under one net of eight addresses."""
    bits, base = len(net) * 8, int.from_bytes(net, "big")
    return [
        Prefix((base + (place << (bits - length))).to_bytes(len(net), "big"), length)
        for length in range(bits - 3, bits + 1)
        for place in range(1 << (length - bits + 3))
    ]


PREFIXES = [prefix for net in NETS for prefix in space(net)]
ADDRESSES = [prefix.address for prefix in PREFIXES if prefix.exact]
tables = st.dictionaries(
    st.sampled_from(PREFIXES), st.sampled_from(sorted(TARGETS)).map(TARGETS.__getitem__)
)


def verdicts(kernel: FakeDatapath) -> list[Reason]:
    return [kernel.decide(address, NOW) for address in ADDRESSES]


def single(write: Write) -> Iterator[Write]:
    """A write of many prefixes as the many that it is."""
    if isinstance(write, Leads):
        for at in range(len(write.keys)):
            yield write._replace(keys=write.keys[at : at + 1])
    else:
        yield write


def walk(kernel: FakeDatapath, image: Image, plan: Plan) -> Iterator[Write]:
    """Apply a plan, pausing after each write."""
    for many in plan.writes:
        for write in single(many):
            kernel.write(write)
            yield write
    image.commit(plan)


def change(kernel: FakeDatapath, image: Image, desired: Mapping[Prefix, Target]) -> Iterator[Write]:
    """Apply what leads to `desired`, pausing after each write."""
    return walk(kernel, image, transition(image, differences(desired, image), NOW))


def undisturbed(kernel: FakeDatapath, writes: Iterator[Write]) -> None:
    """After each write, every address has its verdict from before or from after."""
    before = verdicts(kernel)
    seen = [(write, verdicts(kernel)) for write in writes]
    after = verdicts(kernel)
    for write, between in seen:
        for old, new, met in zip(before, after, between, strict=True):
            assert met in (old, new), write


def listing(slot: int, prefixes: Iterable[Prefix], mode: Mode = Mode.ENFORCE) -> Listing:
    action = Action.ACCEPT if slot < 34 else Action.DROP
    keys = {
        number: np.unique(family.keys(p for p in prefixes if p.family == number))
        for number, family in FAMILIES.items()
    }
    return Listing(own_slot(action, mode, 0).value, keys)


SETS = (2, 3, 64, 65)
listings = st.builds(
    lambda slot, prefixes, mode: (slot, None if mode is None else (prefixes, mode)),
    st.sampled_from(SETS),
    st.sets(st.sampled_from(PREFIXES)),
    st.sampled_from([Mode.ENFORCE, Mode.ENFORCE, Mode.MONITOR, None]),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(tables, min_size=2, max_size=4))
def test_no_address_meets_a_verdict_that_is_neither_its_old_nor_its_new_one(
    steps: list[dict[Prefix, Target]],
) -> None:
    kernel, image = FakeDatapath(capacity=64), Image(64)
    for desired in steps:
        undisturbed(kernel, change(kernel, image, desired))


@settings(max_examples=300, deadline=None)
@given(st.lists(st.one_of(tables, listings), min_size=2, max_size=6))
def test_nor_does_it_while_sets_come_change_and_go_among_rules(steps: list[Any]) -> None:
    kernel, image = FakeDatapath(capacity=64), Image(64)
    for step in steps:
        if isinstance(step, dict):
            undisturbed(kernel, change(kernel, image, step))
            continue
        slot, wanted = step
        plan = relist(image, slot, listing(slot, *wanted) if wanted else None)
        undisturbed(kernel, walk(kernel, image, plan))
    again, dropped = read(kernel.source, 64)
    assert not dropped
    assert again.entries == image.entries
    assert {s: k for s, k in lists(again).items() if k} == {
        s: k for s, k in lists(image).items() if k
    }


def lists(image: Image) -> dict[int, list[Prefix]]:
    return {
        slot: [p for number, keys in by.items() for p in FAMILIES[number].prefixes(keys)]
        for slot, by in image.sets.items()
    }


@settings(max_examples=100, deadline=None)
@given(st.lists(st.one_of(tables, listings), min_size=2, max_size=6))
def test_a_plan_made_in_one_go_is_the_same_as_write_by_write(steps: list[Any]) -> None:
    singly, at_once, image = FakeDatapath(capacity=64), FakeDatapath(capacity=64), Image(64)
    for step in steps:
        if isinstance(step, dict):
            plan = transition(image, differences(step, image), NOW)
        else:
            slot, wanted = step
            plan = relist(image, slot, listing(slot, *wanted) if wanted else None)
        at_once.apply(plan)
        list(walk(singly, image, plan))
        assert at_once.listed() == singly.listed()
        assert verdicts(at_once) == verdicts(singly)


@settings(max_examples=200, deadline=None)
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


@settings(max_examples=100, deadline=None)
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
def test_one_prefix_goes_from_any_state_to_any_other(old: str | None, new: str | None) -> None:
    kernel, image, prefix = FakeDatapath(), Image(16), PREFIXES[0]
    for state in (old, new):
        list(change(kernel, image, {prefix: TARGETS[state]} if state else {}))
    assert image.value(prefix) == (TARGETS[new] if new else None)
    assert kernel.held().keys() == ({str(prefix)} if new else set())


def hosts(count: int, first: int = 0) -> dict[Prefix, Target]:
    return {Prefix(bytes((192, 0, 2, n)), 32): TARGETS["drop"] for n in range(first, first + count)}


def test_the_last_slot_can_be_had_and_one_more_plans_nothing() -> None:
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
    assert [type(write) for write in writes] == [Zero, Word, Lead]
    assert kernel.hits([image.entries[new]]) == [Hits(0, 0)]


def test_a_change_in_place_keeps_the_hits() -> None:
    kernel, image = FakeDatapath(), Image(16)
    (host,) = hosts(1)
    list(change(kernel, image, {host: TARGETS["drop"]}))
    kernel.hit(host, Hits(23, 1481))
    (write,) = change(kernel, image, {host: TARGETS["monitor"]})
    assert isinstance(write, Word)
    assert kernel.hits([image.entries[host]]) == [Hits(23, 1481)]


def test_of_two_prefixes_on_one_slot_only_the_first_is_believed() -> None:
    kernel, image = FakeDatapath(), Image(16)
    list(change(kernel, image, hosts(1)))
    (first,), (second,) = hosts(1), hosts(1, first=9)
    kernel.write(Lead(second, 0, SlotNumber.FIRST))
    adopted, (dropped,) = read(kernel.source, 16)
    (held,) = adopted.entries
    assert {held, dropped} == {first, second}
    assert adopted.entries == {held: SlotNumber.FIRST}
    assert kernel.listed() == {held: (SlotNumber.FIRST,)}


def test_gaps_become_free_slots_and_a_loose_end_is_cut_off() -> None:
    a, b = hosts(2)
    first, drop = SlotNumber.FIRST, TARGETS["drop"].value
    words = [drop] * (first + 6)
    image = Image.adopt(8, {a: first + 1, b: first + 3}, {}, words)
    assert list(image.free) == [first, first + 2]
    assert len(image.slots) == first + 4
    assert image.room == 6


@pytest.mark.parametrize("slot", [SlotNumber.FIRST + 16, (1 << 25) - 1, 1 << 25, (1 << 26) - 1])
def test_an_entry_that_leads_nowhere_is_taken_out(slot: int) -> None:
    kernel = FakeDatapath()
    (host,) = hosts(1)
    kernel.write(Lead(host, 0, slot))
    image, dropped = read(kernel.source, 16)
    assert not image.entries
    assert dropped == [host]
    assert not kernel.listed()


def test_nothing_to_change_is_no_write() -> None:
    assert not transition(Image(16), {}, NOW).writes
    kernel, image = FakeDatapath(), Image(16)
    wanted = listing(65, PREFIXES[:5])
    list(walk(kernel, image, relist(image, 65, wanted)))
    assert not relist(image, 65, wanted).writes


def test_a_new_set_is_invisible_until_all_of_it_is_there() -> None:
    kernel, image = FakeDatapath(), Image(16)
    seen = [verdicts(kernel) for _ in walk(kernel, image, relist(image, 65, listing(65, PREFIXES)))]
    assert all(set(found) == {Reason.NO_RULE} for found in seen[:-1])
    assert set(seen[-1]) == {Reason.DROPPED}


def test_a_set_that_goes_is_gone_at_once() -> None:
    kernel, image = FakeDatapath(), Image(16)
    list(walk(kernel, image, relist(image, 65, listing(65, PREFIXES))))
    seen = [verdicts(kernel) for _ in walk(kernel, image, relist(image, 65, None))]
    assert all(set(found) == {Reason.NO_RULE} for found in seen)
    assert not kernel.listed()


def test_on_one_prefix_protection_then_the_rule_then_accepting_sets_decide() -> None:
    kernel, image, prefix = FakeDatapath(), Image(16), PREFIXES[0]
    address = prefix.address
    list(walk(kernel, image, relist(image, 65, listing(65, [prefix]))))
    assert kernel.decide(address, NOW) == Reason.DROPPED
    list(walk(kernel, image, relist(image, 2, listing(2, [prefix]))))
    assert kernel.decide(address, NOW) == Reason.ACCEPTED
    list(change(kernel, image, {prefix: TARGETS["drop"]}))
    assert kernel.decide(address, NOW) == Reason.DROPPED
    list(change(kernel, image, {prefix: PROTECTED}))
    assert kernel.decide(address, NOW) == Reason.PROTECTED
    assert kernel.listed() == {prefix: (SlotNumber.PROTECTED, 2, 65)}


def test_only_live_enforced_targets_decide() -> None:
    decided = {name for name, target in TARGETS.items() if decides(target, NOW)}
    assert decided == {"drop", "drop for a while", "accept", "protected"}
    assert not decides(None, NOW)
    assert not decides(Target(0, b""), NOW)
