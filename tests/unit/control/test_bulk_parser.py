# SPDX-License-Identifier: GPL-2.0-or-later
"""Parsing lists: an invalid line is reported with its number, and does not affect other lines."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xdpctl.base.net.prefix import Prefix, parse_prefix
from xdpctl.control.operations.bulk_parser import Format, Parser
from xdpctl.errors import RuleError
from xdpctl.model.effect import Action, Mode
from xdpctl.model.match.match import Match
from xdpctl.model.requests import RuleRequest

DEFAULTS = RuleRequest(
    Match(Prefix(bytes(4), 0)), Action.DROP, Mode.MONITOR, 60.0, None, "feed", ("a",)
)


def parse(kind: Format, text: str | bytes) -> list[tuple[int, RuleRequest | RuleError]]:
    raw = text.encode() if isinstance(text, str) else text
    return [(number, ask) for number, _, ask in Parser(kind, DEFAULTS).feed(raw.split(b"\n"))]


def good(kind: Format, text: str | bytes) -> list[RuleRequest]:
    asks = [ask for _, ask in parse(kind, text)]
    rules = [ask for ask in asks if isinstance(ask, RuleRequest)]
    assert rules == asks
    return rules


def sources(asks: list[RuleRequest]) -> list[str]:
    return [str(ask.match.source) for ask in asks]


def test_plain_lines_are_prefixes_with_the_defaults() -> None:
    asks = good(Format.PLAIN, "10.0.0.1\n2001:db8::/32\n")
    assert sources(asks) == ["10.0.0.1/32", "2001:db8::/32"]
    assert {(a.action, a.mode, a.ttl, a.reason, a.tags) for a in asks} == {
        (Action.DROP, Mode.MONITOR, 60.0, "feed", ("a",))
    }


def test_plain_lists_of_feeds_are_read_with_their_comments() -> None:
    feed = "# a\n; Spamhaus\n\n10.0.0.0/8 ; SBL1\n10.0.0.1 # why\n10.0.0.2, x\n  10.0.0.4\t"
    kinds = parse(Format.PLAIN, feed)
    assert [number for number, _ in kinds] == [4, 5, 6, 7]
    shown = ["10.0.0.0/8", "10.0.0.1/32", "10.0.0.2/32", "10.0.0.4/32"]
    assert sources(good(Format.PLAIN, feed)) == shown


@pytest.mark.parametrize("line", ["10.0.0.1#why", "10.0.0.1;SBL1", "10.0.0.1,x"])
def test_a_comment_may_touch_the_prefix(line: str) -> None:
    assert sources(good(Format.PLAIN, line)) == ["10.0.0.1/32"]


@pytest.mark.parametrize(
    "line", ["10.0.0.1 10.0.0.2", "10.0.0.1,10.0.0.2", "10.0.0.1\t2001:db8::/32 # why"]
)
def test_several_addresses_on_a_line_are_refused_and_not_read_as_one(line: str) -> None:
    ((number, refused),) = parse(Format.PLAIN, line)
    assert number == 1
    assert isinstance(refused, RuleError)
    assert refused.fix == "write one per line"


@pytest.mark.parametrize("kind", Format)
def test_a_byte_order_mark_and_crlf_do_not_matter(kind: Format) -> None:
    head = "source\r\n" if kind is Format.CSV else ""
    line = '{"match": {"source": "10.0.0.1"}}' if kind is Format.NDJSON else "10.0.0.1"
    assert sources(good(kind, f"\ufeff{head}{line}\r\n\r\n{line}\r\n")) == ["10.0.0.1/32"] * 2


@pytest.mark.parametrize("kind", Format)
def test_bad_lines_are_reported_by_number(kind: Format) -> None:
    lines: list[bytes] = {
        Format.PLAIN: [b"10.0.0.1", b"nonsense", b"10.0.0.1/8", b"\xff\xfe", b"10.0.0.2"],
        Format.CSV: [b"source", b"nonsense", b"10.0.0.1/8", b"\xff\xfe", b"10.0.0.2"],
        Format.NDJSON: [
            b'{"match": {"source": "10.0.0.1"}}',
            b"{",
            b'{"match": {"source": "10.0.0.1/8"}}',
            b"\xff\xfe",
            b'{"match": {"source": "10.0.0.2"}}',
        ],
    }[kind]
    found = parse(kind, b"\n".join(lines))
    assert [number for number, ask in found if isinstance(ask, RuleError)] == [2, 3, 4]
    assert sources([found[-1][1]]) == ["10.0.0.2/32"]  # type: ignore[list-item]


def test_a_line_that_is_not_utf8_says_so() -> None:
    ((_, error),) = parse(Format.PLAIN, b"10.0.0.1 caf\xe9")
    assert "UTF-8" in str(error)


def test_csv_columns_come_in_any_order_and_empty_cells_take_the_default() -> None:
    text = (
        'Action, source ,tags,ttl,reason,mode\naccept,10.0.0.1,x y,1h,"a, b",enforce\n,10.0.0.2,,,,'
    )
    first, second = good(Format.CSV, text)
    assert (first.action, first.mode, first.ttl) == (Action.ACCEPT, Mode.ENFORCE, 3600)
    assert (first.reason, first.tags) == ("a, b", ("x", "y"))
    assert second == good(Format.PLAIN, "10.0.0.2")[0]


@pytest.mark.parametrize("header", ["address,action", "source,colour", "10.0.0.1,drop"])
def test_csv_without_a_known_header_lists_the_columns(header: str) -> None:
    (_, error), *_ = parse(Format.CSV, f"{header}\n10.0.0.1,drop")
    assert isinstance(error, RuleError)
    assert "action, mode, ttl, reason, tags" in error.fix


@pytest.mark.parametrize(
    ("row", "field"),
    [
        ("10.0.0.1,burn,,", "action"),
        ("10.0.0.1,drop,soon,", "ttl"),
        ("10.0.0.1,drop,0,", "ttl"),
        ("10.0.0.1,drop,,No.Name!", "tags"),
        (",drop,,", "match.source"),
        ('10.0.0.1,"drop,,', ""),
        ("10.0.0.1,drop,1h,a,b", ""),
        ("10.0.0.1,drop,1h,pinned", "tags"),
    ],
)
def test_a_bad_csv_cell_is_named(row: str, field: str) -> None:
    ((number, error),) = parse(Format.CSV, f"source,action,ttl,tags\n{row}")
    assert number == 2
    assert isinstance(error, RuleError)
    assert error.field == field


@pytest.mark.parametrize(
    "line",
    [
        '{"match": {"source": "10.0.0.1"}, "acton": "drop"}',
        '{"match": {"source": "10.0.0.1", "prot": 53}}',
        '{"match": {"source": "10.0.0.1"}, "action": "burn"}',
        '{"match": {"source": "10.0.0.1"}, "ttl": -1}',
        '{"match": {"source": "10.0.0.1"}, "ttl": true}',
        '{"match": {"source": "10.0.0.1"}, "tags": ["No Name"]}',
        '{"match": "10.0.0.1"}',
        '{"source": "10.0.0.1"}',
        '"10.0.0.1"',
        "null",
    ],
)
def test_ndjson_of_another_shape_is_refused(line: str) -> None:
    ((_, error),) = parse(Format.NDJSON, line)
    assert isinstance(error, RuleError)


@given(
    st.sampled_from([Action.DROP, Action.ACCEPT]),
    st.sampled_from(Mode),
    st.one_of(st.none(), st.floats(0.001, 1e8), st.sampled_from(["15m", "1h30m", "2d"])),
    st.text(max_size=60),
)
def test_ndjson_may_have_every_field_of_a_rule(
    action: Action, mode: Mode, ttl: float | str | None, reason: str
) -> None:
    body: dict[str, Any] = {"match": {"source": "10.0.0.1"}}
    body |= {"action": action, "mode": mode, "reason": reason}
    if ttl is not None:
        body["ttl"] = ttl
    (ask,) = good(Format.NDJSON, json.dumps({**body, "tags": ["x"]}))
    assert (ask.action, ask.mode, ask.reason, ask.tags) == (action, mode, reason, ("x",))
    assert ask.match.source == parse_prefix("10.0.0.1")
    known = {None: 60.0, "15m": 900, "1h30m": 5400, "2d": 172_800}
    assert ask.ttl == (known[ttl] if ttl is None or isinstance(ttl, str) else ttl)


@given(st.lists(st.binary(max_size=40), max_size=20), st.sampled_from(Format))
def test_arbitrary_bytes_do_not_break_the_parser(lines: list[bytes], kind: Format) -> None:
    for number, text, outcome in Parser(kind, DEFAULTS).feed(lines):
        assert 1 <= number <= len(lines)
        assert isinstance(text, str)
        assert isinstance(outcome, RuleRequest | RuleError)


def test_an_export_is_read_back_through_a_pipe() -> None:
    line = b'{"match": {"source": "203.0.113.0/24"}, "action": "accept", "confirm_within": 9.5}'
    ((number, _, ask),) = Parser(Format.PLAIN, DEFAULTS).feed([line])
    assert number == 1
    assert isinstance(ask, RuleRequest)
    assert (str(ask.match.source), ask.action.value, ask.confirm_within) == (
        "203.0.113.0/24",
        "accept",
        9.5,
    )
