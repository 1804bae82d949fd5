"""A plan walked write by write: nobody whose verdict stays ever meets another one in between."""

from collections.abc import Iterator, Mapping
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fakes import FakeDatapath
from xdpctl.errors import CapacityError
from xdpctl.plan import (
    PROTECTED,
    Image,
    Target,
    Write,
    decides,
    differences,
    entry_key,
    own_slot,
    transition,
)
from xdpctl.prefix import Prefix, parse_prefix
from xdpctl.wire import Action, Hits, Mode, Reason, SlotNumber

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


def change(kernel: FakeDatapath, image: Image, desired: Mapping[Prefix, Target]) -> Iterator[Write]:
    """Apply what leads to `desired`, pausing after each write."""
    plan = transition(image, differences(desired, image), NOW)
    kernel.mark(plan.marks)
    for write in plan.writes:
        kernel.write(write)
        yield write
    image.commit(plan)


def as_read(kernel: FakeDatapath) -> tuple[dict[Prefix, int], list[bytes]]:
    entries = {prefix: slot for batch in kernel.scan() for prefix, slot in batch}
    return entries, kernel.slot_values


@settings(max_examples=300, deadline=None)
@given(st.lists(tables, min_size=2, max_size=4))
def test_no_address_meets_a_verdict_that_is_neither_its_old_nor_its_new_one(
    steps: list[dict[Prefix, Target]],
) -> None:
    kernel, image = FakeDatapath(capacity=64), Image(64)
    for desired in steps:
        before = verdicts(kernel)
        seen = [(write, verdicts(kernel)) for write in change(kernel, image, desired)]
        after = verdicts(kernel)
        for write, between in seen:
            for old, new, met in zip(before, after, between, strict=True):
                assert met in (old, new), write


@settings(max_examples=200, deadline=None)
@given(st.lists(tables, min_size=1, max_size=4))
def test_the_committed_image_is_what_the_writes_made(steps: list[dict[Prefix, Target]]) -> None:
    kernel, image = FakeDatapath(capacity=64), Image(64)
    for desired in steps:
        list(change(kernel, image, desired))
        entries, slots = as_read(kernel)
        assert image.entries == entries
        assert image.slots == slots[: len(image.slots)]
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
    entries, slots = as_read(kernel)
    adopted = Image.adopt(64, entries, slots[: max(entries.values(), default=1) + 1])
    assert {p: adopted.value(p) for p in adopted.entries} == first
    list(change(kernel, adopted, second))
    assert {p: adopted.value(p) for p in as_read(kernel)[0]} == second


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
    before = as_read(kernel)
    assert image.room == 0
    with pytest.raises(CapacityError, match="takes 7 rules and has room for 0; 1 more"):
        transition(image, dict(hosts(1, first=100)), NOW)
    assert as_read(kernel) == before
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
    assert list(image.free) == [2, image.free[1]]
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
    assert [write.table for write in writes] == ["hits", "slots", "exact4"]
    assert kernel.hits([image.entries[new]]) == [Hits(0, 0)]


def test_a_change_in_place_keeps_the_hits() -> None:
    kernel, image = FakeDatapath(), Image(16)
    (host,) = hosts(1)
    list(change(kernel, image, {host: TARGETS["drop"]}))
    kernel.hit(host, Hits(23, 1481))
    (write,) = change(kernel, image, {host: TARGETS["monitor"]})
    assert write.table == "slots"
    assert kernel.hits([image.entries[host]]) == [Hits(23, 1481)]


def test_of_two_prefixes_on_one_slot_only_the_first_is_believed() -> None:
    a, b = hosts(2)
    image = Image.adopt(8, {a: 2, b: 2}, [bytes(16), PROTECTED.value, TARGETS["drop"].value])
    assert image.value(a) == TARGETS["drop"]
    assert image.value(b) == Target(0, b"")
    changes = differences(hosts(2), image)
    assert changes == {b: TARGETS["drop"]}
    assert transition(image, changes, NOW).entries == {b: 3}


def test_gaps_become_free_slots_and_a_loose_end_is_cut_off() -> None:
    a, b = hosts(2)
    drop = TARGETS["drop"].value
    image = Image.adopt(8, {a: 3, b: 5}, [bytes(16), PROTECTED.value, *[drop] * 6])
    assert list(image.free) == [2, 4]
    assert len(image.slots) == 6
    assert image.room == 6


@pytest.mark.parametrize("slot", [0, 6, 4_000_000_000])
def test_an_entry_that_leads_nowhere_is_written_anew(slot: int) -> None:
    (host,) = hosts(1)
    image = Image.adopt(8, {host: slot}, [bytes(16), PROTECTED.value])
    plan = transition(image, differences(hosts(1), image), NOW)
    assert plan.entries == {host: 2}


def test_marks_name_every_prefix_that_comes() -> None:
    plan = transition(Image(16), dict(hosts(3)), NOW)
    assert set(plan.marks) == set(hosts(3))
    assert plan.writes
    assert not transition(Image(16), {}, NOW).writes


def test_each_prefix_has_its_table() -> None:
    kinds = {
        "203.0.113.7": "exact4",
        "0.0.0.0/0": "prefixes4",
        "::/0": "prefixes6",
        "::2": "exact6",
    }
    assert {text: entry_key(parse_prefix(text))[0] for text in kinds} == kinds


def test_only_live_enforced_targets_decide() -> None:
    decided = {name for name, target in TARGETS.items() if decides(target, NOW)}
    assert decided == {"drop", "drop for a while", "accept", "protected"}
    assert not decides(None, NOW)
    assert not decides(Target(0, b""), NOW)
