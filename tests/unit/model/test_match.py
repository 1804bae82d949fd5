# SPDX-License-Identifier: GPL-2.0-or-later
"""Matches: parsing, canonical forms, impossible matches, and precedence."""

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xdpctl.base.net.prefix import Prefix
from xdpctl.errors import RuleError
from xdpctl.model.match import bits, ranges, text
from xdpctl.model.match.components import COMPONENTS, Component, Kind
from xdpctl.model.match.match import Match, build
from xdpctl.model.match.precedence import precedence

PORT, FLAGS = COMPONENTS["destination_port"], COMPONENTS["tcp_flags"]
_REFLECTION = "dst 198.51.100.7 proto udp src-port 53 length >=512"


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("53", "53"),
        ("443,80", "80,443"),
        ("1,2,3", "1-3"),
        (">=512", ">=512"),
        (">100&<200", "101-199"),
        ("!=80", "0-79,>=81"),
        ("<80,>80&<90", "0-79,81-89"),
        ("0x50", "80"),
        ("0-65535", "0-65535"),
        ("=7", "7"),
        (">=5&<=9&!=7", "5-6,8-9"),
    ],
)
def test_numbers_become_sorted_ranges(written: str, kept: str) -> None:
    assert ranges.show(ranges.parse(written, PORT, "x"), PORT) == kept


@given(st.lists(st.tuples(st.integers(0, 255), st.integers(0, 255)), min_size=1, max_size=5))
def test_ranges_hold_what_was_listed_and_read_back_the_same(pairs: list[tuple[int, int]]) -> None:
    ttl = COMPONENTS["ttl"]
    listed = [(min(pair), max(pair)) for pair in pairs]
    parsed = ranges.parse(",".join(f"{low}-{high}" for low, high in listed), ttl, "x")
    for value in range(256):
        assert ranges.holds(parsed, value) == any(low <= value <= high for low, high in listed)
    assert all(b[0] > a[1] + 1 for a, b in pairwise(parsed))
    assert ranges.parse(ranges.show(parsed, ttl), ttl, "x") == parsed


@pytest.mark.parametrize(
    ("written", "values"),
    [
        ("syn", {2, 3, 18}),
        ("syn+ack", {18}),
        ("syn&!ack", {2, 3}),
        ("!syn", {0, 16}),
        ("!syn+ack", {0, 2, 3, 16}),
        ("fin&syn,ack", {3, 16, 18}),
        ("0x12", {18}),
        ("ack&syn", {18}),
        ("rst,syn", {2, 3, 18}),
    ],
)
def test_bit_tests_are_parsed_and_shown(written: str, values: set[int]) -> None:
    parsed = bits.parse(written, FLAGS, "x")
    assert {value for value in (0, 2, 3, 16, 18) if bits.holds(parsed, value)} == values
    assert bits.parse(bits.show(parsed, FLAGS), FLAGS, "x") == parsed


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("udp src-port 53 length >=512 dst 198.51.100.7", _REFLECTION),
        ("  length >= 512  proto udp to 198.51.100.7/32 sport =53", _REFLECTION),
        ("tcp,udp port 53", "proto tcp,udp port 53"),
        ("flags syn &!ack", "flags syn&!ack"),
        ("ttl >60 &<70", "ttl 61-69"),
        ("from 2001:db8::/32 flow-label 7", "src 2001:db8::/32 flow-label 7"),
        ("proto 47", "proto gre"),
        ("UDP SRC-PORT 53 FLOW-LABEL 7", "proto udp src-port 53 flow-label 7"),
    ],
)
def test_text_becomes_a_match_that_is_shown_in_order(written: str, kept: str) -> None:
    match = text.parse(written)
    assert str(match) == kept
    assert text.parse(kept) == match == build(match.as_json())
    assert text.parse(kept).id == match.id


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ("udp src-prt 53", "'src-prt' at 5"),
        ("length >=70000", "'>=70000' at 8"),
        ("udp length", "'length' at 5: its value is missing"),
        ("length 5 ttl 7 length 6", "'length' at 16: packet_length is given twice"),
        ("dst-port >5&<5", "'>5&<5' at 10"),
        ("dst-port 9-5", "'9-5' at 10: 9-5 is backwards"),
        ("src 10.0.0.1/8", "'10.0.0.1/8' at 5"),
        ("flags sin", "'sin' at 7"),
    ],
)
def test_an_error_in_a_match_names_its_position(written: str, says: str) -> None:
    with pytest.raises(RuleError) as caught:
        text.parse(written)
    assert str(caught.value).startswith(says)
    assert caught.value.fix


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({}, "the match is empty"),
        ({"source": "10.0.0.0/8", "destination": "2001:db8::1"}, "no packet has both"),
        ({"source": "10.0.0.0/8", "flow_label": 7}, "no packet has both"),
        ({"protocol": "udp", "tcp_flags": "syn"}, "no packet of this protocol has a tcp_flags"),
        ({"protocol": "gre", "port": 53}, "no packet of this protocol has a port"),
        ({"icmp_type": 8, "destination_port": 53}, "no packet of this protocol has a icmp_type"),
        ({"source": "10.0.0.1", "icmp_type": 3, "protocol": "icmpv6"}, "IPv4 carries icmp"),
        ({"fragment": "later", "port": 53}, "a later fragment has no port"),
        ({"dscp": 64}, "dscp 64 is too large"),
        ({"packet_length": "<20"}, "that short"),
        ({"packet_length": "<40", "source": "2001:db8::/32"}, "that short"),
        ({"packet_length": "<34", "tcp_flags": "syn"}, "that short"),
        ({"packet_length": "<24", "port": "53"}, "that short"),
        ({"packet_length": "<44", "icmp_type": 128, "protocol": "icmpv6"}, "that short"),
        ({"source": "2001:db8::/32", "protocol": "0,43,44"}, "extension headers"),
        ({"flow_label": 7, "protocol": "135"}, "extension headers"),
        ({"fragment": "first&later"}, "no packet is such a fragment"),
        ({"fragment": "last&!later"}, "no packet is such a fragment"),
        ({"fragment": "dont", "flow_label": 7}, "no packet is such a fragment"),
        ({"protocol": "icmp", "destination": "2001:db8::1"}, "IPv6 carries icmpv6"),
        ({"protocol": "icmpv6", "source": "192.0.2.1"}, "IPv4 carries icmp"),
        ({"protocol": "udp", "source_port": None}, "None is not a text"),
        ({"vlan": True}, "True is not a text"),
        ({"packet_length": [{}]}, "{} is not a text"),
        ({"sauce": "10.0.0.1"}, "'sauce' is not a component"),
        ({"tcp_flags": "syn&!syn"}, "no tcp_flags can be"),
    ],
)
def test_an_impossible_match_is_refused(given: dict[str, Any], says: str) -> None:
    with pytest.raises(RuleError) as caught:
        build(given)
    assert says in str(caught.value)
    assert caught.value.field.startswith("match")


