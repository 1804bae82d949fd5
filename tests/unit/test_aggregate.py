"""Aggregation beside brute force: who decides stays, lists are shortest, additions are counted."""

from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network, collapse_addresses, ip_network
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xdpctl.aggregate import count_addresses, merged, smallest, widened
from xdpctl.prefix import Prefix, parse_prefix
from xdpctl.table.family import FAMILIES, V4, V6, Family, Keys

NETS = (bytes((203, 0, 113, 64)), bytes.fromhex("20010db8") + bytes(11) + bytes((64,)))
IMPOSSIBLE = 1 << 20
Prefixes = set[Prefix]


def space(net: bytes, tail: int) -> list[Prefix]:
    """Every prefix of the last `tail` bits under one net."""
    bits, base = len(net) * 8, int.from_bytes(net, "big")
    return [
        Prefix((base + (place << (bits - length))).to_bytes(len(net), "big"), length)
        for length in range(bits - tail, bits + 1)
        for place in range(1 << (length - bits + tail))
    ]


@st.composite
def listings(draw: st.DrawFn, tail: int = 4) -> tuple[list[Prefix], Prefixes, Prefixes]:
    """All prefixes there are, a set's, and the others."""
    everything = space(draw(st.sampled_from(NETS)), tail)
    some = st.sets(st.sampled_from(everything))
    return everything, draw(some), draw(some)


def family_of(prefixes: Iterable[Prefix]) -> Family:
    return FAMILIES[next(iter(prefixes)).family]


def keys(family: Family, prefixes: Iterable[Prefix]) -> Keys:
    return np.sort(family.keys(prefixes))


def parsed(*texts: str) -> list[Prefix]:
    return [parse_prefix(text) for text in texts]


def merge(everything: list[Prefix], own: Prefixes, others: Prefixes) -> Prefixes:
    family, listed = family_of(everything), sorted(others)
    halves = [keys(family, listed[::2]), keys(family, listed[1::2])]
    found = family.prefixes(merged(family, keys(family, own), halves))
    assert len(found) == len(set(found))
    return set(found)


def covered(everything: Iterable[Prefix], own: Iterable[Prefix]) -> Prefixes:
    listed = set(own)
    return {a for a in everything if a.exact and any(p.covers(a) for p in listed)}


def rank(own: Iterable[Prefix], others: Prefixes, address: Prefix) -> object:
    """Which of the others come after the set on the way out, and which is on the same prefix."""
    best = max((p for p in own if p.covers(address)), key=lambda p: p.length, default=None)
    if best is None:
        return None
    around = {o for o in others if o.covers(address)}
    return {o for o in around if o.length < best.length}, best in around


def decider(own: Prefixes, others: Prefixes, address: Prefix) -> object:
    """The narrowest listed prefix: the set's, which of the others, or that and the set's."""
    found = [p for p in own | others if p.covers(address)]
    best = max(found, key=lambda p: p.length, default=None)
    return best in own, best if best in others else None


def ranks(everything: list[Prefix], own: Iterable[Prefix], others: Prefixes) -> list[object]:
    return [rank(own, others, address) for address in everything if address.exact]


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
def test_who_decides_stays_even_if_others_expire(
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
def test_examples_next_to_others(own: str, others: str, wanted: str) -> None:
    sides = [parsed(*(f"203.0.113.{p}" for p in side.split())) for side in (own, others, wanted)]
    found = merged(V4, keys(V4, sides[0]), [keys(V4, sides[1])])
    assert V4.prefixes(found) == sorted(sides[2])


@settings(max_examples=50, deadline=None)
@given(st.sampled_from([V4, V6]), st.integers(0, 2**32), st.integers(0, 2000), st.integers(1, 12))
def test_without_others_it_is_the_shortest_list(
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


def collapsed(prefixes: Iterable[Prefix]) -> list[IPv4Network | IPv6Network]:
    nets = [ip_network((p.address, p.length)) for p in prefixes]
    return list(collapse_addresses(nets))  # type: ignore[type-var]  # all of one family


def test_addresses_are_counted_once() -> None:
    listed = parsed("10.0.0.0/8", "10.1.0.0/16", "192.0.2.1", "192.0.2.1")
    assert count_addresses(V4, V4.keys(listed)) == 2**24 + 1
    assert count_addresses(V6, V6.keys(parsed("::/0", "2001:db8::/32"))) == 2**128
    assert count_addresses(V6, V6.keys(parsed("::/1", "ffff::1"))) == 2**127 + 1


@pytest.mark.parametrize("family", [V4, V6])
def test_nothing_is_nothing(family: Family) -> None:
    assert count_addresses(family, family.empty) == 0
    assert len(merged(family, family.empty, [family.empty])) == 0
    for found, added in (
        widened(family, family.empty, 24, []),
        smallest(family, family.empty, 0, parsed("10.0.0.0/8", "2001:db8::/32")),
    ):
        assert (len(found), added) == (0, 0)


def test_all_there_is_becomes_one_entry() -> None:
    for family, halves in ((V4, ("0.0.0.0/1", "128.0.0.0/1")), (V6, ("::/1", "8000::/1"))):
        found = merged(family, keys(family, parsed(*halves)))
        assert [p.length for p in family.prefixes(found)] == [0]


def check_lossy(
    everything: list[Prefix], own: Prefixes, kept: Prefixes, found: Prefixes, added: int
) -> None:
    """Nothing lost or turned, nothing kept out is hit, and the additions are as counted."""
    before, after = covered(everything, own), covered(everything, found)
    assert before <= after
    assert added == len(after) - len(before)
    assert not (after - before) & covered(everything, kept)
    for address in before:
        assert rank(found, kept, address) == rank(own, kept, address)


@settings(max_examples=150)
@given(listings(), st.integers(0, 4))
def test_widened_beside_brute_force(
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
def test_smallest_beside_brute_force(
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
def test_smallest_is_nearly_the_best(density: float) -> None:
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
    """All parents cost about the same an entry, and the widest the least."""
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
