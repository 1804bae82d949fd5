# SPDX-License-Identifier: GPL-2.0-or-later
"""Parsing and formatting of durations."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xdpctl.base.durations import parse_duration, show_duration
from xdpctl.errors import RuleError


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90),
        ("0.5", 0.5),
        ("15m", 900),
        ("1h30m", 5400),
        ("1.5h", 5400),
        ("2d", 172_800),
        ("1w", 604_800),
        ("1h 30m", 5400),
        ("10min", 600),
        ("1hour", 3600),
        ("2 days", 172_800),
        ("1 hr 5 secs", 3605),
    ],
)
def test_a_duration_is_seconds_or_numbers_with_units(text: str, seconds: float) -> None:
    assert parse_duration(text, "ttl") == seconds


@pytest.mark.parametrize(
    "text",
    ["", "m", "-5", " 5m", "5m ", "1h  30m", "1 month", "90x", "1h30", "1e3", "nan", "h1", "1,5"],
)
def test_anything_else_is_refused_with_the_field_and_examples(text: str) -> None:
    with pytest.raises(RuleError) as caught:
        parse_duration(text, "ttl")
    assert caught.value.field == "ttl"
    assert "1h30m" in caught.value.fix


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (45, "45s"), (59.6, "1m"), (5400, "1h 30m"), (93_784, "1d 2h"), (604_800, "1w")],
)
def test_durations_are_shown_with_two_units(seconds: float, text: str) -> None:
    assert show_duration(seconds) == text


@given(st.integers(1, 10**9))
def test_a_shown_duration_is_never_longer_and_hardly_shorter(seconds: int) -> None:
    shown = parse_duration(show_duration(seconds).replace(" ", ""), "ttl")
    assert shown <= seconds < shown * 1.2 + 1
