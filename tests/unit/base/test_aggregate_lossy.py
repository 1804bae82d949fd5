# SPDX-License-Identifier: GPL-2.0-or-later
"""Lossy aggregation compared with brute force: additions are counted, exclusions respected."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.ranks import Prefixes, covered, family_of, listings, merge, rank
from tests.support.spaces import collapsed, keys, parsed
from xdpctl.base.net.aggregate import count_addresses, merged, smallest, widened
from xdpctl.base.net.prefix import Prefix, parse_prefix
from xdpctl.base.net.prefix_arrays import V4, V6, Keys

IMPOSSIBLE = 1 << 20


def check_lossy(
    everything: list[Prefix], own: Prefixes, kept: Prefixes, found: Prefixes, added: int
) -> None:
    """Assert that no address is lost or changed, exclusions hold, and additions are counted."""
    before, after = covered(everything, own), covered(everything, found)
    assert before <= after
    assert added == len(after) - len(before)
    assert not (after - before) & covered(everything, kept)
    for address in before:
        assert rank(found, kept, address) == rank(own, kept, address)


@settings(max_examples=150)
@given(listings(), st.integers(0, 4))
def test_widening_agrees_with_brute_force(
    listing: tuple[list[Prefix], Prefixes, Prefixes], tail: int
) -> None:
    everything, own, kept = listing
    family = family_of(everything)
    length = family.bits - tail
    listed = sorted(kept)
    keep_out: list[Prefix | Keys] = [keys(family, listed[1::2]), *listed[::2]]
    keep_out += parsed("192.0.2.1", "2001:db8:1::1")
    result, added = widened(family, keys(family, own), length, keep_out)
    found = set(family.prefixes(result))
    check_lossy(everything, own, kept, found, added)
    wide = {p.widened(length) for p in own if p.length > length}
    free = {w for w in wide if not any(w.covers(k) or k.covers(w) for k in kept)}
    assert covered(everything, found) == covered(everything, own | free)


def test_widening_ipv6_adds_huge_numbers() -> None:
    own = parsed("2001:db8::1", "2001:db8::2", "2001:db8:0:1::/65", "2001:db8:9::7")
    result, added = widened(V6, keys(V6, own), 64, parsed("2001:db8:9::/48"))
    assert V6.prefixes(result) == parsed("2001:db8::/63", "2001:db8:9::7")
    assert added == 2**65 - 2 - 2**63


@settings(max_examples=150)
@given(listings(), st.integers(0, 8))
def test_smallest_agrees_with_brute_force(
    listing: tuple[list[Prefix], Prefixes, Prefixes], entries: int
) -> None:
    everything, own, kept = listing
    family = family_of(everything)
    result, added = smallest(family, keys(family, own), entries, kept)
    found = set(family.prefixes(result))
    check_lossy(everything, own, kept, found, added)
    exact = merge(everything, own, kept)
    clear = [p for p in everything if not any(p.covers(k) or k.covers(p) for k in kept)]
    tops = [p for p in clear if not any(q.covers(p) for q in clear if q != p)]
    fixed = [p for p in exact if p not in clear]
    fewest = len(fixed) + sum(any(t.covers(p) for p in exact) for t in tops)
    assert len(found) <= max(entries, fewest)
    if len(exact) <= entries:
        assert (found, added) == (exact, 0)


def best(hit: list[bool], most: int) -> list[int]:
    """The fewest addresses that 0, 1, ... entries hit if they hit all of these, a power of two."""
    none, one = (0 if not any(hit) else IMPOSSIBLE), len(hit)
    if len(hit) == 1 or not any(hit):
        return [none] + [min(none, one)] * most
    left, right = (best(half, most) for half in (hit[: one // 2], hit[one // 2 :]))
    split = [min(left[i] + right[n - i] for i in range(n + 1)) for n in range(most + 1)]
    return [none, *(min(one, fewest) for fewest in split[1:])]


@pytest.mark.parametrize("density", [0.03, 0.1, 0.4])
def test_smallest_is_close_to_the_optimum(density: float) -> None:
    random = np.random.default_rng(5)
    for _ in range(5):
        hit = random.random(1024) < density
        own = V4.pack4(np.flatnonzero(hit), 32)
        fewest = best(hit.tolist(), 60)
        for entries in 1, 2, 3, 5, 10, 20, 40, 60:
            found, added = smallest(V4, own, entries, [])
            assert len(found) <= entries
            assert len(own) + added <= fewest[entries] * 1.05


def test_smallest_merges_what_is_near_first() -> None:
    own = parsed("10.0.0.1", "10.0.0.2", "10.0.9.1", "10.0.9.129", "172.16.0.1", "203.0.113.7")
    found, added = smallest(V4, keys(V4, own), 5, [])
    assert V4.prefixes(found)[0] == parse_prefix("10.0.0.0/30")
    assert (len(found), added) == (5, 2)
    found, added = smallest(V4, keys(V4, own), 1, parsed("10.0.0.3"))
    assert V4.prefixes(found) == parsed("10.0.0.1", "10.0.0.2", "10.0.9.0/24", "128.0.0.0/1")
    assert added == 2**8 + 2**31 - 4


def test_smallest_merges_nothing_into_a_tie() -> None:
    own = parsed("10.0.0.1", "10.0.0.2", "203.0.113.0/26", "203.0.113.64/26")
    found, added = smallest(V4, keys(V4, own), 3, parsed("203.0.113.0/25"))
    assert V4.prefixes(found) == parsed("10.0.0.0/30", "203.0.113.0/26", "203.0.113.64/26")
    assert added == 2


def test_evenly_spread_addresses_do_not_become_one_entry() -> None:
    """All parent prefixes cost about the same per entry, the widest slightly less."""
    own = V4.pack4(np.arange(0, 2**32, 2**20), 32)
    found, added = smallest(V4, own, 4000, [])
    assert 3990 <= len(found) <= 4000
    assert added < 2**32 // 32


def test_many_become_few() -> None:
    random = np.random.default_rng(3)
    own = np.sort(V4.pack4(random.integers(0, 2**32, 20_000), 32))
    kept = V4.pack4(random.integers(0, 2**24, 200) << 8, 24)
    found, added = smallest(V4, own, 2_000, [np.sort(kept)])
    assert len(found) <= 2_000
    assert count_addresses(V4, found) == count_addresses(V4, own) + added
    both = count_addresses(V4, np.concatenate([own, kept]))
    overlap = count_addresses(V4, own) + count_addresses(V4, kept) - both
    now = count_addresses(V4, np.concatenate([found, kept]))
    assert count_addresses(V4, found) + count_addresses(V4, kept) - now == overlap


def test_real_lists_cover_the_same_addresses(corpus: Path) -> None:
    lists = sorted([*corpus.glob("feeds/*.txt"), *corpus.glob("geo/*.txt")])
    assert lists
    for path in lists:
        lines = (line.partition("#")[0].strip() for line in path.read_text().splitlines())
        prefixes = [parse_prefix(line) for line in lines if line]
        family = family_of(prefixes)
        found = merged(family, keys(family, prefixes))
        nets = list(collapsed(prefixes))
        assert [str(prefix) for prefix in family.prefixes(found)] == [str(net) for net in nets]
        few, added = smallest(family, found, len(found) // 2, [])
        assert len(few) <= len(found) // 2
        assert np.array_equal(merged(family, np.concatenate([few, found])), few)
        assert count_addresses(family, few) - count_addresses(family, found) == added
