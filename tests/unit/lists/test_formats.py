# SPDX-License-Identifier: GPL-2.0-or-later
"""Feeds in their publishers' formats: the fast parser and the line parser agree."""

import gzip
import json
import re
from collections.abc import Callable
from ipaddress import IPv4Address, summarize_address_range
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import CORPUS
from tests.support.feedlists import DSHIELD, KNOWN, refusal, shown
from xdpctl.base.net.prefix import Prefix, parse_prefix
from xdpctl.base.net.prefix_arrays import FAMILIES
from xdpctl.errors import RuleError
from xdpctl.lists.formats import plain, read
from xdpctl.model.feed_format import FeedFormat

LISTS = sorted(f"{path.parent.name}/{path.name}" for path in CORPUS.glob("[fg]e*/*.txt"))


@pytest.mark.parametrize("packed", [bytes, gzip.compress], ids=["as it is", "gzipped"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("named", [False, True])
@pytest.mark.parametrize("name", KNOWN)
def test_known_feeds_are_read(
    name: str, named: bool, end: str, packed: Callable[[bytes], bytes]
) -> None:
    kind, text, expected = KNOWN[name]
    data = packed(("\ufeff" + text.replace("\n", end)).encode())
    feed = read(data, kind if named else FeedFormat.AUTO)
    assert shown(feed) == expected
    assert feed.rejects == []
    if "ranges" not in name:
        assert feed.lines == len(expected) + feed.duplicates


@pytest.mark.parametrize("name", LISTS or ["none"])
def test_real_lists_are_read_like_line_by_line(corpus: Path, name: str) -> None:
    data = (corpus / name).read_bytes()
    texts = [text for text in data.decode().splitlines() if text and text[0] != "#"]
    feed = read(data)
    assert set(shown(feed)) == {str(parse_prefix(text)) for text in texts}
    assert (feed.lines, feed.rejected) == (len(texts), 0)


octets = st.one_of(st.integers(0, 300).map(str), st.sampled_from(["", "0", "00", "01", "1000"]))
dotted = st.lists(octets, min_size=4, max_size=4).map(".".join)
good = st.ip_addresses(v=4).map(str)
lengths = st.one_of(st.just(""), st.integers(0, 34).map(lambda n: f"/{n}"), st.just("/008"))
tails = st.sampled_from(
    ["", "\t5", " ; SBL1", ",x", "#a", "//", "/", " -", "  # a", "\v", "x", "é"]
)
entries = st.one_of(
    st.tuples(st.one_of(good, good, dotted), lengths, tails).map("".join),
    st.tuples(good, st.sampled_from(["-", " - ", " -\t"]), st.one_of(good, dotted)).map("".join),
    st.tuples(st.ip_addresses(v=6).map(str), tails).map("".join),
    st.text("0123456789./ -\t,;#:a%", max_size=20),
    st.just("1.2.0.0/16"),
)


def by_the_line(text: str) -> tuple[set[Prefix], int, list[int]]:
    """What a plain list holds, how many lines have an entry, and which of them are refused."""
    found: set[Prefix] = set()
    lines, refused = 0, []
    for number, line in enumerate(re.split("\r\n|\n|\r", text), 1):
        wide = re.match(r"\s*(\d+\.\d+\.\d+\.\d+)\s*-\s*(\d+\.\d+\.\d+\.\d+[^\s,;#]*)", line)
        (entry, *_) = re.split(r"[\s,;#]|//", line.strip(), maxsplit=1)
        if not entry:
            continue
        lines += 1
        try:
            if wide:
                a, b = (IPv4Address(parse_prefix(half).address) for half in wide.groups())
                assert "/" not in wide[2]
                found |= {parse_prefix(str(n)) for n in summarize_address_range(a, b)}
            else:
                found.add(parse_prefix(entry))
        except (RuleError, AssertionError, ValueError):
            refused.append(number)
    return found, lines, refused


def compare(text: str) -> None:
    found, lines, refused = by_the_line(text)
    feed = read(text.encode(), FeedFormat.PLAIN)
    assert set(shown(feed)) == set(map(str, found))
    assert (feed.lines, feed.rejected) == (lines, len(refused))
    assert [reject["line"] for reject in feed.rejects] == refused[:100]


@given(
    st.lists(st.tuples(entries, st.sampled_from(["\n", "\n", "\r\n", "\n\n"]))),
    entries,
    st.sampled_from([1, 50, 1 << 18]),
)
def test_many_lines_at_once_are_read_like_one_by_one(
    lines: list[tuple[str, str]], last: str, chunk: int
) -> None:
    enough = "9.9.9.9\n" * (len(lines) + 1)  # for a list that is not refused as a whole
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(plain, "_CHUNK", chunk)
        compare(enough + "".join(line + end for line, end in lines) + last)


@pytest.mark.parametrize(
    "line",
    """.1.2.3|1..2.3|1.2.3.|1.2.3|1.2.3.4.5|1.2.3-4|1.2;3.4|1.2.3 4|1.2.3/4|1,2.3.4|1234.1.1.1
    1.2.3.1000|1.2.3.256|1.2.3.00|1.02.3.4|001.2.3.4|4294967295|1.2.3.4/|1.2.3.4/ 8|1.2.3.4/33
    1.2.3.4/34|0.0.0.0/033|0.0.0.0/024|0.0.0.0/132|0.0.0.0/100|0.0.0.0/0008|0.0.0.0/8/8|1.2.3.4//x
    0.0.0.0/0//x|0.0.0.0/0/|1.2.3.4/x|1.2.3.4  - 1.2.3.5|1.2.3.4\t\t-1.2.3.5|1.2.3.4 -5
    1.2.3.4\t-1.2.3.5|1.2.3.4 1.2.3.5|0.0.0.0-255.255.255.255|0.0.0.1-255.255.255.254
    1.2.3.4 - 1.2.3.5/32|1.2.3.0/24-1.2.4.0|1.2.3.4-1.2.3.5x|1.2.3.4x|1.2.3.4:80|//1.2.3.4|/1.2.3.4
    """.replace("\n    ", "|").split("|")[:-1],
)
def test_a_nearly_simple_line_is_read_as_if_alone(line: str) -> None:
    compare(f"9.9.9.9\n{line}\n9.9.9.8")
    compare(f"9.9.9.9\n9.9.9.8\n{line}")


def test_simple_lines_are_read_without_the_line_parser(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(plain, "parse_line")
    feed = read(
        b"10.2.30.4\r\n255.255.255.255\t5\n1.2.3.0/24 ; SBL1\n\n0.0.0.0/0#x\n200.9.9.0/31,x"
    )
    assert shown(feed) == [
        "0.0.0.0/0", "1.2.3.0/24", "10.2.30.4/32", "200.9.9.0/31", "255.255.255.255/32"
    ]  # fmt: skip


def test_keys_are_sorted_and_unique_and_duplicates_counted() -> None:
    feed = read(b"9.9.9.9\n1.1.1.1/32\n::2\n9.9.9.9\n::1\n::/0\n::2 x\n0.0.0.0/0\n")
    assert shown(feed) == ["0.0.0.0/0", "1.1.1.1/32", "9.9.9.9/32", "::/0", "::1/128", "::2/128"]
    assert (feed.lines, feed.duplicates, feed.rejected) == (8, 2, 0)
    for number, family in FAMILIES.items():
        prefixes = map(parse_prefix, shown(feed))
        expected = family.keys(p for p in prefixes if p.family == number)
        assert feed.keys[number].dtype == family.dtype
        assert np.array_equal(feed.keys[number], np.sort(expected))


@pytest.mark.parametrize(
    ("line", "fix"),
    [
        ("1.2.3.4/24", "write 1.2.3.0/24 for the network or 1.2.3.4 for the address"),
        ("fe80::1%eth0", "write fe80::1 without it"),
        ("::ffff:1.2.3.4", "write it as IPv4: 1.2.3.4"),
        ("1.2.3.9-1.2.3.1", "write 1.2.3.1-1.2.3.9"),
        ("01.2.3.4", "write an address or a prefix, for example 203.0.113.7 or 2001:db8::/32"),
    ],
)
def test_a_bad_line_is_reported_and_does_not_affect_others(line: str, fix: str) -> None:
    feed = read(f"# list\n1.1.1.1\n\n{line}\n2.2.2.2{'x' * 300}\n3.3.3.3\n4.4.4.4".encode())
    assert shown(feed) == ["1.1.1.1/32", "3.3.3.3/32", "4.4.4.4/32"]
    first, second = feed.rejects
    assert (first["line"], first["text"], first["fix"]) == (4, line, fix)
    assert (second["line"], len(second["text"])) == (5, 200)
    assert set(first) == {"line", "text", "error", "fix"}


def test_a_hundred_rejects_are_listed_and_all_are_counted() -> None:
    feed = read(b"1.1.1.1\nx\n" * 150)
    assert (feed.lines, feed.rejected, len(feed.rejects)) == (300, 150, 100)
    assert feed.rejects[-1]["line"] == 200


@pytest.mark.parametrize("kind", ["csv", "json", "ndjson", "dshield"])
def test_bad_entries_of_every_format_are_reported_by_number(kind: str) -> None:
    documents = {
        "csv": '# c\nip,x\n1.1.1.1,2\n1.2.3,2\n"1.1.1.1"x",2\n1.1.1.2\n1.1.1.3',
        "json": '["1.1.1.1", "1.1.1.2", 5, {"a": 1}, "1.1.1.3"]',
        "ndjson": '"1.1.1.1"\n\n"1.1.1.2"\n{"ip": "1.1\n[]\n{"ip":"1.1.1.3"}',
        "dshield": DSHIELD + "1.0.0.0\t1.0.0.9\t24\tx\n1.0.0.0 1.0.0.255 24\n",
    }
    feed = read(documents[kind].encode())
    lines = {"csv": [4, 5], "json": [3, 4], "ndjson": [4, 5], "dshield": [8, 9]}
    assert [reject["line"] for reject in feed.rejects] == lines[kind]
    assert all(reject["error"] and reject["fix"] for reject in feed.rejects)


@pytest.mark.parametrize("column", ["dst", "DST", "3"])
@pytest.mark.parametrize("kind", [FeedFormat.AUTO, FeedFormat.CSV])
def test_a_column_is_chosen_by_name_or_number(kind: FeedFormat, column: str) -> None:
    assert shown(read(b"ip,n,dst\n1.1.1.1,1,2.2.2.2\n", kind, column)) == ["2.2.2.2/32"]
    if column == "3":
        assert shown(read(b"1.1.1.1,1,2.2.2.2\n", kind, column)) == ["2.2.2.2/32"]


def test_a_field_or_a_list_of_json_is_chosen_by_name() -> None:
    document = {"allow": [{"ip": "1.1.1.1", "to": "2.2.2.2"}], "deny": ["3.3.3.3"], "keys": ["x"]}
    data = json.dumps(document).encode()
    assert shown(read(data, column="to")) == ["2.2.2.2/32"]
    assert shown(read(data, column="deny")) == ["3.3.3.3/32"]
    error = refusal(data)
    assert error.field == "column"
    assert "several lists: allow, deny" in str(error)


def test_a_record_with_an_address_and_its_network_gives_the_address() -> None:
    record = b'{"network":"1.2.0.0/16","source":"x","ip":"1.2.3.4"}'
    assert shown(read(record)) == ["1.2.3.4/32"]
    assert shown(read(b"network,ip\n1.2.0.0/16,1.2.3.4")) == ["1.2.3.4/32"]
    assert shown(read(b'[{"ip":"AS5","network":"1.2.0.0/16","source":null}]')) == ["1.2.0.0/16"]
