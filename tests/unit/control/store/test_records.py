# SPDX-License-Identifier: GPL-2.0-or-later
"""Stored rules: what is restored after a restart, a reboot, or a change of the clock."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.fakes import HOUR, FakeClock
from xdpctl.base.clock import Now
from xdpctl.base.net.prefix import Prefix, parse_prefix
from xdpctl.control.store.rule_records import decode, encode, key_of, rule_key
from xdpctl.errors import XdpctlError
from xdpctl.model.effect import Action, Mode
from xdpctl.model.match.match import Match
from xdpctl.model.rule import TTL_MAX, Rule

SECOND = 10**9
SOURCE = parse_prefix("203.0.113.0/24")
names = st.text("abcdefghijklmnopqrstuvwxyz0123456789-_.", min_size=1, max_size=32)
ends = st.one_of(st.just(0), st.integers(1, TTL_MAX * SECOND))


@st.composite
def rules(draw: st.DrawFn) -> Rule:
    address = draw(
        st.one_of(st.binary(min_size=4, max_size=4), st.binary(min_size=16, max_size=16))
    )
    length = draw(st.integers(0, len(address) * 8))
    return Rule(
        Match(Prefix(address, len(address) * 8).widened(length)),
        draw(st.sampled_from([Action.DROP, Action.ACCEPT])),
        draw(st.sampled_from(Mode)),
        draw(names),
        draw(st.text(max_size=500).filter(str.isprintable)),
        tuple(draw(st.lists(names, max_size=16))),
        draw(st.floats(0, 2e9)),
        draw(ends),
        draw(ends),
    )


@given(rules())
def test_a_stored_rule_is_read_back_unchanged(rule: Rule) -> None:
    now = FakeClock().read()
    assert decode(rule.match.source or SOURCE, encode(rule, now), now) == rule


@given(rules(), st.floats(-HOUR, HOUR), st.floats(0, HOUR))
def test_within_a_boot_no_step_of_the_wall_clock_moves_a_deadline(
    rule: Rule, step: float, later: float
) -> None:
    clock = FakeClock()
    value = encode(rule, clock.read())
    clock.advance(later)
    clock.unix += step
    assert decode(rule.match.source or SOURCE, value, clock.read()) == rule


@given(st.floats(1, TTL_MAX), st.floats(0, HOUR), st.floats(0, HOUR))
def test_after_a_reboot_the_remaining_lifetime_is_kept_by_wall_time(
    ttl: float, before: float, down: float
) -> None:
    clock = FakeClock()
    now = clock.read()
    rule = Rule(
        Match(SOURCE), Action.DROP, expires_ns=now.after(ttl), confirm_by_ns=now.after(ttl / 2)
    )
    value = encode(rule, now)
    clock.advance(before)
    clock.reboot(down)
    now = clock.read()
    again = decode(SOURCE, value, now)
    for ends_ns, lasts in ((again.expires_ns, ttl), (again.confirm_by_ns, ttl / 2)):
        left = lasts - before - down
        assert again.expired(now.ns) or left > -1e-3
        if ends_ns > 1:
            assert (ends_ns - now.ns) / SECOND == pytest.approx(left, abs=1e-3)


def test_a_rule_that_ended_while_the_box_was_down_is_expired() -> None:
    clock = FakeClock()
    value = encode(
        Rule(Match(SOURCE), Action.DROP, expires_ns=clock.read().after(60)), clock.read()
    )
    clock.reboot(seconds_down=HOUR)
    rule = decode(SOURCE, value, clock.read())
    assert rule.expires_ns > 0
    assert rule.expired(clock.ns)


def test_a_rule_without_an_end_stores_no_boot_id() -> None:
    record = json.loads(encode(Rule(Match(SOURCE), Action.DROP), Now(5, 7.0, "a")))
    assert record == {
        "match": {"source": "203.0.113.0/24"},
        "action": "drop",
        "mode": "enforce",
        "origin": "operator",
        "created_at": 0.0,
    }


def test_a_timed_rule_keeps_both_clocks() -> None:
    now = Now(10 * SECOND, 1000.0, "a")
    record = json.loads(encode(Rule(Match(SOURCE), Action.DROP, expires_ns=now.after(60)), now))
    assert (record["boot"], record["expires_ns"], record["expires_at"]) == ("a", 70 * SECOND, 1060)


@pytest.mark.parametrize("text", ["203.0.113.0/24", "203.0.113.7/32", "2001:db8::/32"])
def test_the_key_of_a_record_is_the_match(text: str) -> None:
    source = parse_prefix(text)
    assert rule_key(source) == "rules/" + text.replace("/", "_")
    assert key_of(rule_key(source)) == source


@pytest.mark.parametrize(
    "value", [b"", b"{", b"[]", b"{}", b'{"match": {"source": "x"}, "action": 1}', b"\xff"]
)
def test_an_unreadable_record_is_no_rule(value: bytes) -> None:
    with pytest.raises((ValueError, msgspec.MsgspecError)):
        decode(SOURCE, value, FakeClock().read())


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'{"', b'{"until": 5, "'),
        (b'"source":', b'"port": 53, "source":'),
        (b'"source":', b'"port": "53", "source":'),
        (b'"source":', b'"colour": "red", "source":'),
    ],
)
def test_a_record_with_a_field_that_we_do_not_know_is_no_rule(old: bytes, new: bytes) -> None:
    """It may narrow what the rule drops."""
    now = FakeClock().read()
    value = encode(Rule(Match(SOURCE), Action.DROP), now).replace(old, new, 1)
    with pytest.raises((ValueError, XdpctlError)):
        decode(SOURCE, value, now)


def test_a_record_of_another_source_than_its_key_is_no_rule() -> None:
    now = FakeClock().read()
    with pytest.raises(ValueError, match=r"its key says 198.18.0.7_32"):
        decode(parse_prefix("198.18.0.7"), encode(Rule(Match(SOURCE), Action.DROP), now), now)


def test_a_record_with_unknown_words_is_no_rule() -> None:
    now = FakeClock().read()
    value = encode(Rule(Match(SOURCE), Action.DROP), now)
    for old, new in ((b'"drop"', b'"burn"'), (b'"enforce"', b'"perhaps"')):
        with pytest.raises(ValueError, match="is not a valid"):
            decode(SOURCE, value.replace(old, new), now)