def test_bits_in_another_order_are_the_same_match() -> None:
    for one, other in (("syn,rst", "rst,syn"), ("syn&ack", "syn+ack"), ("!ack&syn", "syn&!ack")):
        assert text.parse(f"flags {one}").id == text.parse(f"flags {other}").id


def test_matches_that_match_everything_are_recognised() -> None:
    for written in (
        "proto 0-255",
        "src 0.0.0.0/0",
        "src ::/0 dst ::/0",
        "length 0-65535 ttl 0-255",
        "fragment later,!later",
    ):
        assert text.parse(written).everything, written
    for written in ("port 0-65535", "vlan 0-4095", "src 0.0.0.0/1", "proto 1-255"):
        assert not text.parse(written).everything, written


@pytest.mark.parametrize(
    "ordered",
    [
        # RFC 8955 section 5.1: the type decides, and having a lower one
        ["dst 10.0.0.0/8", "src 10.0.0.0/8", "udp", "port 1", "dst-port 1", "src-port 1"],
        ["dst 10.0.0.0/8 port 53", "dst 10.0.0.0/8", "port 53"],
        # prefixes: a longer one inside first, else the lower address
        ["dst 10.1.0.0/16", "dst 10.0.0.0/8", "dst 11.1.0.0/16", "dst 0.0.0.0/0"],
        ["dst 10.0.0.0/9", "dst 10.0.0.0/8", "dst 11.0.0.0/8"],
        # values: memcmp of the encoded list, a longer one before what it begins with
        ["dst-port 80,443", "dst-port 80", "dst-port 443"],
        [
            "icmp-type 8",
            "flags syn",
            "length 60",
            "dscp 1",
            "fragment first",
            "flow-label 1",
            "ttl 1",
        ],
    ],
)
def test_matches_are_ordered_as_in_flowspec(ordered: list[str]) -> None:
    matches = [text.parse(written) for written in ordered]
    assert sorted(reversed(matches), key=precedence) == matches


def _value(component: Component) -> "st.SearchStrategy[str]":
    if component.kind is Kind.PREFIX:
        octets = st.binary(min_size=4, max_size=4)
        return st.builds(lambda a, n: str(Prefix(a, 32).widened(n)), octets, st.integers(0, 32))
    if component.kind is Kind.PAYLOAD:
        window = st.tuples(
            st.sampled_from((0, 1, 30)),
            st.binary(min_size=1, max_size=4),
            st.sampled_from(("", "!")),
        )
        parts = st.lists(window, min_size=1, max_size=2, unique_by=lambda part: part[0] // 2)
        return parts.map(
            lambda some: " & ".join(f"{unlike}@{at} {data.hex()}" for at, data, unlike in some)
        )
    if component.kind is Kind.BITS:
        return st.sampled_from(sorted(component.names))
    if component.name == "protocol":  # ICMP is of one family alone, which a prefix may not be of
        return st.integers(0, component.most).filter(lambda n: n not in (1, 58)).map(str)
    return st.integers(20 if component.name == "packet_length" else 0, component.most).map(str)


_NAMES = ("destination", "source", "protocol", "packet_length", "dscp", "fragment", "ttl", "vlan")
matches = st.lists(st.sampled_from(_NAMES), min_size=1, max_size=4, unique=True).flatmap(
    lambda names: st.fixed_dictionaries({name: _value(COMPONENTS[name]) for name in names})
)


@given(matches, matches)
def test_different_matches_have_different_order_id_and_text(
    one: dict[str, str], other: dict[str, str]
) -> None:
    a, b = build(one), build(other)
    assert (precedence(a) == precedence(b)) == (a == b) == (a.id == b.id) == (str(a) == str(b))
    assert text.parse(str(a)) == a == build(a.as_json())
    assert isinstance(a, Match)
