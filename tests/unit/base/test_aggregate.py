# SPDX-License-Identifier: GPL-2.0-or-later
"""Exact aggregation compared with brute force: the deciders stay, and the lists are shortest."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.ranks import Prefixes, covered, decider, listings, merge, ranks
from tests.support.spaces import collapsed, keys, parsed
from xdpctl.base.net.aggregate import count_addresses, merged, smallest, widened
from xdpctl.base.net.prefix import Prefix
from xdpctl.base.net.prefix_arrays import V4, V6, Family


@settings(max_examples=150)
@given(listings())
def test_every_address_keeps_its_rank(listing: tuple[list[Prefix], Prefixes, Prefixes]) -> None:
    everything, own, others = listing
    found = merge(everything, own, others)
    assert len(found) <= len(own)
    assert ranks(everything, found, others) == ranks(everything, own, others)
    assert merge(everything, found, others) == found


@settings(max_examples=150)
@given(listings(), st.data())
def test_the_deciding_set_stays_even_if_other_entries_expire(
    listing: tuple[list[Prefix], Prefixes, Prefixes], data: st.DataObject
) -> None:
    everything, own, others = listing
    found = merge(everything, own, others)
    for live in others, data.draw(st.sets(st.sampled_from(sorted(others)))) if others else set():
        for address in covered(everything, everything):
            assert decider(found, live, address) == decider(own, live, address)


@settings(max_examples=150)
@given(listings(tail=2))
def test_no_shorter_list_gives_the_same_ranks(
    listing: tuple[list[Prefix], Prefixes, Prefixes],
) -> None:
    everything, own, others = listing
    wanted = ranks(everything, own, others)
    for size in range(len(merge(everything, own, others))):
        for fewer in combinations(everything, size):
            assert ranks(everything, fewer, others) != wanted


@pytest.mark.parametrize(
    ("own", "others", "wanted"),
    [
        ("0/26 64/26", "", "0/25"),
        ("0/26 64/26", "0/25", "0/26 64/26"),  # a tie on the parent
        ("0/26 64/26", "0/26", "0/26 64/26"),  # a tie on one half would end
        ("0/26 64/26", "0/24 0/27", "0/25"),  # wider and narrower ones decide as before
        ("0/24 0/26", "", "0/24"),
        ("0/24 0/26", "0/25", "0/24 0/26"),  # one between
        ("0/24 0/26", "0/24", "0/24 0/26"),  # one on the wider
        ("0/24 0/26", "0/26", "0/24 0/26"),  # one on the narrower
        ("0/24 0/26", "0/27 128/25", "0/24"),
        ("0/25 0/26 64/26", "0/25", "0/26 64/26"),  # nobody meets the tie
        ("0/25 0/26 64/26", "0/26 64/26", "0/26 64/26"),  # nobody meets the wider
        ("0/25 128/26 192/26", "128/25", "0/25 128/26 192/26"),  # to widen the /25 saves nothing
        ("0/26 64/26 128/26 192/26", "128/25", "0/25 128/26 192/26"),
        ("0/26 64/27 96/27", "64/27", "0/25 64/27"),  # around one on the same prefix
        ("0/26 64/28 80/28 96/27", "64/27", "0/25 64/28 80/28"),  # around one that is filled
    ],
)
def test_examples_beside_other_sets_are_merged_as_expected(
    own: str, others: str, wanted: str
) -> None:
    sides = [parsed(*(f"203.0.113.{p}" for p in side.split())) for side in (own, others, wanted)]
    found = merged(V4, keys(V4, sides[0]), [keys(V4, sides[1])])
    assert V4.prefixes(found) == sorted(sides[2])


@settings(max_examples=50)
@given(st.sampled_from([V4, V6]), st.integers(0, 2**32), st.integers(0, 2000), st.integers(1, 12))
def test_without_other_sets_the_list_is_the_shortest(
    family: Family, seed: int, count: int, spread: int
) -> None:
    random = np.random.default_rng(seed)
    size = family.bits // 8
    base = bytes(random.integers(0, 256, size, np.uint8))
    prefixes = []
    for _ in range(count):
        length = int(random.integers(family.bits - spread, family.bits + 1))
        number = int.from_bytes(base, "big") ^ int(random.integers(0, 1 << spread))
        prefixes.append(Prefix(number.to_bytes(size, "big"), family.bits).widened(length))
    wanted = [Prefix(n.network_address.packed, n.prefixlen) for n in collapsed(prefixes)]
    found = merged(family, family.keys(prefixes))
    assert family.prefixes(found) == wanted
    assert count_addresses(family, found) == count_addresses(family, family.keys(prefixes))


def test_addresses_are_counted_once() -> None:
    listed = parsed("10.0.0.0/8", "10.1.0.0/16", "192.0.2.1", "192.0.2.1")
    assert count_addresses(V4, V4.keys(listed)) == 2**24 + 1
    assert count_addresses(V6, V6.keys(parsed("::/0", "2001:db8::/32"))) == 2**128
    assert count_addresses(V6, V6.keys(parsed("::/1", "ffff::1"))) == 2**127 + 1


@pytest.mark.parametrize("family", [V4, V6])
def test_an_empty_list_stays_empty(family: Family) -> None:
    assert count_addresses(family, family.empty) == 0
    assert len(merged(family, family.empty, [family.empty])) == 0
    for found, added in (
        widened(family, family.empty, 24, []),
        smallest(family, family.empty, 0, parsed("10.0.0.0/8", "2001:db8::/32")),
    ):
        assert (len(found), added) == (0, 0)


def test_the_whole_address_space_becomes_one_entry() -> None:
    for family, halves in ((V4, ("0.0.0.0/1", "128.0.0.0/1")), (V6, ("::/1", "8000::/1"))):
        found = merged(family, keys(family, parsed(*halves)))
        assert [p.length for p in family.prefixes(found)] == [0]
