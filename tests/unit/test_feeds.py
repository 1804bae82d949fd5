"""Feeds: read as their publishers write them, fast and by the line alike; refused if none."""

import gzip
import json
import re
from collections.abc import Callable
from ipaddress import IPv4Address, summarize_address_range
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import CORPUS
from xdpctl.errors import RuleError
from xdpctl.feeds import Feed, FeedFormat, plain, read
from xdpctl.prefix import Prefix, parse_prefix
from xdpctl.table.family import FAMILIES

LISTS = sorted(f"{path.parent.name}/{path.name}" for path in CORPUS.glob("[fg]e*/*.txt"))
SPAMHAUS = """; Spamhaus DROP List 2026/11/24 - (c) 2026 The Spamhaus Project SLU
; https://www.spamhaus.org/drop/drop.txt
; Last-Modified: Tue, 24 Nov 2026 07:04:39 GMT
1.10.16.0/20 ; SBL256894
1.19.0.0/16 ; SBL434604
"""
SPAMHAUS_JSON = """{"cidr":"1.10.16.0/20","sblid":"SBL256894","rir":"apnic"}
{"cidr":"2a06:e480::/29","sblid":"SBL301771","rir":"ripencc"}
{"type":"metadata","timestamp":1764000279,"size":79391,"records":2,"terms":"https://"}
"""
FIREHOL = """#
# firehol_level1
#
# ipv4 hash:net ipset
#
# Entries         : 2 subnets, 612 unique IPs
#
0.0.0.0/8
1.10.16.0/20
2.56.192.7
"""
IPSUM = """# IPsum Threat Intelligence Feed
# (https://github.com/stamparm/ipsum)
#
# IP\tnumber of (black)lists
#
2.57.122.53\t11
77.90.185.20\t8
"""
DSHIELD = """#
#   DShield.org Recommended Block List
#   some rights reserved. Details http://creativecommons.org/licenses/by-nc-sa/2.5/
#
Start\tEnd\tNetblock\tAttacks\tName\tCountry\temail
5.187.35.0\t5.187.35.255\t24\t5512\tNL-NET\tNL\tabuse@example.net
80.94.92.0\t80.94.95.255\t22\t1874\tTECH\xb4S\tGB\t
"""
ABUSEIPDB = """{"meta":{"generatedAt":"2026-11-24T10:00:02+00:00"},"data":[
{"ipAddress":"5.188.10.179","countryCode":"RU","abuseConfidenceScore":100,"lastReportedAt":"x"},
{"ipAddress":"2001:db8::bad","countryCode":"DE","abuseConfidenceScore":99,"lastReportedAt":"x"}]}
"""
AWS = """{
  "syncToken": "1764000000",
  "createDate": "2026-11-24-15-00-00",
  "prefixes": [
    {"ip_prefix": "3.4.12.4/32", "region": "eu-west-1", "service": "AMAZON"},
    {"ip_prefix": "3.5.140.0/22", "region": "ap-northeast-2", "service": "AMAZON"}
  ],
  "ipv6_prefixes": [{"ipv6_prefix": "2a05:d07a:a000::/40", "region": "eu-south-1"}]
}
"""
GOOGLE = '{"prefixes":[{"ipv4Prefix":"8.8.4.0/24"},{"ipv6Prefix":"2001:4860::/32"}]}'
CLOUDFLARE = (
    '{"result":{"ipv4_cidrs":["173.245.48.0/20"],"ipv6_cidrs":["2400:cb00::/32"]},"errors":[]}'
)
EXPORT = '{"match":{"source":"10.0.0.0/8"},"action":"drop","tags":["a"]}\n'
KNOWN: dict[str, tuple[FeedFormat, str, list[str]]] = {
    "spamhaus": (FeedFormat.PLAIN, SPAMHAUS, ["1.10.16.0/20", "1.19.0.0/16"]),
    "spamhaus json": (FeedFormat.NDJSON, SPAMHAUS_JSON, ["1.10.16.0/20", "2a06:e480::/29"]),
    "firehol": (FeedFormat.PLAIN, FIREHOL, ["0.0.0.0/8", "1.10.16.0/20", "2.56.192.7/32"]),
    "ipsum": (FeedFormat.PLAIN, IPSUM, ["2.57.122.53/32", "77.90.185.20/32"]),
    "dshield": (FeedFormat.DSHIELD, DSHIELD, ["5.187.35.0/24", "80.94.92.0/22"]),
    "abuseipdb": (FeedFormat.JSON, ABUSEIPDB, ["5.188.10.179/32", "2001:db8::bad/128"]),
    "abuseipdb plain": (FeedFormat.PLAIN, "5.1.1.179\n1.1.1.9", ["1.1.1.9/32", "5.1.1.179/32"]),
    "blocklist.de": (FeedFormat.PLAIN, "1.2.3.4\n2001:db8::1\n", ["1.2.3.4/32", "2001:db8::1/128"]),
    "aws": (FeedFormat.JSON, AWS, ["3.4.12.4/32", "3.5.140.0/22", "2a05:d07a:a000::/40"]),
    "google": (FeedFormat.JSON, GOOGLE, ["8.8.4.0/24", "2001:4860::/32"]),
    "cloudflare": (FeedFormat.JSON, CLOUDFLARE, ["173.245.48.0/20", "2400:cb00::/32"]),
    "our export": (FeedFormat.NDJSON, EXPORT + EXPORT, ["10.0.0.0/8"]),
    "our export of one": (FeedFormat.NDJSON, EXPORT, ["10.0.0.0/8"]),
    "strings": (FeedFormat.JSON, '["1.2.3.4", "::/0"]', ["1.2.3.4/32", "::/0"]),
    "strings by line": (FeedFormat.NDJSON, '"1.2.3.4"\n"::1"', ["1.2.3.4/32", "::1/128"]),
    "csv": (FeedFormat.CSV, 'id,"ip",cc\n1,"1.2.3.4","a, b"\n2,::1,', ["1.2.3.4/32", "::1/128"]),
    "csv of semicolons": (FeedFormat.CSV, "id;IP Address\n1;1.2.3.4\n", ["1.2.3.4/32"]),
    "csv without names": (FeedFormat.CSV, "# date,ip\n2026-11-24,1.2.3.4,x", ["1.2.3.4/32"]),
    "tabs": (FeedFormat.CSV, "cc\tname\tip\n\t\t1.2.3.4\n", ["1.2.3.4/32"]),
    "ranges": (
        FeedFormat.PLAIN,
        "1.2.3.0-1.2.3.255\n9.9.9.9 - 9.9.9.9 x\n",
        ["1.2.3.0/24", "9.9.9.9/32"],
    ),
}


