# SPDX-License-Identifier: GPL-2.0-or-later
"""Lists of prefixes and of rules: any document gives a feed or a RuleError."""

import gzip
import zlib

import pytest
from hypothesis import strategies as st

from tests.fuzz.support.inputs import bodies, damaged, json_values, texts
from tests.fuzz.support.loop import fuzz
from xdpctl.base.net.prefix import parse_prefix
from xdpctl.control.operations.bulk_parser import Format, Parser
from xdpctl.lists import formats
from xdpctl.lists.formats.content import unpacked
from xdpctl.lists.formats.entries import parse_entry, parse_line
from xdpctl.model.feed_format import FeedFormat
from xdpctl.model.match.match import Match
from xdpctl.model.requests import RuleRequest

_LIMIT = 1 << 20  # bytes unpacked
_ENTRIES = 1_000
_DOCUMENTS = {
    FeedFormat.AUTO: [b"# list\n192.0.2.0/24\n192.0.2.1-192.0.2.9\n2001:db8::/32 ; x\n"],
    FeedFormat.PLAIN: [b"192.0.2.0/24\r\n10.0.0.1 - 10.0.0.9\r\n", b"\xef\xbb\xbf::1\n\t1.2.3.4\n"],
    FeedFormat.CSV: [
        b'ip,"note"\n192.0.2.1,"a, b"\n2001:db8::1,x\n',
        b"1;192.0.2.1;x\n2;192.0.2.2;y\n",
        b'"192.0.2.1"\t"x"\n',
    ],
    FeedFormat.NDJSON: [
        b'{"ip":"192.0.2.1"}\n{"cidr":"192.0.2.0/24","type":"x"}\n{"type":"metadata"}\n',
        b'"192.0.2.1"\n"::1"\n',
    ],
    FeedFormat.DSHIELD: [b"Start\tEnd\tNetmask\n192.0.2.0\t192.0.2.255\t24\t9\tX\n"],
}
_OBJECTS = [
    {"prefixes": [{"ipv4Prefix": "192.0.2.0/24"}, {"ipv6Prefix": "2001:db8::/32"}], "n": 1},
    {"data": {"v4": ["192.0.2.1"], "v6": ["::1"]}},
    ["192.0.2.0/24", "10.0.0.1-10.0.0.9"],
    [{"match": {"source": "192.0.2.1"}}],
]
_COLUMNS = (None, "ip", "1", "2", "²", "999999", "", "\0", "prefixes", "data.v4", "match")
columns = st.sampled_from(_COLUMNS)
RULES = {
    Format.PLAIN: [b'192.0.2.1\n203.0.113.0/24 # x\n{"match":{"source":"::1"}}\n'],
    Format.CSV: [b'source,ttl,tags,action\n192.0.2.1,1h,"a b",drop\n\n192.0.2.2,,,accept\n'],
    Format.NDJSON: [
        b'{"match":{"source":"192.0.2.1"},"ttl":"1h","tags":["a"],"mode":"monitor"}\n',
        b'{"match":"udp dst-port 53","limit":{"pps":5,"per":"source"},"priority":1}\n',
        b'{"match":{"port":[53,"1-2"],"x":[]},"action":"limit","limit":{"bps":5000}}\n',
    ],
}


@pytest.mark.parametrize("kind", [k for k in FeedFormat if k is not FeedFormat.JSON])
def test_a_document_is_read_or_refused(kind: FeedFormat) -> None:
    documents = damaged([d for some in _DOCUMENTS.values() for d in some]) | st.binary()
    own = st.one_of(damaged(_DOCUMENTS[kind]), documents)
    fuzz(
        st.tuples(own, columns | texts),
        lambda given: formats.read(given[0], kind, given[1], _LIMIT, max_entries=_ENTRIES),
    )


@pytest.mark.parametrize("kind", [FeedFormat.JSON, FeedFormat.AUTO, FeedFormat.NDJSON])
def test_json_is_read_or_refused(kind: FeedFormat) -> None:
    fuzz(
        st.tuples(bodies(_OBJECTS), columns | texts),
        lambda given: formats.read(given[0], kind, given[1], _LIMIT, max_entries=_ENTRIES),
    )


def test_a_packed_document_is_read_or_refused_within_its_limit() -> None:
    bomb = gzip.compress(bytes(8 * _LIMIT))
    plain = gzip.compress(b"192.0.2.1\n")
    raw = zlib.compress(b"192.0.2.1\n", wbits=-15)
    seeds = [plain, plain * 3, bomb, plain + b"\0" * 50, plain + b"x", plain[:10] + raw * 9]

    def call(data: bytes) -> None:
        assert len(unpacked(data, _LIMIT)) <= _LIMIT
        formats.read(data, limit=_LIMIT, max_entries=_ENTRIES)

    fuzz(damaged(seeds), call)


def test_an_entry_is_prefixes_or_refused() -> None:
    parts = st.sampled_from(
        (
            "1.2.3.4",
            "-",
            " ",
            "255.255.255.255",
            "0.0.0.0",
            "/",
            "32",
            "0",
            "::",
            "a",
            "1" * 90,
            "٣",
            "\ufeff",
            "#",
            "//",
            "²",
            "\x1c",
            "\x85",
        )
    )
    lines = st.lists(parts, max_size=9).map("".join) | texts

    def call(text: str) -> None:
        assert len(parse_entry(text)) <= 64
        parse_line(text)

    fuzz(lines, call)


@pytest.mark.parametrize("kind", list(Format))
def test_a_list_of_rules_is_read_line_by_line(kind: Format) -> None:
    """A bad line gives a reject, does not affect other lines, and raises no exception."""
    defaults = RuleRequest(Match(parse_prefix("0.0.0.0/0")))
    odd = [
        b'{"match":{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}}\n",
        b'{"match":{"source":"\\ud800"}}\n',
        b'"\n"a',
        b"\xff\n",
        b"9" * 200_000,
    ]
    files = damaged([*RULES[kind], *odd]) | st.binary()

    def call(data: bytes) -> None:
        lines = data.split(b"\n")
        found = list(Parser(kind, defaults).feed(lines))
        assert len(found) <= len(lines)

    fuzz(files, call)


def test_a_line_of_json_is_a_rule_or_refused() -> None:
    import json

    seeds = [
        json.loads(line)
        for some in RULES.values()
        for d in some
        for line in d.split(b"\n")
        if line.startswith(b"{")
    ]
    defaults = RuleRequest(Match(parse_prefix("0.0.0.0/0")))
    fuzz(bodies(seeds), lambda data: list(Parser(Format.NDJSON, defaults).feed([data])))
    fuzz(json_values, lambda value: formats.read(repr(value).encode("utf-8", "replace")))
