"""May a rule stand: the guard, the merge, the quotas, and what protects whom."""

import pytest

from tests.fakes import protect
from xdpctl.errors import ConflictError, LockoutError, QuotaError
from xdpctl.model import Action, Mode, Rule
from xdpctl.policy import (
    AUTOMATIC,
    CONFIGURED,
    Quota,
    covering,
    decided_for,
    guard,
    merge,
)
from xdpctl.prefix import parse_prefix

FOUND = "a gateway of this host"
PROTECTION = protect(
    {"192.0.2.0/24": CONFIGURED, "192.0.2.0/28": FOUND, "198.51.100.1/32": FOUND, "::1/128": FOUND}
)
NOTHING = protect({})


def rule(source: str, action: str = "drop", **more: object) -> Rule:
    return Rule(parse_prefix(source), Action(action)).but(**more)


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
def test_what_is_protected_is_not_dropped(refused: Rule) -> None:
    with pytest.raises(LockoutError) as caught:
        guard(refused, PROTECTION, None, False)
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
def test_what_is_not_protected_or_on_trial_may_stand(fine: Rule) -> None:
    assert guard(fine, PROTECTION, None, False) == []


def test_a_block_around_protected_prefixes_stands_and_says_so() -> None:
    (warning,) = guard(rule("192.0.0.0/8"), PROTECTION, None, False)
    assert "192.0.2.0/24" in warning
    assert CONFIGURED in warning
    many = protect({f"10.0.0.{number}/32": FOUND for number in range(7)})
    (warning,) = guard(rule("10.0.0.0/24"), many, None, False)
    assert "and 2 more" in warning


def test_nobody_drops_the_address_he_calls_from() -> None:
    caller = parse_prefix("203.0.113.7")
    with pytest.raises(LockoutError, match=r"203\.0\.113\.7, the address you are calling from"):
        guard(rule("203.0.113.0/24"), NOTHING, caller, False)
    assert guard(rule("203.0.113.0/24"), NOTHING, caller, True) == []
    assert guard(rule("203.0.112.0/24"), NOTHING, caller, False) == []
    assert guard(rule("203.0.113.0/24", mode=Mode.MONITOR), NOTHING, caller, False) == []


@pytest.mark.parametrize(
    ("inner", "accepted"),
    [
        (rule("203.0.113.7", "accept"), True),
        (rule("203.0.113.0/28", "accept"), True),
        (rule("203.0.113.7", "accept", mode=Mode.MONITOR), False),
        (rule("203.0.113.7", "accept", expires_ns=9), False),
        (rule("203.0.113.0/24", "accept"), False),
        (rule("203.0.113.7"), False),
    ],
)
def test_the_more_specific_rule_decides_for_the_caller(inner: Rule, accepted: bool) -> None:
    caller = parse_prefix("203.0.113.7")
    assert decided_for(caller, 24, {inner.source: inner}, NOTHING, now_ns=10) == accepted


def test_protection_decides_for_the_caller_too() -> None:
    assert decided_for(parse_prefix("192.0.2.1"), 8, {}, PROTECTION, 10)
    assert not decided_for(parse_prefix("192.0.2.1"), 28, {}, PROTECTION, 10)


def test_the_same_again_keeps_the_longer_end_and_both_stories() -> None:
    standing = rule("10.0.0.1", expires_ns=50, reason="old", tags=("a",), created_at=1.0)
    asked = rule("10.0.0.1", expires_ns=70, tags=("b", "a"), created_at=2.0)
    merged = merge(standing, asked).rule
    assert (merged.expires_ns, merged.reason, merged.tags) == (70, "old", ("a", "b"))
    assert merged.created_at == 1.0
    assert merge(asked, standing).rule.expires_ns == 70
    assert merge(standing, rule("10.0.0.1", reason="new")).rule.expires_ns == 0
    assert merge(rule("10.0.0.1"), asked).rule.expires_ns == 0