def shown(feed: Feed) -> list[str]:
    return [str(p) for n, family in FAMILIES.items() for p in family.prefixes(feed.keys[n])]


def refusal(data: str | bytes, *given: Any, **named: Any) -> RuleError:
    with pytest.raises(RuleError) as caught:
        read(data.encode() if isinstance(data, str) else data, *given, **named)
    assert caught.value.fix
    return caught.value


@pytest.mark.parametrize("packed", [bytes, gzip.compress], ids=["as it is", "gzipped"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("named", [False, True])
@pytest.mark.parametrize("name", KNOWN)
def test_known_feeds(name: str, named: bool, end: str, packed: Callable[[bytes], bytes]) -> None:
    kind, text, expected = KNOWN[name]
    data = packed(("\ufeff" + text.replace("\n", end)).encode())
    feed = read(data, kind if named else FeedFormat.AUTO)
    assert shown(feed) == expected
    assert feed.rejects == []
    if "ranges" not in name:
        assert feed.lines == len(expected) + feed.duplicates


@pytest.mark.parametrize("name", LISTS or ["none"])
def test_lists_made_by_others_are_read_as_a_loop_reads_them(corpus: Path, name: str) -> None:
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
def test_many_at_once_are_what_they_are_one_by_one(
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
def test_a_line_that_is_nearly_simple_is_what_it_is_alone(line: str) -> None:
    compare(f"9.9.9.9\n{line}\n9.9.9.8")
    compare(f"9.9.9.9\n9.9.9.8\n{line}")


def test_simple_lines_need_no_loop(monkeypatch: pytest.MonkeyPatch) -> None:
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
def test_a_bad_line_is_told_and_takes_no_other_along(line: str, fix: str) -> None:
    feed = read(f"# list\n1.1.1.1\n\n{line}\n2.2.2.2{'x' * 300}\n3.3.3.3\n4.4.4.4".encode())
    assert shown(feed) == ["1.1.1.1/32", "3.3.3.3/32", "4.4.4.4/32"]
    first, second = feed.rejects
    assert (first["line"], first["text"], first["fix"]) == (4, line, fix)
    assert (second["line"], len(second["text"])) == (5, 200)
    assert set(first) == {"line", "text", "error", "fix"}


def test_a_hundred_rejects_are_told_and_all_counted() -> None:
    feed = read(b"1.1.1.1\nx\n" * 150)
    assert (feed.lines, feed.rejected, len(feed.rejects)) == (300, 150, 100)
    assert feed.rejects[-1]["line"] == 200


@pytest.mark.parametrize("kind", ["csv", "json", "ndjson", "dshield"])
def test_bad_entries_of_every_format_are_told_by_number(kind: str) -> None:
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


def test_a_record_of_an_address_and_its_network_is_about_the_address() -> None:
    record = b'{"network":"1.2.0.0/16","source":"x","ip":"1.2.3.4"}'
    assert shown(read(record)) == ["1.2.3.4/32"]
    assert shown(read(b"network,ip\n1.2.0.0/16,1.2.3.4")) == ["1.2.3.4/32"]
    assert shown(read(b'[{"ip":"AS5","network":"1.2.0.0/16","source":null}]')) == ["1.2.0.0/16"]


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
def test_what_is_no_list_is_refused(data: bytes, said: str) -> None:
    assert said in str(refusal(data))


@given(
    st.sampled_from([text.encode() for _, text, _ in KNOWN.values()] + [PACKED]),
    st.lists(st.tuples(st.integers(0, 300), st.integers(0, 9), st.binary(max_size=4)), max_size=4),
    st.sampled_from(FeedFormat),
    st.sampled_from([None, None, "ip", "1", "data", ""]),
)
def test_whatever_it_is_it_is_read_or_refused(
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
        ("1.1.1.1,2\n", "3", "no column '3'; it has 1.1.1.1, 2"),
        ("1.1.1.1,2\n", "ip", "the columns have no names"),
        ('["1.1.1.1"]\n', "ip", "with a field 'ip'"),
        ('[{"ip":"1.1.1.1"}]\n', "nope", "with a field 'nope'"),
    ],
)
def test_a_missing_column_is_told_beside_those_there(
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


def test_entries_are_limited_and_duplicates_are_none() -> None:
    lines = b"".join(b"10.%d.%d.1\n" % divmod(n, 250) for n in range(50_000))
    assert len(read(lines * 4, max_entries=50_000).keys[4]) == 50_000
    assert "at least 50000 prefixes; at most 49999" in str(refusal(lines * 4, max_entries=49_999))
    found = re.search(
        r"at least (\d+) prefixes; at most 7 ", str(refusal(lines * 9, max_entries=7))
    )
    assert found
    assert "at most 1 " in str(refusal("1.1.1.1\n::1", max_entries=1))
