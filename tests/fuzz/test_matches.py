# SPDX-License-Identifier: GPL-2.0-or-later
"""Matches as text, as JSON, and in the configured limits."""

from typing import Any

from hypothesis import strategies as st

from tests.fuzz.support.inputs import changed, json_values, texts
from tests.fuzz.support.loop import fuzz
from xdpctl.config.file import parse
from xdpctl.model.match import text
from xdpctl.model.match.components import BY_WORD, COMPONENTS, FRAGMENT, TCP_FLAGS
from xdpctl.model.match.match import Match, build
from xdpctl.model.match.precedence import precedence
from xdpctl_api.shapes.rule_lists import _place

_WORDS = (*BY_WORD, "tcp", "udp", "icmp", "icmpv6", "gre", *TCP_FLAGS, *FRAGMENT)
_SIGNS = (
    "<",
    ">",
    "=",
    "!",
    "&",
    ",",
    "+",
    "-",
    "<=",
    ">=",
    "!=",
    "0x",
    " ",
    "\t",
    "\u2003",
    "\x1c",
)
_NUMBERS = ("0", "1", "53", "255", "256", "4095", "65535", "65536", "1048575", "9" * 9, "9" * 5000,
            "0xfff", "0xffffffff", "²", "٣", "01", "1-2", "2-1", "1-")  # fmt: skip
_ENDS = ("203.0.113.7", "203.0.113.0/24", "::1", "2001:db8::/32", "::/0", "0.0.0.0/0", "fe80::1%0")
tokens = st.sampled_from((*_WORDS, *_SIGNS, *_NUMBERS, *_ENDS))
SEEDS: list[Any] = [
    {"source": "203.0.113.0/24", "protocol": "udp", "source_port": "53,123"},
    {"destination": "2001:db8::1", "flow_label": 5, "dscp": [1, "2-3"], "vlan": 7, "ttl": "<64"},
    {"protocol": "tcp", "tcp_flags": "syn&!ack,0x12", "packet_length": ">=100&<200"},
    {"fragment": "!later&!first", "icmp_type": 8, "icmp_code": 0},
]
_LIMITS = [[{"match": "udp dst-port 53", "pps": 5, "per": "/24,/56", "burst": "1s"}]]


def _same(match: Match) -> None:
    """Assert that a match is read back from text and JSON, and can be sorted."""
    assert text.parse(str(match)) == match
    assert build(match.as_json()) == match
    assert precedence(match) == precedence(text.parse(str(match)))
    assert len(str(match)) < 10_000
    _ = match.id, match.everything, match.family, match.source_only


def test_a_text_is_a_match_or_refused() -> None:
    glued = st.lists(tokens, max_size=12).map("".join)
    spaced = st.lists(tokens | texts, max_size=12).map(" ".join)
    fuzz(glued | spaced | st.text(), lambda given: _same(text.parse(given)))


def test_a_text_that_is_nearly_right_is_a_match_or_refused() -> None:
    value = st.lists(st.sampled_from((*_NUMBERS, *_SIGNS, *TCP_FLAGS, *FRAGMENT)), max_size=5)
    pair = st.tuples(st.sampled_from(tuple(BY_WORD)), value.map("".join)).map(" ".join)
    fuzz(st.lists(pair, max_size=4).map(" ".join), lambda given: _same(text.parse(given)))


def test_json_is_a_match_or_refused() -> None:
    values = json_values | st.lists(tokens, max_size=3).map("".join)
    huge = st.sampled_from((10**5000, -(10**5000), 1 << 20_000, [10**5000], float("nan")))

    def call(given: Any) -> None:
        if isinstance(given, dict):
            _same(build(given))

    fuzz(changed(SEEDS, values | huge), call)


def test_one_component_is_read_or_refused() -> None:
    values = st.lists(st.sampled_from((*_NUMBERS, *_SIGNS, *TCP_FLAGS)), max_size=6).map("".join)
    given = st.tuples(st.sampled_from(tuple(COMPONENTS)), values | json_values)
    fuzz(given, lambda one: _same(build({one[0]: one[1]})))


def test_a_deep_value_is_refused() -> None:
    def nested(depth: int) -> dict[str, Any]:
        value: Any = {}
        for _ in range(depth):
            value = {"a": value}
        return {"port": value}

    fuzz(st.sampled_from((10, 900, 5_000, 9_000)).map(nested), build)


def test_limits_are_read_or_refused() -> None:
    rates = st.sampled_from(
        (
            float("nan"),
            float("inf"),
            10**400,
            10**5000,
            1 << 20_000,
            "/" + "9" * 5000,
            "9" * 400 + "s",
            "²",
            "/²",
        )
    )
    fuzz(changed(_LIMITS, json_values | rates), lambda one: parse({"limits": one}))


def test_a_cursor_is_valid_or_refused() -> None:
    """The text of the parameter `cursor`."""
    numbers = st.sampled_from(("0", "-5", "--5", "-", "²", "٣", "9" * 5000, ""))
    rest = st.sampled_from(("udp", "", "port 1;", "src ::/0"))
    fuzz(st.tuples(numbers, st.sampled_from((";", "")), rest).map("".join) | texts, _place)