@pytest.mark.parametrize(
    ("standing", "asked", "result", "warned"),
    [(0, 60, 0, True), (60, 0, 0, False), (60, 90, 90, False), (0, 0, 0, False)],
)
def test_a_rule_that_stands_confirmed_is_not_put_on_trial(
    standing: int, asked: int, result: int, warned: bool
) -> None:
    judged = merge(rule("10.0.0.1", confirm_by_ns=standing), rule("10.0.0.1", confirm_by_ns=asked))
    assert judged.rule.confirm_by_ns == result
    assert bool(judged.warnings) == warned


@pytest.mark.parametrize(
    ("standing", "asked", "origin"),
    [
        ("operator", "operator", "operator"),
        ("operator", "feed", "operator"),
        ("feed", "operator", "operator"),
        ("feed", "other", "feed"),
    ],
)
def test_a_rule_becomes_the_operators_once_he_asks(standing: str, asked: str, origin: str) -> None:
    merged = merge(rule("10.0.0.1", origin=standing), rule("10.0.0.1", origin=asked)).rule
    assert merged.origin == origin


def test_an_operator_overrules_a_detector_and_nobody_else_does() -> None:
    feed, accept = rule("10.0.0.1", origin="feed"), rule("10.0.0.1", "accept")
    judged = merge(feed, accept)
    assert judged.rule == accept
    assert "replaced the drop of feed" in judged.warnings[0]
    for standing, asked in (
        (accept, feed),
        (rule("10.0.0.1"), accept),
        (feed, accept.but(origin="x")),
    ):
        with pytest.raises(ConflictError, match="already stands") as caught:
            merge(standing, asked)
        assert "DELETE /v1/rules/10.0.0.1_32" in caught.value.fix
    with pytest.raises(ConflictError) as caught:
        merge(feed, rule("10.0.0.1", mode=Mode.MONITOR))
    assert "PATCH /v1/rules/10.0.0.1_32" in caught.value.fix


def test_a_quota_limits_width_time_and_number() -> None:
    quota = Quota(max_rules=2, shortest_ipv4=24, shortest_ipv6=64, max_ttl=60)
    quota.check(rule("10.0.0.0/24"), 60, 1)
    quota.check(rule("2001:db8::/64"), 1, 0)
    for refused, ttl, standing, field in (
        (rule("10.0.0.0/23"), 60, 0, "match.source"),
        (rule("2001:db8::/63"), 60, 0, "match.source"),
        (rule("10.0.0.1"), 61, 0, "ttl"),
        (rule("10.0.0.1"), None, 0, "ttl"),
        (rule("10.0.0.1"), 60, 2, ""),
    ):
        with pytest.raises(QuotaError) as caught:
            quota.check(refused, ttl, standing)
        assert caught.value.field == field
        assert caught.value.fix


def test_who_is_not_configured_is_kept_narrow_and_short() -> None:
    with pytest.raises(QuotaError):
        AUTOMATIC.check(rule("10.0.0.0/15", origin="x"), 60, 0)
    with pytest.raises(QuotaError):
        AUTOMATIC.check(rule("10.0.0.1", origin="x"), None, 0)


def test_protection_knows_what_is_over_and_what_is_inside() -> None:
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


def test_what_covers_a_rule_is_the_most_specific_live_one() -> None:
    around = {r.source: r for r in (rule("10.0.0.0/8"), rule("10.0.0.0/16", "accept"))}
    inner = rule("10.0.0.1")
    assert covering(inner, {**around, inner.source: inner}, range(33), 10) == rule(
        "10.0.0.0/16", "accept"
    )
    expired = {**around, parse_prefix("10.0.0.0/24"): rule("10.0.0.0/24", expires_ns=9)}
    assert covering(inner, expired, range(33), 10) == rule("10.0.0.0/16", "accept")
    assert covering(rule("11.0.0.1"), around, range(33), 10) is None
