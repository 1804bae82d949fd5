# SPDX-License-Identifier: GPL-2.0-or-later
"""What shares a rate, as text and back."""

import pytest

from xdpctl.errors import RuleError
from xdpctl.model.rate import read_per, read_rate


@pytest.mark.parametrize(
    ("given", "fields", "shown"),
    [
        ("all", {}, "all"),
        ("source", {"per_ipv4": 32, "per_ipv6": 64}, "source"),
        ("/24", {"per_ipv4": 24, "per_ipv6": 64}, "source/24"),
        ("/24,/56", {"per_ipv4": 24, "per_ipv6": 56}, "source/24,/56"),
        ("source/24,56", {"per_ipv4": 24, "per_ipv6": 56}, "source/24,/56"),
        ("destination", {"to_ipv4": 32, "to_ipv6": 128}, "destination"),
        ("destination/28,/120", {"to_ipv4": 28, "to_ipv6": 120}, "destination/28,/120"),
        (
            "source/24+destination",
            {"to_ipv4": 32, "to_ipv6": 128, "per_ipv4": 24, "per_ipv6": 64},
            "destination+source/24",
        ),
    ],
)
def test_the_scope_of_a_rate_is_parsed_and_shown(
    given: str, fields: dict[str, int], shown: str
) -> None:
    assert read_per(given) == fields
    rate = read_rate(10, 0, per=given)
    assert rate.per == shown
    assert read_per(rate.per) == fields
    assert str(rate) == ("10 pps" if shown == "all" else f"10 pps per {shown}")


@pytest.mark.parametrize(
    "given",
    [
        *("", "person", "source/", "source/0", "source/33", "source/24,/65", "/24,/56,/8"),
        *("source+source", "source+/24", "destination/33", "destination/24,/129", "all+source"),
        *("+", "source+", "/24 and /56", "source/2x", "destination//24,,"),
    ],
)
def test_an_invalid_scope_names_the_field(given: str) -> None:
    with pytest.raises(RuleError) as caught:
        read_rate(10, 0, per=given)
    assert caught.value.field == "limit.per"
    assert caught.value.fix


def test_a_limit_per_pair_is_also_per_source() -> None:
    for per, by_source in (("source", True), ("destination", False), ("destination+source", True)):
        assert read_rate(1, 0, per=per).by_source is by_source
