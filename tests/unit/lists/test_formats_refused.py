# SPDX-License-Identifier: GPL-2.0-or-later
"""Documents that are no feed, are damaged or too large: refused with a fix."""

import gzip
import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.feedlists import KNOWN, refusal, shown
from xdpctl.errors import RuleError
from xdpctl.lists.formats import read
from xdpctl.model.feed_format import FeedFormat

PACKED = gzip.compress(b"1.1.1.1\n" * 1000)


def test_gzip_of_several_members_and_padding_is_one_list() -> None:
    feed = read(PACKED + gzip.compress(b"") + gzip.compress(b"2.2.2.2") + bytes(512))
    assert shown(feed) == ["1.1.1.1/32", "2.2.2.2/32"]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "empty"),
        (b"# nothing\n\n", "empty"),
        (b"[]", "empty"),
        (b'{"data": []}', "empty"),
        (b"ip,score\n", "empty"),
        (b'{"type":"metadata"}\n{"type":"metadata"}', "empty"),
        (b"\n<!DOCTYPE html>\n<html>1.2.3.4", "HTML"),
        (b"<?xml version='1.0'?><Error/>", "XML"),
        (b"rate limited\ntry again", "2 of 2 entries were refused, the first at 1: 'rate'"),
        (b"1.2.3.4\nx\ny\n", "2 of 3 entries"),
        (b"1.2.3.4,1.2.3.5,1.2.3.6", "one line"),
        (b"caf\xe9\n\xe9", "not UTF-8"),
        ("1.2.3.4\n".encode("utf-16"), "not UTF-8"),
        ("1.2.3.4\n".encode("utf-16-le"), "not UTF-8"),
        (b'{"data": ["\xff"', "not a list or object in JSON"),
        (b'{"errors":[{"detail":"Authentication failed"}]}', "no list of prefixes; it begins with"),
        (b'{"data": ["1.1.1.1"', "not a list or object in JSON"),
        (b'{"a":' * 100_000, "not a list or object in JSON"),
        (b"{}", "no list of prefixes"),
        (b'{"a":{"b":{"c":["1.1.1.1"]}}}', "no list of prefixes"),
        (b"[1, 2]", "no list of prefixes"),
        (PACKED[:-9], "ends early"),
        (PACKED[:9], "ends early"),
        (PACKED[:20] + b"xxxx" + PACKED[24:], "corrupt"),
        (PACKED + b"x", "ends early"),
        (PACKED + b"not gzip at all", "corrupt"),
        (gzip.compress(PACKED), "not UTF-8"),
    ],
)
def test_a_document_that_is_not_a_list_is_refused(data: bytes, said: str) -> None:
    assert said in str(refusal(data))


@given(
    st.sampled_from([text.encode() for _, text, _ in KNOWN.values()] + [PACKED]),
    st.lists(st.tuples(st.integers(0, 300), st.integers(0, 9), st.binary(max_size=4)), max_size=4),
    st.sampled_from(FeedFormat),
    st.sampled_from([None, None, "ip", "1", "data", ""]),
)
def test_any_document_is_read_or_refused(
    data: bytes, damages: list[tuple[int, int, bytes]], kind: FeedFormat, column: str | None
) -> None:
    for at, size, put in damages:
        data = data[:at] + put + data[at + size :]
    try:
        feed = read(data, kind, column)
    except RuleError:
        return
    assert 0 <= feed.rejected * 2 <= feed.lines
    json.dumps(feed.rejects)


@pytest.mark.parametrize(
    ("data", "column", "said"),
    [
        ("when,host\n1,a\n", None, "no column of a known name; it has when, host"),
        ("ip,n\n1.1.1.1,2\n", "nope", "no column 'nope'; it has ip, n"),
        ("1.1.1.1,2\n", "3", "no column 3: the first row has 2"),
        ("1.1.1.1,2\n", "ip", "the columns have no names"),
        ('["1.1.1.1"]\n', "ip", "with a field 'ip'"),
        ('[{"ip":"1.1.1.1"}]\n', "nope", "with a field 'nope'"),
    ],
)
def test_a_missing_column_is_reported_with_the_existing_ones(
    data: str, column: str | None, said: str
) -> None:
    error = refusal(data, FeedFormat.AUTO if data[0] == "[" else FeedFormat.CSV, column)
    assert error.field == "column"
    assert said in str(error)


def test_bytes_are_limited_before_they_are_unpacked() -> None:
    assert read(PACKED, limit=8000).duplicates == 999
    for data in (PACKED, gzip.compress(b"1.1.1.1\n" * 1_000_000), b"1.1.1.1\n" * 1000, PACKED * 2):
        error = refusal(data, limit=7999)
        assert "at least" in str(error)
        assert "at most 7999" in str(error)


