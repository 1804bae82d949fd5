# SPDX-License-Identifier: GPL-2.0-or-later
"""Text that is not a prefix is refused with what to write instead."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xdpctl.base.net.misread import instead
from xdpctl.base.net.prefix import parse_prefix
from xdpctl.errors import RuleError
from xdpctl.model.match import text


@pytest.mark.parametrize(
    ("given_text", "fix"),
    [
        ("[2001:db8::1]", "write 2001:db8::1 without brackets"),
        ("[2001:db8::1]:443", "write 2001:db8::1; for that port alone"),
        ("203.0.113.7:443", "write 203.0.113.7; for that port alone"),
        ("http://203.0.113.7/x", "write 203.0.113.7"),
        ("https://[2001:db8::1]/", "write 2001:db8::1"),
        ("https://example.com/list.txt", "xdpctl set put NAME --url https://example.com/list.txt"),
        ("203.0.113.4-203.0.113.9", "prefixes: 203.0.113.4/30, 203.0.113.8/31"),
        ("203.0.113.1 - 203.0.113.254", "and 10 more"),
        ("AS64500", "xdpctl set put NAME --asn AS64500"),
        ("as 64500", "xdpctl set put NAME --asn AS64500"),
        ("us", "xdpctl set put NAME --country US"),
        ("bad.example.com", "look up the addresses of bad.example.com first"),
        ("nonsense", "for example 203.0.113.7"),
        ("203.0.113.9-203.0.113.4", "for example"),
        ("203.0.113.9-2001:db8::", "for example"),
        ("http://[", "for example"),
        ("", "for example"),
    ],
)
def test_the_fix_fits_the_text(given_text: str, fix: str) -> None:
    assert fix in instead(given_text)
    with pytest.raises(RuleError) as refused:
        parse_prefix(given_text)
    assert fix in (refused.value.fix or "")


def test_the_proposed_match_is_valid() -> None:
    for written in ("203.0.113.7:443", "[2001:db8::1]:443"):
        _, _, command = instead(written).partition("--match '")
        assert text.parse(command.removesuffix("'")).get("source_port")


@given(st.text(max_size=400))
def test_any_text_gets_a_short_fix(written: str) -> None:
    assert instead(written)
    assert len(instead(written)) < 500
