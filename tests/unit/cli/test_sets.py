# SPDX-License-Identifier: GPL-2.0-or-later
"""Commands about sets: their API requests and their output."""

import io
import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.unit.cli.test_cli import Api, Run, api, run
from xdpctl.errors import Refused

__all__ = ["api", "run"]  # the fixtures
FEED = {
    **{"url": "https://feeds.test/list", "file": "", "refresh": 3600.0, "format": "auto"},
    **{"column": "", "checked_at": None, "next_at": "2026-11-25T01:00:00Z", "failures": 0},
    "error": "",
}
SET: dict[str, Any] = {
    **{"name": "bad", "action": "drop", "mode": "enforce", "origin": "operator"},
    **{"spare": "none", "spared": None, "out": False, "senders": None},
    **{"reason": "see [/24] and [ticket]", "slot": 65, "feed": None, "options": {}},
    **{"entries": {"ipv4": 12_345, "ipv6": 6}, "applied": {"ipv4": 12_344, "ipv6": 6}},
    **{"created_at": "2026-11-24T00:00:00Z", "changed_at": "2026-11-25T00:00:00Z"},
    **{"packets": 23_000, "bytes": 1_481_000, "etag": "0" * 8},
    "report": {"lines": 12_400, "rejected": 3, "entries": 12_351, "added": 51, "removed": 49},
}
REJECTS = [
    {"line": n, "text": "x", "error": f"'[x/{n}]' is not a prefix", "fix": "write one"}
    for n in range(30)
]
PUT = {**SET, "created": True, "changed": True, "dry_run": False, "rejects": REJECTS[:3]}
PUT["warnings"] = []
PATH = "/v1/sets/bad"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    made = tmp_path / "list.txt"
    made.write_bytes(b"45.0.0.1\n\xff")
    return made


def test_a_file_is_sent_unchanged_with_the_given_options(api: Api, run: Run, file: Path) -> None:
    api.answers["PUT", PATH] = PUT
    code, out, err = run("set", "put", "bad", str(file))
    assert code == 0
    (_, _, more) = api.calls[0]
    assert more["content"] == b"45.0.0.1\n\xff"
    assert more["params"] == {"format": "auto"}, "what is not given stays as it is"
    assert api.patience > 100, "a large list takes its time"
    assert more["headers"] == {"content-type": "application/octet-stream"}
    assert out == "created: drop bad, 12,351 entries: 51 added, 49 removed\n"
    assert "lines rejected: 3" in err
    assert "line 0: '[x/0]' is not a prefix. write one" in err
    assert "line 2" in err
    assert "more" not in err


def test_every_option_is_sent(api: Api, run: Run, file: Path) -> None:
    api.answers["PUT", PATH] = {**PUT, "mode": "monitor", "dry_run": True, "created": False}
    options = "--action accept --monitor --format csv --column ip --allow-private --aggregate"
    options += " --widen-ipv4 24 --widen-ipv6 64 --at-most 100 --force --dry-run --reason why"
    code, out, _ = run("set", "put", "bad", str(file), *options.split())
    assert code == 0
    assert api.calls[0][2]["params"] == {
        **{"action": "accept", "mode": "monitor", "format": "csv", "column": "ip"},
        **{"allow_private": True, "aggregate": True, "widen_ipv4": 24, "widen_ipv6": 64},
        **{"at_most": 100, "force": True, "dry_run": True, "reason": "why"},
    }
    assert "would be replaced: drop bad (monitor: counts only)" in out


def test_a_list_may_come_from_standard_input(
    api: Api, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"45.0.0.1\n")))
    api.answers["PUT", PATH] = PUT
    assert run("set", "put", "bad", "-")[0] == 0
    assert api.calls[0][2]["content"] == b"45.0.0.1\n"


@pytest.mark.parametrize(
    ("option", "feed"),
    [
        (["--url", "https://feeds.test/"], {"url": "https://feeds.test/"}),
        (["--local", "deep/list.csv"], {"file": "deep/list.csv"}),
    ],
)
def test_a_feed_is_sent_as_a_document(
    api: Api, run: Run, option: list[str], feed: dict[str, str]
) -> None:
    api.answers["PUT", PATH] = {**PUT, "feed": FEED}
    options = ["--refresh", "15m", "--column", "ip", "--monitor", "--dry-run"]
    assert run("set", "put", "bad", *option, *options)[0] == 0
    body = api.calls[0][2]["json"]
    assert body.pop("feed") == {**feed, "refresh": "15m", "format": "auto", "column": "ip"}
    assert body == {"mode": "monitor", "dry_run": True}
    assert "params" not in api.calls[0][2]
    assert api.patience > 60, "which a fetch may take"
    assert run("set", "put", "bad", *option, "--enforce")[0] == 0
    assert api.calls[1][2]["json"] == {"mode": "enforce", "feed": {**feed, "format": "auto"}}


