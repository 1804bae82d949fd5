# SPDX-License-Identifier: GPL-2.0-or-later
"""Prefixes as arrays of keys, compared with single prefixes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.spaces import keys, parsed
from xdpctl.base.net.prefix import Prefix
from xdpctl.base.net.prefix_arrays import FAMILIES, V4, V6, Family, difference, within, words6


def prefixes_of(family: Family) -> st.SearchStrategy[Prefix]:
    addresses = st.one_of(
        st.binary(min_size=family.bits // 8, max_size=family.bits // 8),
        st.sampled_from([bytes(family.bits // 8), b"\xff" * (family.bits // 8)]),
    )
    lengths = st.integers(0, family.bits)
    return st.builds(lambda a, n: Prefix(a, family.bits).widened(n), addresses, lengths)


families = st.sampled_from([V4, V6])
listed = families.flatmap(lambda f: st.tuples(st.just(f), st.lists(prefixes_of(f), max_size=20)))


def last_address(prefix: Prefix) -> bytes:
    bits = len(prefix.address) * 8
    number = int.from_bytes(prefix.address, "big") | (1 << bits - prefix.length) - 1
    return number.to_bytes(bits // 8, "big")


@given(listed)
def test_prefixes_become_keys_and_keys_the_same_prefixes(
    given: tuple[Family, list[Prefix]],
) -> None:
    family, prefixes = given
    made = family.keys(prefixes)
    assert made.dtype == family.dtype
    assert family.prefixes(made) == prefixes
    assert family.lengths(made).tolist() == [prefix.length for prefix in prefixes]
    assert family.keys(iter(prefixes)).tobytes() == made.tobytes()


@given(listed)
def test_keys_sort_by_address_wider_before_narrower(given: tuple[Family, list[Prefix]]) -> None:
    family, prefixes = given
    assert family.prefixes(keys(family, prefixes)) == sorted(prefixes)


@given(listed, st.integers(0, 128))
def test_keys_are_widened_like_prefixes(given: tuple[Family, list[Prefix]], length: int) -> None:
    family, prefixes = given
    longer = [prefix for prefix in prefixes if prefix.length >= length]
    found = family.widened(family.keys(longer), min(length, family.bits))
    assert family.prefixes(found) == [prefix.widened(length) for prefix in longer]


@given(listed)
def test_the_last_of_a_prefix_is_its_last_address(given: tuple[Family, list[Prefix]]) -> None:
    family, prefixes = given
    found = family.prefixes(family.last(family.keys(prefixes)))
    assert found == [Prefix(last_address(prefix), family.bits) for prefix in prefixes]


@given(listed, st.data())
def test_within_and_difference_agree_with_python_sets(
    given: tuple[Family, list[Prefix]], data: st.DataObject
) -> None:
    family, prefixes = given
    some = set(data.draw(st.lists(st.sampled_from(prefixes)))) if prefixes else set()
    wanted = [*prefixes, *data.draw(st.lists(prefixes_of(family), max_size=5))]
    among = keys(family, some)
    assert within(among, family.keys(wanted)).tolist() == [p in some for p in wanted]
    everything = keys(family, set(wanted))
    assert family.prefixes(difference(everything, among)) == sorted(set(wanted) - some)
    assert family.prefixes(difference(among, everything)) == []


@pytest.mark.parametrize("family", [V4, V6])
def test_nothing_is_within_nothing(family: Family) -> None:
    some = family.keys([Prefix(bytes(family.bits // 8), 0)])
    assert within(family.empty, some).tolist() == [False]
    assert within(some, family.empty).tolist() == []
    assert len(difference(family.empty, some)) == 0
    assert len(difference(some, family.empty)) == 1
    assert family.prefixes(family.empty) == []


@pytest.mark.parametrize("texts", [("0.0.0.0/0", "0.0.0.0"), ("::/0", "::/128"), ("::/0", "::/8")])
def test_zero_bytes_at_the_end_of_a_key_count(texts: tuple[str, str]) -> None:
    prefixes = parsed(*texts)
    made = FAMILIES[prefixes[0].family].keys(prefixes)
    assert len(np.unique(made)) == 2
    assert within(made[:1], made).tolist() == [True, False]


def test_ipv4_keys_are_numbers_and_ipv6_addresses_two_words() -> None:
    (host,) = parsed("203.0.113.7/32")
    assert V4.keys([host]).tolist() == [0xCB007107 << 6 | 32]
    assert V4.pack4(np.array([0xCB007107], np.uint32), 32).tolist() == [0xCB007107 << 6 | 32]
    high, low = words6(V6.keys(parsed("2001:db8::7")))
    assert (int(high[0]), int(low[0])) == (0x20010DB8 << 32, 7)
    raw = np.frombuffer(parsed("2001:db8::7")[0].address, np.uint8).reshape(1, 16)
    assert V6.prefixes(V6.pack6(raw, np.array([128], np.uint8))) == parsed("2001:db8::7")
