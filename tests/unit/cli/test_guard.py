# SPDX-License-Identifier: GPL-2.0-or-later
"""`guard`: the rules that it sends, its output, and wrong arguments."""

import json
from typing import Any

import pytest

from tests.unit.cli.test_cli import Api, Run, api, run

__all__ = ["api", "run"]
BULK = ("POST", "/v1/rules/bulk")
DONE: dict[str, Any] = {
    "added": 6, "extended": 0, "rejected": 0, "rejects": [], "dry_run": False, "change": 7,
}  # fmt: skip


def sent(api: Api) -> list[dict[str, Any]]:
    ((_, _, more),) = api.calls
    return [json.loads(line) for line in more["content"].splitlines()]


def test_there_is_a_rule_on_trial_for_each_thing_that_no_client_sends(api: Api, run: Run) -> None:
    api.answers[BULK] = DONE
    ended, out, err = run("guard", "dns", "198.51.100.53", "--ttl", "1h")
    assert ended == 0, out + err
    rules = sent(api)
    assert len(rules) == 6
    assert {(r["action"], r["mode"], r["spare"], r["ttl"], r["replace"]) for r in rules} == {
        ("drop", "enforce", "trial", "1h", True)
    }
    assert {tag for r in rules for tag in r["tags"]} == {"guard-dns"}
    assert rules[1]["reason"] == "dns: a response"
    assert rules[1]["match"]["payload"] == "@2 80/80"
    assert "dns: a response" in out
    assert "6 added" in out


def test_monitor_port_and_dry_run_are_passed_on(api: Api, run: Run) -> None:
    api.answers[BULK] = {**DONE, "dry_run": True}
    words = ("--monitor", "--port", "8443", "--dry-run")
    ended, out, _ = run("guard", "quic", "2001:db8::/64", *words)
    assert ended == 0
    assert api.calls[0][2]["params"] == {"dry_run": True}
    assert {(r["mode"], r["spare"], r["match"]["destination_port"]) for r in sent(api)} == {
        ("monitor", "known", "8443")
    }
    assert "6 would be added" in out


def test_a_rule_that_is_refused_is_said(api: Api, run: Run) -> None:
    refused = {"line": 3, "text": "{", "error": "there is no room", "fix": "remove rules"}
    api.answers[BULK] = {**DONE, "added": 5, "rejected": 1, "rejects": [refused]}
    ended, out, err = run("guard", "dns", "198.51.100.53")
    assert ended == 1
    assert "5 added" in out
    assert "there is no room" in out + err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("gopher", "198.51.100.53"), "gopher"),
        (("dns", "name.example"), "name.example"),
        (("dns",), "DESTINATION"),
        (("dns", "198.51.100.53", "--port", "0"), "port"),
    ],
)
def test_wrong_arguments_are_refused_before_anything_is_sent(
    api: Api, run: Run, words: tuple[str, ...], said: str
) -> None:
    ended, out, err = run("guard", *words)
    assert ended == 2
    assert said.lower() in (out + err).lower()
    assert api.calls == []
