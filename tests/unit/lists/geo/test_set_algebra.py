# SPDX-License-Identifier: GPL-2.0-or-later
"""Unions and differences of prefixes, compared with the standard library and with plain sets."""

from ipaddress import collapse_addresses, ip_network

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xdpctl.base.net.prefix import Prefix
from xdpctl.base.net.prefix_arrays import FAMILIES, V4, V6, Family, Keys
from xdpctl.lists.geo.set_algebra import difference, merged, union

BASES = {4: bytes([192, 0, 2, 0]), 6: b"\x20\x01" + bytes(14)}
Spans = list[tuple[int, int]]
spans = st.lists(st.tuples(st.integers(0, 255), st.integers(23, 32)), max_size=12)
families = st.sampled_from([V4, V6])


def keys_of(family: Family, listed: Spans) -> Keys:
    """Prefixes of 1 to 512 addresses in a row of 512, in the fewest prefixes."""
    bits = family.bits
    base = BASES[family.number][:-1]
    made = [Prefix(base + bytes([last]), bits).widened(n + bits - 32) for last, n in listed]
    return union(family, family.keys(made), family.empty)


def addresses(family: Family, keys: Keys) -> set[int]:
    networks = [ip_network((p.address, p.length)) for p in family.prefixes(keys)]
    fewest = list(collapse_addresses(networks))  # type: ignore[type-var]
    assert networks == fewest, "sorted, and as few as can be"
    return {int(a) for network in networks for a in map(int, _all(network))}


def _all(network: object) -> range:
    first = int(network.network_address)  # type: ignore[attr-defined]
    return range(first, first + network.num_addresses)  # type: ignore[attr-defined]


@given(families, spans, spans)
def test_set_operations_agree_with_python_sets(family: Family, one: Spans, other: Spans) -> None:
    a, b = keys_of(family, one), keys_of(family, other)
    assert addresses(family, union(family, a, b)) == addresses(family, a) | addresses(family, b)
    without = difference(family, a, b)
    assert addresses(family, without) == addresses(family, a) - addresses(family, b)


@pytest.mark.parametrize("number", [4, 6])
def test_everything_is_one_prefix_and_nothing_is_no_prefix(number: int) -> None:
    family = FAMILIES[number]
    size = family.bits // 8
    everything = family.keys([Prefix(bytes(size), 0)])
    host = family.keys([Prefix(b"\xff" * size, family.bits)])
    rest = difference(family, everything, host)
    assert len(rest) == family.bits
    assert merged(family, np.concatenate([rest, host])).tobytes() == everything.tobytes()
    assert union(family, everything, host).tobytes() == everything.tobytes()
    assert not len(difference(family, host, everything))
    assert not len(union(family, family.empty, family.empty))
    assert not len(merged(family, family.empty))
    assert difference(family, host, family.empty).tobytes() == host.tobytes()
