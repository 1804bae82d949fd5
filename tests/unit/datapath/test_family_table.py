# SPDX-License-Identifier: GPL-2.0-or-later
"""The source table compared with a dictionary: packets meet the same after every change."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.fakes import SEEDS, FakeDatapath
from tests.support.spaces import by_family, parsed, space
from tests.support.tables import COUNTS, agree, counting, edges, lead, met, random_prefixes
from xdpctl.abi.constants import SlotNumber
from xdpctl.base.net.prefix import Prefix
from xdpctl.datapath.tables.cells import SMALLEST_LOG2
from xdpctl.datapath.tables.source import SourceTable
from xdpctl.errors import CapacityError

# with these, all of IPv4 is in one bucket, and so are IPv6 keys that differ in a few bits
ONES = (1, 1, 1)
NETS = (bytes((203, 0, 113, 8)), bytes.fromhex("20010db8") + bytes(11) + bytes((8,)))
WIDE = parsed("0.0.0.0/0", "128.0.0.0/1", "203.0.0.0/8", "203.0.96.0/19", "203.0.113.0/24")
WIDE += parsed("::/0", "2000::/3", "2001::/16", "2001:db8::/32", "2001:db8::/64", "2001:db8::/96")
POOL = [*WIDE, *(prefix for net in NETS for prefix in space(net, 3))]
ADDRESSES = [prefix.address for prefix in POOL if prefix.exact] + [bytes((1, 2, 3, 4)), bytes(16)]
SETS = (2, 3, 64, 65)
some = st.one_of(st.sets(st.sampled_from(POOL)), st.sets(st.sampled_from(POOL), min_size=30))
steps = st.one_of(
    st.tuples(st.just("come"), st.sampled_from(SETS), some),
    st.tuples(st.just("go"), st.sampled_from(SETS), some),
    st.tuples(st.just("swap"), st.permutations(SETS), some),
    st.tuples(st.just("rule"), st.integers(66, 69), st.sampled_from([None, *POOL])),
    st.tuples(st.just("protect"), st.sampled_from(POOL), st.booleans()),
    st.tuples(st.just("forget"), st.none(), some),
)
FIRST, PROTECTED = SlotNumber.FIRST, SlotNumber.PROTECTED


class Both:
    """The table and the dictionary, changed alike."""

    def __init__(self, seeds: tuple[int, int, int]) -> None:
        self.kernel = counting(seeds=seeds)
        self.held: dict[Prefix, set[int]] = {}

    def lead(self, prefixes: set[Prefix], old: int, new: int) -> None:
        after = {
            prefix: (self.held.get(prefix, set()) - {old}) | ({new} - {0}) for prefix in prefixes
        }
        wanted = {p: slots for p, slots in {**self.held, **after}.items() if slots}
        try:
            lead(self.kernel, prefixes, old, new)
        except CapacityError:
            self.kernel.source.adopt()
            listed = {p: set(slots) for p, slots in self.kernel.listed().items()}
            for prefix, slots in self.held.items():
                assert listed.get(prefix) in (slots, after.get(prefix) or None), "one was lost"
            for prefix, slots in listed.items():
                assert slots in (self.held.get(prefix), wanted.get(prefix)), (
                    "there is an entry that nobody added"
                )
            wanted = listed
        self.held = wanted

    def of(self, slot: int) -> set[Prefix]:
        return {prefix for prefix, slots in self.held.items() if slot in slots}

    def step(self, kind: str, what: Any, who: Any) -> None:
        if kind == "come":
            self.lead(who, 0, what)
        elif kind == "go":
            self.lead(who, what, 0)
        elif kind == "swap":
            old, new, *_ = what
            self.lead(who & self.of(old), old, new)
        elif kind == "rule":
            self.lead(self.of(what), what, 0)
            if who and not any(slot >= FIRST for slot in self.held.get(who, ())):
                self.lead({who}, 0, what)
        elif kind == "protect":
            old, new = (0, PROTECTED) if who else (PROTECTED, 0)
            self.lead({what}, old, new)
        else:
            for number, keys in by_family(who).items():
                self.kernel.source.tables[number].drop(keys)
            self.held = {p: slots for p, slots in self.held.items() if p not in who}


@settings(max_examples=80)
@given(st.lists(steps, max_size=12))
def test_the_table_agrees_with_a_dictionary(given: list[Any]) -> None:
    both = Both(SEEDS)
    for step in given:
        both.step(*step)
    agree(both.kernel, both.held, ADDRESSES)
    for _ in both.kernel.source.repaint():
        pass
    agree(both.kernel, both.held, ADDRESSES)


@settings(max_examples=60)
@given(st.lists(steps, max_size=12), st.sampled_from([ONES, (1 << 63, 1, 1), (3, 5, 7)]))
def test_the_table_stays_right_with_hash_seeds_that_collide(
    given: list[Any], seeds: tuple[int, int, int]
) -> None:
    both = Both(seeds)
    for step in given:
        both.step(*step)
        agree(both.kernel, both.held, ADDRESSES)


def test_the_table_grows_and_shrinks_with_thousands_of_entries() -> None:
    random = np.random.default_rng(7)
    kernel = counting()
    many = random_prefixes(random, 2000, range(12, 33))
    few = set(sorted(many)[::50])
    addresses = edges(few)
    lead(kernel, many, 0, 65)
    grown = [int(n) for n in kernel.control["buckets_log2"]]
    assert min(grown) > SMALLEST_LOG2 + 4
    agree(kernel, dict.fromkeys(many, (65,)), addresses)
    lead(kernel, few, 0, 2)
    lead(kernel, many, 65, 0)
    agree(kernel, dict.fromkeys(few, (2,)), addresses)
    for _ in kernel.source.repaint():
        pass
    assert max(int(n) for n in kernel.control["buckets_log2"]) < min(grown)
    agree(kernel, dict.fromkeys(few, (2,)), addresses)


def fill6(kernel: FakeDatapath, held: set[Prefix]) -> None:
    """Add addresses of IPv6, 200 at a time, until they are refused."""
    random = np.random.default_rng(3)
    for _ in range(60):
        more = {p for p in random_prefixes(random, 200, [32]) if len(p.address) == 16}
        lead(kernel, more, 0, 65)
        held |= more


def test_a_full_table_refuses_entries_without_losing_any() -> None:
    kernel, held = counting(), set[Prefix]()
    with pytest.raises(CapacityError, match=r"no room for 200 more IPv6 entries: .* 8000"):
        fill6(kernel, held)
    kernel.source.adopt()
    some = sorted(held)[::40]
    assert kernel.listed().keys() >= held
    assert all(met(kernel, prefix.address) == [65] for prefix in some)
    lead(kernel, set(sorted(held)[:300]), 65, 0)
    lead(kernel, random_prefixes(np.random.default_rng(5), 200, [32]), 0, 65)


def test_an_ipv6_entry_is_reused_only_after_a_grace_period() -> None:
    kernel, graces = counting(), list[int]()
    kernel.source = SourceTable(kernel.memory_of, kernel.control, lambda: graces.append(1))
    kernel.control["buckets_log2"] = 11
    kernel.source = SourceTable(kernel.memory_of, kernel.control, lambda: graces.append(1))
    kernel.source.words[1:] = COUNTS
    many = {p for p in random_prefixes(np.random.default_rng(1), 1000, [32]) if len(p[0]) == 16}
    for rounds in range(8):
        assert not graces, rounds
        lead(kernel, many, 0, 65)
        lead(kernel, many, 65, 0)
    lead(kernel, many, 0, 65)
    assert len(graces) == 1
    agree(kernel, dict.fromkeys(many, (65,)), [])


def test_two_prefixes_with_the_same_hash_are_both_found() -> None:
    kernel = counting(seeds=(1, 0x9E3779B97F4A7C15, 3))  # so that these three have one hash
    one, two, three = parsed("2001:db8:0:2e::/64", "2001:db8:0:34::/62", "2001:db8:0:40::/58")
    table = kernel.source.tables[6]
    assert len(np.unique(table.hashed(table.family.keys([one, two, three])).second)) == 1
    addresses = edges([one, two])
    lead(kernel, {one, two}, 0, 65)
    agree(kernel, {one: {65}, two: {65}}, addresses)
    lead(kernel, {two}, 65, 64)
    agree(kernel, {one: {65}, two: {64}}, addresses)
    with pytest.raises(CapacityError):
        lead(kernel, {three}, 0, 65)
    agree(kernel, {one: {65}, two: {64}}, addresses)
    lead(kernel, {one}, 65, 0)
    agree(kernel, {two: {64}}, addresses)
    lead(kernel, {three}, 0, 3)
    agree(kernel, {two: {64}, three: {3}}, addresses)


def test_entries_are_refused_if_the_table_cannot_grow() -> None:
    kernel = counting(seeds=(1 << 26, 1 << 42, 1))  # by the upper bits, then by the lower ones
    near = [Prefix(bytes((0, n, 0x10, 0)), 32) for n in range(17)]
    far = [Prefix(bytes((0x10, n, 0x30, 0)), 32) for n in range(8)]
    lead(kernel, [*near[:16], *far], 0, 65)  # three buckets, full
    agree(kernel, dict.fromkeys([*near[:16], *far], (65,)), [])
    with pytest.raises(CapacityError):
        lead(kernel, near[16:], 0, 65)
    agree(kernel, dict.fromkeys([*near[:16], *far], (65,)), [])
