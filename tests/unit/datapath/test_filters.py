# SPDX-License-Identifier: GPL-2.0-or-later
"""The filters pass all sources that are listed, of every prefix length, and few others."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.spaces import parsed
from tests.support.tables import counting, edges, lead, met, random_prefixes
from xdpctl.base.net.prefix import Prefix
from xdpctl.base.net.prefix_arrays import FAMILIES, V4, V6, Keys
from xdpctl.datapath.tables.filters import SIZES, Filters, Filters4, Filters6

RANDOM = np.random.default_rng(11)
NO_HASHES = np.empty(0, np.uint64)
CLASSES: dict[int, Any] = {4: Filters4, 6: Filters6}


def fresh(family: int) -> Filters:
    made: Filters = CLASSES[family](*(bytearray(size) for size in SIZES[family].values()))
    return made


def mark(filters: Filters, keys: Keys) -> None:
    """Mark prefixes, the narrow ones with their last bytes as hashes."""
    family = filters.family
    narrow = keys[family.lengths(keys) >= filters.narrow]
    tails = [int.from_bytes(p.address[-4:], "big") for p in family.prefixes(narrow)]
    filters.mark(keys, np.array(tails, np.uint64) << np.uint64(32))


def bits(filters: Filters) -> list[int]:
    """The number of bits set in each array, and in each column of `near`."""
    if isinstance(filters, Filters4):
        parts = (filters.front, filters.lengths, filters.hashes)
        return [int(np.bitwise_count(part).sum()) for part in parts]
    arrays = (array if array.ndim == 2 else array[:, None] for array in filters.arrays())
    return [int(np.bitwise_count(part).sum()) for array in arrays for part in array.T]


@pytest.mark.parametrize("number", [4, 6])
def test_a_prefix_of_every_length_finds_exactly_its_addresses(number: int) -> None:
    family = FAMILIES[number]
    for length in range(family.bits + 1):
        kernel = counting(rules=1)
        address = RANDOM.bytes(family.bits // 8)
        prefix = Prefix(address, family.bits).widened(length)
        lead(kernel, {prefix}, 0, 65)
        for each in [address, *edges([prefix])]:
            inside = prefix.covers(Prefix(each, family.bits))
            assert met(kernel, each) == [65] * inside, (prefix, each)


@pytest.mark.parametrize("length", range(33))
def test_ipv4_marks_no_more_than_it_must(length: int) -> None:
    filters = fresh(4)
    prefix = Prefix(bytes((203, 0, 113, 77)), 32).widened(length)
    mark(filters, V4.keys([prefix]))
    front, lengths, hashes = bits(filters)
    assert front == 1 << max(0, 24 - length)
    assert lengths == (1 << max(0, 18 - length) if 0 < length < 32 else 0)
    assert hashes == (length > 18)


@pytest.mark.parametrize("length", [*range(14, 36), 63, 64, 65, 127, 128])
def test_ipv6_marks_no_more_than_it_must(length: int) -> None:
    filters = fresh(6)
    prefix = Prefix(bytes.fromhex("20010db8") + b"\xff" * 12, 128).widened(length)
    mark(filters, V6.keys([prefix]))
    front, longer, shorter, single = bits(filters)
    if length < 16:
        assert (front, shorter) == (1 << 24, 1 << 16)
        return
    units = 1 << max(0, 32 - length)
    assert units * 0.99 <= front <= units
    assert (longer > 0) == (64 <= length < 128)
    assert (shorter > 0) == (not longer)
    assert longer + shorter <= units
    assert single == (length == 128)


@pytest.mark.parametrize("text", ["0.0.0.0/0", "::/0"])
def test_everything_marks_everybody_and_no_length(text: str) -> None:
    (prefix,) = parsed(text)
    filters = fresh(prefix.family)
    mark(filters, FAMILIES[prefix.family].keys([prefix]))
    front, *rest = bits(filters)
    assert front == 1 << 24
    assert not any(rest)


@settings(max_examples=20)
@given(
    st.integers(0, 2**32),
    st.sampled_from([4, 6]),
    st.sampled_from([(0, 1 << 20), (1 << 12, 1 << 20), (1 << 30, 64), (1 << 12, 5)]),
)
def test_marking_many_prefixes_sets_the_same_bits_as_marking_each(
    seed: int, number: int, steps: tuple[int, int]
) -> None:
    family, random = FAMILIES[number], np.random.default_rng(seed)
    lengths = range(10, 33) if number == 4 else range(5, 33)
    some = [p for p in random_prefixes(random, 30, lengths) if p.family == number]
    together, singly = fresh(number), fresh(number)
    for prefix in some:
        mark(singly, family.keys([prefix]))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("xdpctl.datapath.tables.filters._SPREAD", steps[0])
        patched.setattr("xdpctl.datapath.tables.filters._AT_ONCE", steps[1])
        mark(together, family.keys(some))
    for one, other in zip(together.arrays(), singly.arrays(), strict=True):
        assert np.array_equal(one, other)


@pytest.mark.parametrize("number", [4, 6])
def test_marking_no_prefix_sets_no_bit(number: int) -> None:
    filters = fresh(number)
    filters.mark(FAMILIES[number].empty, NO_HASHES)
    assert not any(bits(filters))