@pytest.mark.parametrize(
    "arguments",
    [
        ["put", "bad"],
        ["put"],
        ["put", "bad", "FILE", "--url", "https://feeds.test/"],
        ["put", "bad", "--local", "x", "--url", "https://feeds.test/"],
        ["put", "bad", "/no/such/file"],
        ["put", "bad", "/tmp"],
        ["put", "bad", "FILE", "--action", "reject"],
        ["put", "bad", "FILE", "--refresh", "banana"],
        ["put", "bad", "FILE", "--format", "yaml"],
        ["put", "bad", "FILE", "--widen-ipv4", "x"],
        ["mode", "bad", "off"],
        ["mode", "bad"],
        ["show"],
        ["nothing"],
    ],
)
def test_wrong_usage_exits_with_2_before_any_request(
    api: Api, run: Run, file: Path, arguments: list[str]
) -> None:
    given = [str(file) if argument == "FILE" else argument for argument in arguments]
    code, _, err = run("set", *given)
    assert code == 2
    assert err
    assert not api.calls


def test_the_report_on_a_list_is_printed_only_if_it_matters(api: Api, run: Run, file: Path) -> None:
    notes = ("duplicates", "too_wide", "private", "protected", "saved", "extra_addresses")
    report = {**SET["report"], "rejected": 0, **dict.fromkeys(notes, 0)}
    api.answers["PUT", PATH] = {**PUT, "rejects": [], "report": report}
    assert run("set", "put", "bad", str(file))[2] == ""
    for number, note in enumerate(notes, 1):
        api.answers["PUT", PATH] = {**PUT, "rejects": [], "report": {**report, note: number * 1000}}
        err = run("set", "put", "bad", str(file))[2]
        assert err.count("note:") == 1
        assert f"{number},000" in err


@pytest.mark.parametrize(
    ("arguments", "method", "path"),
    [
        (["put", "bad", "FILE"], "PUT", PATH),
        (["put", "bad", "--url", "https://feeds.test/"], "PUT", PATH),
        (["list", "bad"], "GET", PATH),
        (["put", "bad", "--monitor"], "PATCH", PATH),
        (["refresh", "bad"], "POST", f"{PATH}/refresh"),
        (["remove", "bad"], "DELETE", PATH),
    ],
)
def test_json_output_is_the_response_of_the_api(
    api: Api, run: Run, file: Path, arguments: list[str], method: str, path: str
) -> None:
    given = [str(file) if argument == "FILE" else argument for argument in arguments]
    api.answers[method, path] = PUT
    code, out, err = run("set", *given, "--json")
    assert (code, json.loads(out), err) == (0, PUT, "")
    code, out, _ = run("set", *given)
    assert code == 0
    assert "bad" in out


def test_the_list_of_sets_shows_which_feeds_fail(api: Api, run: Run) -> None:
    failing = {**SET, "name": "worse", "feed": {**FEED, "error": "the server answered 404 [x]"}}
    sets = [SET, {**SET, "name": "fed", "feed": FEED, "mode": "monitor"}, failing]
    api.answers["GET", "/v1/sets"] = {"sets": sets}
    _, out, _ = run("set", "list")
    head, *rows = [line.split() for line in out.splitlines()]
    assert head == ["set", "action", "mode", "IPv4", "IPv6", "packets", "bytes", "feed"]
    assert rows[0] == ["bad", "drop", "enforce", "12,345", "6", "23", "k", "1.48", "M", "-"]
    assert rows[1][-1] == "good"
    assert "failing: the server answered 404 [x]" in out
    assert json.loads(run("set", "list", "--json")[1]) == sets
    api.answers["GET", "/v1/sets"] = {"sets": []}
    assert run("set", "list")[1] == "no sets\n"


def test_one_set_is_shown_in_full(api: Api, run: Run) -> None:
    feed = {**FEED, "failures": 2, "error": "not [had]", "checked_at": "2026-11-25T00:59:00Z"}
    api.answers["GET", PATH] = {**SET, "feed": feed}
    out = run("set", "list", "bad")[1]
    for shown in (
        "drop, enforce",
        "see [/24] and [ticket]",
        "12,345 ipv4, 6 ipv6",
        "12,344 ipv4, 6 ipv6",
        "23 k packets, 1.48 MB",
        "added 51",
        "https://feeds.test/list",
        "2026-11-25T00:59:00Z, next 2026-11-25T01:00:00Z",
        "not [had] (2 times)",
    ):
        assert shown in out
    api.answers["GET", PATH] = {**SET, "feed": {**FEED, "url": "", "file": "list.csv"}}
    out = run("set", "list", "bad")[1]
    assert "list.csv" in out
    assert "not since the start" in out
    assert "failing" not in out
    assert "spared         not measured" in out


