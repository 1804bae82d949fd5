# SPDX-License-Identifier: GPL-2.0-or-later
"""Prefixes: strict parsing, and every refusal says what to write instead."""

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xdpctl.base.net.prefix import Prefix, parse_address, parse_prefix
from xdpctl.errors import RuleError

addresses = st.one_of(st.binary(min_size=4, max_size=4), st.binary(min_size=16, max_size=16))


@st.composite
def prefixes(draw: st.DrawFn) -> Prefix:
    address = draw(addresses)
    length = draw(st.integers(0, len(address) * 8))
    return Prefix(address, len(address) * 8).widened(length)


@given(prefixes())
def test_a_prefix_shown_as_text_parses_to_the_same(prefix: Prefix) -> None:
    if prefix.address[:12] != bytes(10) + b"\xff\xff" or prefix.family == 4:
        assert parse_prefix(str(prefix)) == prefix


@given(prefixes())
def test_a_prefix_is_shown_like_in_the_standard_library(prefix: Prefix) -> None:
    network = ip_network((prefix.address, prefix.length))
    assert ip_network(str(prefix)) == network
    assert prefix.family == network.version
    assert prefix.exact == (network.num_addresses == 1)


@given(prefixes(), prefixes(), st.integers(0, 128))
def test_covers_agrees_with_the_standard_library(a: Prefix, b: Prefix, length: int) -> None:
    for other in (b, a.widened(min(length, a.length))):
        x, y = (ip_network((p.address, p.length)) for p in (other, a))
        assert other.covers(a) == (x.version == y.version and y.subnet_of(x))  # type: ignore[arg-type]


@given(addresses)
def test_an_address_is_its_own_prefix(address: bytes) -> None:
    text = str(ip_address(address))
    if "::ffff:" not in text:
        assert parse_prefix(text) == Prefix(address, len(address) * 8)


@pytest.mark.parametrize(
    ("text", "fix"),
    [
        ("203.0.113.7/24", "203.0.113.0/24"),
        ("2001:db8::1/32", "2001:db8::/32"),
        ("203.0.113.0/33", "0 to 32"),
        ("2001:db8::/129", "0 to 128"),
        ("203.0.113.0/", "203.0.113.0/N"),
        ("203.0.113.0/+8", "N from"),
        ("203.0.113.0/²", "N from"),
        ("203.0.113.0/24/24", "N from"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("fe80::1%eth0", "fe80::1 without"),
        ("203.0.113", "203.0.113.7"),
        ("203.0.113.007", "203.0.113.7"),
        ("0x7f000001", "address or a prefix"),
        ("1", "address or a prefix"),
        ("", "address or a prefix"),
        (" 203.0.113.7", "address or a prefix"),
        ("203.0.113.7\n", "address or a prefix"),
        ("203.0.113.7\0", "address or a prefix"),
        ("example.org", "look up the addresses of example.org"),
    ],
)
def test_ambiguous_prefixes_are_refused_with_a_fix(text: str, fix: str) -> None:
    with pytest.raises(RuleError) as caught:
        parse_prefix(text)
    assert fix in caught.value.fix
    assert caught.value.field == "match.source"


def test_an_address_takes_no_length_and_names_its_field() -> None:
    assert parse_address("203.0.113.7", "to") == parse_prefix("203.0.113.7/32")
    with pytest.raises(RuleError, match="prefix, not an address") as caught:
        parse_address("203.0.113.0/24", "to")
    assert (caught.value.field, caught.value.fix) == ("to", "write 203.0.113.0")
