# SPDX-License-Identifier: GPL-2.0-or-later
"""Rules: ids, names, expiry, and when two rules are the same."""

import pytest

from xdpctl.base.net.prefix import parse_prefix
from xdpctl.errors import RuleError
from xdpctl.model.effect import Action, Mode
from xdpctl.model.match.match import Match
from xdpctl.model.names import check_name, parse_rule_id, rule_id
from xdpctl.model.rule import Rule

SOURCE = parse_prefix("203.0.113.0/24")
RULE = Rule(Match(SOURCE), Action.DROP)


@pytest.mark.parametrize("text", ["203.0.113.0/24", "203.0.113.7/32", "2001:db8::/32", "::/0"])
def test_an_id_is_the_match_in_a_form_for_url_paths(text: str) -> None:
    source = parse_prefix(text)
    assert rule_id(source) == text.replace("/", "_")
    assert parse_rule_id(rule_id(source)) == source
    assert parse_rule_id(text) == source


def test_an_invalid_id_is_named() -> None:
    with pytest.raises(RuleError) as caught:
        parse_rule_id("first")
    assert caught.value.field == "id"


@pytest.mark.parametrize("name", ["a", "fast-netmon_2.0", "0" * 32])
def test_a_name_is_lower_case_and_short(name: str) -> None:
    assert check_name(name, "tags") == name


@pytest.mark.parametrize("name", ["", "A", "a b", "a/b", "ä", "x" * 33, "a\n", ".", ".."])
def test_an_invalid_name_is_refused(name: str) -> None:
    with pytest.raises(RuleError, match="not a name") as caught:
        check_name(name, "tags")
    assert caught.value.field == "tags"


@pytest.mark.parametrize(
    ("expires", "confirm", "kernel"),
    [(0, 0, 0), (70, 0, 70), (0, 60, 60), (70, 60, 60), (50, 60, 50)],
)
def test_the_kernel_ends_it_at_the_earlier_of_the_two(
    expires: int, confirm: int, kernel: int
) -> None:
    rule = RULE.replace(expires_ns=expires, confirm_by_ns=confirm)
    assert rule.kernel_expires_ns == kernel
    assert not rule.expired(kernel - 1)
    assert rule.expired(kernel) == bool(kernel)


def test_times_and_texts_do_not_change_the_effect() -> None:
    told = RULE.replace(origin="x", reason="y", tags=("z",), created_at=1.0, expires_ns=9)
    assert RULE.same_effect(told)
    assert not RULE.same_effect(RULE.replace(action=Action.ACCEPT))
    assert not RULE.same_effect(RULE.replace(mode=Mode.MONITOR))
    assert not RULE.same_effect(RULE.replace(match=Match(parse_prefix("203.0.113.0/25"))))


@pytest.mark.parametrize(
    "change",
    [
        {"action": Action.ACCEPT},
        {"mode": Mode.MONITOR},
        {"origin": "x"},
        {"reason": "x"},
        {"tags": ("x",)},
        {"expires_ns": 9},
        {"confirm_by_ns": 9},
    ],
)
def test_any_change_makes_another_etag(change: dict[str, object]) -> None:
    assert RULE.replace(**change).etag != RULE.etag
    assert RULE.replace().etag == RULE.etag


@pytest.mark.parametrize(
    ("change", "field"), [({"reason": "x" * 501}, "reason"), ({"tags": ("x",) * 17}, "tags")]
)
def test_an_invalid_rule_cannot_be_built(change: dict[str, object], field: str) -> None:
    with pytest.raises(RuleError) as caught:
        RULE.replace(**change)
    assert caught.value.field == field