@pytest.mark.parametrize(
    ("sources", "said"),
    [
        ([], "nobody in the last minute"),
        (["203.0.113.9", "203.0.113.10"], "last minute, such as 203.0.113.9, 203.0.113.10"),
    ],
)
def test_the_sources_that_a_set_spares_are_reported(
    api: Api, run: Run, sources: list[str], said: str
) -> None:
    spared = {"sources": len(sources), "packets": 30, "examples": sources}
    api.answers["GET", PATH] = {**SET, "spare": "known", "spared": spared}
    told = " ".join(run("set", "list", "bad")[1].split())
    assert said in told


def test_entries_are_printed_unchanged(api: Api, run: Run) -> None:
    api.answers["GET", f"{PATH}/entries"] = "45.0.0.0/24\n2600::/32\n"
    assert run("set", "list", "bad", "--entries")[1] == "45.0.0.0/24\n2600::/32\n"


def test_mode_refresh_and_remove_send_the_right_requests(api: Api, run: Run) -> None:
    api.answers["PATCH", PATH] = {**SET, "mode": "monitor"}
    assert run("set", "put", "bad", "--monitor")[1] == "bad: monitor\n"
    assert api.calls[0][2] == {"json": {"mode": "monitor"}}
    api.answers["POST", f"{PATH}/refresh"] = {**PUT, "created": False, "changed": False}
    _, out, err = run("set", "refresh", "bad")
    assert out == "bad: nothing new\n"
    assert err.count("is not a prefix") == 3
    assert api.patience > 60
    assert api.calls[1][2] == {"params": {"force": False}}
    api.answers["POST", f"{PATH}/refresh"] = {**PUT, "created": False}
    assert "replaced: drop bad" in run("set", "refresh", "bad", "--force")[1]
    assert api.calls[2][2] == {"params": {"force": True}}
    api.answers["DELETE", PATH] = SET
    assert run("set", "remove", "bad")[1] == "removed: drop bad; it had hit 23 k packets\n"


def test_top_prints_the_entries_that_are_hit(api: Api, run: Run) -> None:
    rows = [{"prefix": "45.0.0.0/24", "packets": 64_000, "share": 0.4}]
    said = {"seconds": 2.04, "every": 8, "samples": 12_345, "entries": rows, "sources": []}
    api.answers["GET", f"{PATH}/top"] = said
    out = run("set", "list", "bad", "--top", "--seconds", "2", "--every", "8")[1]
    assert api.calls[0][2] == {"params": {"seconds": 2.0, "every": 8}}
    assert api.patience > 2 + 20
    assert "12,345 samples in 2.0 s, one packet in 8" in out
    assert "45.0.0.0/24" in out
    assert "64 k packets" in out
    assert "40.0%" in out
    assert json.loads(run("set", "list", "bad", "--top", "--json")[1]) == said


def test_a_refusal_prints_its_fix_and_exits_with_1(api: Api, run: Run, file: Path) -> None:
    problem = {"status": 409, "detail": "it has 1 entries", "fix": "give force (--force)"}
    api.answers = {("PUT", PATH): Refused(problem), ("GET", PATH): SET}
    code, out, err = run("set", "put", "bad", str(file))
    assert (code, out) == (1, "")
    assert "fix: give --force\n" in err


OUT = {**SET, "name": "c2", "out": True, "mode": "monitor", "statistics": None, "senders": []}


def test_an_out_set_is_put_and_shown_with_its_direction_and_who_sends(
    api: Api, run: Run, file: Path
) -> None:
    api.answers["PUT", "/v1/sets/c2"] = {**PUT, **OUT}
    code, out, _ = run("set", "put", "c2", str(file), "--out")
    assert (code, api.calls[0][2]["params"]["out"]) == (0, True)
    assert out.startswith("created: drop out c2 (monitor: counts only), ")
    api.answers["GET", "/v1/sets/c2"] = OUT
    _, out, _ = run("set", "list", "c2")
    assert "drop out, monitor" in out
    assert "nobody so far" in out
    assert "no statistics" not in out
    senders = [
        {"address": f"10.0.0.{n}", "mac": "02:00:00:00:00:07" if n == 7 else "", "packets": n,
         "bytes": 60, "destination": "45.0.0.1"}
        for n in range(7, 30)
    ]  # fmt: skip
    api.answers["GET", "/v1/sets/c2"] = {**OUT, "senders": senders}
    _, out, _ = run("set", "list", "c2")
    assert "10.0.0.7 at 02:00:00:00:00:07: 7 packets, the last one to 45.0.0.1" in out
    assert "10.0.0.8: 8 packets" in out
    assert "3 more addresses" in out


def test_the_direction_of_an_existing_set_is_not_given_again(api: Api, run: Run) -> None:
    code, _, err = run("set", "put", "c2", "--out", "--enforce")
    assert code == 2
    assert "leave out --out" in err
    assert not api.calls
