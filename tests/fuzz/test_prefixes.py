# SPDX-License-Identifier: GPL-2.0-or-later
"""Prefixes, addresses and names."""

import pytest
from hypothesis import strategies as st

from tests.fuzz.support.inputs import texts
from tests.fuzz.support.loop import fuzz
from xdpctl.base.net.prefix import parse_address, parse_prefix
from xdpctl.errors import RuleError
from xdpctl.model.names import check_name, check_reason, parse_rule_id


def test_a_prefix_is_one_or_refused() -> None:
    parts = st.sampled_from(
        (
            "1",
            ".",
            ":",
            "/",
            "0",
            "255",
            "ffff",
            "%",
            "٣",
            "²",
            "\0",
            " ",
            "::",
            "203.0.113.0",
            "::ffff:",
            "\ud800",
            "33",
            "024",
            "9" * 5000,
        )
    )
    given = st.lists(parts, max_size=8).map("".join) | texts

    def call(one: str) -> None:
        prefix = parse_prefix(one)
        assert parse_prefix(str(prefix)) == prefix
        assert 0 <= prefix.length <= len(prefix.address) * 8
        assert len(one) < 64

    fuzz(given, call)
    fuzz(given, lambda one: parse_address(one, "x"))
    fuzz(given, parse_rule_id)


def test_the_message_about_a_bad_text_is_short() -> None:
    """The message is stored for each bad line, returned to the caller, and logged."""
    long = st.sampled_from(("x" * 10**6, "1.2.3.4/" + "9" * 10**6, "fe80::1%" + "x" * 10**6))

    def call(one: str) -> None:
        with pytest.raises(RuleError) as caught:
            parse_prefix(one)
        assert len(str(caught.value)) + len(caught.value.fix) < 2_000

    fuzz(long, call)


def test_names_and_reasons_are_good_or_refused() -> None:
    fuzz(texts, lambda one: check_name(one, "x"))
    fuzz(texts, check_reason)
