# SPDX-License-Identifier: GPL-2.0-or-later
"""Inputs that are slow to parse: long repetitions of the beginning of each regular expression."""

import json
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any, NamedTuple, cast

from fastapi import Request

from xdpctl.base.durations import parse_duration
from xdpctl.base.net.prefix import parse_prefix
from xdpctl.cli.rules.edit import number
from xdpctl.config.file import parse
from xdpctl.control.operations.bulk_parser import Format, Parser
from xdpctl.detectors.formats import crowdsec, jmespath
from xdpctl.detectors.registry import ADAPTERS
from xdpctl.incidents import report
from xdpctl.lists import formats
from xdpctl.lists.formats.entries import parse_line
from xdpctl.lists.geo import parse_asn
from xdpctl.model.feed_format import FeedFormat
from xdpctl.model.match import text
from xdpctl.model.match.match import Match, build
from xdpctl.model.requests import RuleRequest
from xdpctl_api.auth import _forwarded

HOOK, TEXT = 4 << 20, 64 << 10  # bytes of a hook's body, and of the API's others
Make = Callable[[int], Any]


class Case(NamedTuple):
    """`make(size)` returns an input of about that size; the largest size is `most`."""

    name: str
    call: Callable[[Any], object]
    make: Make
    most: int = HOOK


def run_of(part: str, before: str = "", behind: str = "") -> Make:
    return lambda size: before + part * (size // len(part)) + behind


_RUNS = {
    "digits": run_of("1", behind="x"),
    "dots": run_of("1."),
    "spaces": run_of(" ", "1", "x"),
    "commas": run_of(","),
    "colons": run_of("a:", behind=" > b"),
    "letters": run_of("a", "A", ":"),
    "slashes": run_of("/"),
    "percent": run_of("%", "::"),
    "operators": run_of("<>="),
    "ands": run_of("&"),
    "brackets": run_of("[", "for="),
    "for": run_of("for=["),
    "newlines": run_of("\n", "A b: x", "x"),
    "range": run_of(" ", "1.1.1.1", "-x"),
    "parts": run_of("1h"),
    "points": run_of("1", "1.", "x"),
    "unicode": run_of("٣", behind="x"),
    "hyphens": run_of("1-"),
    "tabs": run_of("1\t"),
    "bangs": run_of("!"),
}
_DEFAULTS = RuleRequest(Match(parse_prefix("0.0.0.0/0")))


def _request(value: str) -> Request:
    return cast(Request, SimpleNamespace(headers={"forwarded": value}))


def _readers() -> dict[str, tuple[Callable[[str], object], int]]:
    """Readers of a text, with the largest size that they get."""
    return {
        "parse_duration": (lambda s: parse_duration(s, "x"), HOOK),
        "crowdsec.seconds": (crowdsec.seconds, HOOK),
        "match text": (text.parse, HOOK),
        "match port": (lambda s: build({"port": s}), HOOK),
        "match flags": (lambda s: build({"tcp_flags": s}), HOOK),
        "prefix": (parse_prefix, HOOK),
        "feed line": (parse_line, HOOK),
        "feed": (lambda s: formats.read(s.encode()), HOOK),
        "feed csv": (lambda s: formats.read(s.encode(), FeedFormat.CSV, "ip"), HOOK),
        "feed dshield": (lambda s: formats.read(s.encode(), FeedFormat.DSHIELD), HOOK),
        "bulk csv": (lambda s: list(Parser(Format.CSV, _DEFAULTS).feed([s.encode()])), HOOK),
        "bulk plain": (lambda s: list(Parser(Format.PLAIN, _DEFAULTS).feed([s.encode()])), HOOK),
        "asn": (parse_asn, HOOK),
        "number": (lambda s: number(s, "pps"), TEXT),
        "forwarded": (lambda s: _forwarded(_request(s)), TEXT),
        "escape": (report.plain, HOOK),
        "fastnetmon": (lambda s: ADAPTERS["fastnetmon"](json.dumps(
            {"argv": ["198.51.100.2", "incoming", "5", "ban"], "stdin": s}).encode()), HOOK),
        "limits.per": (lambda s: parse({"limits": [{"match": "udp", "pps": 5, "per": s}]}), HOOK),
        "events": (lambda s: jmespath.adapter(s, "x"), 1 << 12),
    }  # fmt: skip


def runs() -> Iterator[Case]:
    for name, (call, most) in _readers().items():
        for told, make in _RUNS.items():
            yield Case(f"{name}: {told}", call, make, most)
