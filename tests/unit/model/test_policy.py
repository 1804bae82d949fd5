# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether a rule is allowed: guards, merging, quotas, and protection."""

import pytest

from tests.support.fakes import protect
from xdpctl.base.net.prefix import parse_prefix
from xdpctl.errors import LockoutError
from xdpctl.model.effect import Action, Mode
from xdpctl.model.match.match import Match
from xdpctl.model.policy import guard
from xdpctl.model.protection import CONFIGURED
from xdpctl.model.rule import Rule

FOUND = "a gateway of this host"
PROTECTION = protect(
    {"192.0.2.0/24": CONFIGURED, "192.0.2.0/28": FOUND, "198.51.100.1/32": FOUND, "::1/128": FOUND}
)
NOTHING = protect({})


def rule(source: str, action: str = "drop", **more: object) -> Rule:
    return Rule(Match(parse_prefix(source)), Action(action)).replace(**more)


@pytest.mark.parametrize(
    "refused",
    [
        rule("192.0.2.0/24"),
        rule("192.0.2.0/24", confirm_by_ns=9),
        rule("192.0.2.9", origin="fastnetmon", confirm_by_ns=9),
        rule("192.0.2.77"),
        rule("198.51.100.1", confirm_by_ns=9),
        rule("::1"),
    ],
)
def test_a_protected_source_is_not_dropped(refused: Rule) -> None:
    with pytest.raises(LockoutError) as caught:
        guard(refused, PROTECTION)
    assert caught.value.field == "match.source"
    assert "monitor" in caught.value.fix or "confirm_within" in caught.value.fix


@pytest.mark.parametrize(
    "fine",
    [
        rule("192.0.2.77", "accept"),
        rule("192.0.2.77", mode=Mode.MONITOR),
        rule("192.0.2.77", confirm_by_ns=9),
        rule("198.51.100.2"),
        rule("192.0.3.0/24"),
    ],
)
def test_an_unprotected_source_or_a_trial_is_allowed(fine: Rule) -> None:
    assert guard(fine, PROTECTION) == []


def test_a_block_around_protected_prefixes_is_allowed_with_a_warning() -> None:
    (warning,) = guard(rule("192.0.0.0/8"), PROTECTION)
    assert "192.0.2.0/24" in warning
    assert CONFIGURED in warning
    many = protect({f"10.0.0.{number}/32": FOUND for number in range(7)})
    (warning,) = guard(rule("10.0.0.0/24"), many)
    assert "and 2 more" in warning


def test_protection_finds_prefixes_around_and_inside() -> None:
    host = parse_prefix("192.0.2.1")
    assert PROTECTION.over(host) == parse_prefix("192.0.2.0/24")
    assert PROTECTION.narrowest(host) == parse_prefix("192.0.2.0/28")
    assert PROTECTION.over(parse_prefix("192.0.2.0/23")) is None
    assert PROTECTION.over(parse_prefix("::/0")) is None
    assert PROTECTION.narrowest(parse_prefix("192.0.3.1")) is None
    inside = {str(prefix) for prefix in PROTECTION.inside(parse_prefix("192.0.2.0/24"))}
    assert inside == {"192.0.2.0/24", "192.0.2.0/28"}
    assert list(PROTECTION.inside(parse_prefix("::/0"))) == [parse_prefix("::1")]
    assert list(NOTHING.inside(parse_prefix("0.0.0.0/0"))) == []