def test_entries_are_limited_and_duplicates_do_not_count() -> None:
    lines = b"".join(b"10.%d.%d.1\n" % divmod(n, 250) for n in range(50_000))
    assert len(read(lines * 4, max_entries=50_000).keys[4]) == 50_000
    assert "at least 50000 prefixes; at most 49999" in str(refusal(lines * 4, max_entries=49_999))
    found = re.search(
        r"at least (\d+) prefixes; at most 7 ", str(refusal(lines * 4, max_entries=7))
    )
    assert found
    assert "at most 1 " in str(refusal("1.1.1.1\n::1", max_entries=1))


SHORT = {"max_entries": 1000}
MANY = 300_000  # more than are read for so few entries


@pytest.mark.parametrize(
    ("data", "kind", "said"),
    [
        (b"x\n" * 6000, "auto", r"format plain: 5001 of 5001 entries .* first at 1: .*; at 3: "),
        (b"1.1.1.1\n" + b"x\n" * 6000, "csv", "format csv: 5001 of 500[12] entries"),
        (b"[" + b"0," * 6000 + b"0]", "json", "no list of prefixes"),
        (b'["1.1.1.1",' + b"0," * 6000 + b"0]", "auto", "format json: 5001 of 5002"),
        (b'{"ip":1}\n' * 6000, "ndjson", "5001 of 5001"),
        (b"1.1.1.1\n" * MANY, "auto", "300,000 lines; at most 266,144 are read for 1,000 entries"),
        (b"\n" * MANY, "ndjson", "300,000 lines"),
        (b"[" + b"0," * MANY + b"0]", "auto", "300,001 elements; at most 67,536"),
        (b'{"a":[' + b"{}," * MANY + b"{}]}", "auto", "elements; at most"),
        (b"[" + b'":",' * MANY + b'""]', "auto", "elements; at most"),
        (b'["' + b'\\":' * MANY + b'",' + b"0," * MANY + b"0]", "auto", "elements; at most"),
        (b"[" + b"0," * MANY + b'":":":"', "auto", "not a list or object in JSON"),
        (b"{" + b",".join(b'"%d":0' % n for n in range(1001)) + b"}", "auto", "1000 fields"),
    ],
)  # fmt: skip
def test_a_document_with_too_many_bad_lines_is_given_up(data: bytes, kind: str, said: str) -> None:
    assert re.search(said, str(refusal(data, FeedFormat(kind), **SHORT)))


@pytest.mark.parametrize("kind", ["plain", "csv", "ndjson", "json", "dshield"])
def test_a_line_that_is_too_long_is_refused_before_it_is_read(kind: str) -> None:
    long = {
        "plain": b"1.1.1.1 " + b"x" * 600_000,
        "csv": b"1.1.1.1" + b",x" * 40_000,
        "json": b'{"ip": "1.1.1.1", "a": [' + b"{}," * 30_000 + b"{}]}",
        "dshield": b"1.0.0.0\t1.0.0.255\t24" + b"\tx" * 40_000,
    }
    long["ndjson"] = long["json"]
    good = {"plain": b"1.1.1.2", "csv": b"1.1.1.2,x", "dshield": b"1.0.0.0\t1.0.0.255\t24"}
    right = good.get(kind, b'{"ip": "1.1.1.2"}')
    data = b"\n".join([right, long[kind], right])
    if kind == "json":
        data = b"[" + data.replace(b"\n", b",") + b"]"
    feed = read(data, FeedFormat(kind))
    assert (feed.lines, feed.rejected, feed.rejects[0]["line"]) == (3, 1, 2)
    assert "more than 65536 bytes" in feed.rejects[0]["error"]


def test_a_line_of_just_that_length_is_read() -> None:
    data = b'{"ip":"1.1.1.1"}'.ljust(1 << 16) + b"\n" + b'{"ip":"1.1.1.2"}'.ljust(1 << 16)
    assert len(shown(read(data, FeedFormat.NDJSON))) == 2


def test_many_fields_and_much_text_are_not_taken_for_many_elements() -> None:
    item = '{"ip" : "::1", "a": ":", "b": 1, "c": "x\\":", "d": null}'
    data = f"[{','.join([item] * 40_000)}]".encode()
    assert read(data, **SHORT).lines == 40_000  # type: ignore[arg-type]


def test_members_of_gzip_are_limited() -> None:
    data = gzip.compress(b"1.1.1.1\n") + gzip.compress(b"") * 16_384
    assert "more than 16384 members" in str(refusal(data))


@pytest.mark.parametrize("kind", [FeedFormat.PLAIN, FeedFormat.DSHIELD])
def test_a_column_of_a_format_without_any_is_refused(kind: FeedFormat) -> None:
    error = refusal(KNOWN[str(kind) if kind is FeedFormat.DSHIELD else "ipsum"][1], kind, "2")
    assert error.field == "column"
