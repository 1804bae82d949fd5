# SPDX-License-Identifier: GPL-2.0-or-later
"""Commands about the box (status, explain, bypass, audit, tokens), as text and as JSON."""

import json
from typing import Any

import pytest

from tests.unit.cli.test_cli import RULE, Api, Run, api, run
from xdpctl.model.identity import Role

__all__ = ["api", "run"]  # the fixtures
STATUS = {
    "version": "0.2.0",
    "uptime": 5400.0,
    "problems": ["eth1 is absent: no such interface"],
    "warnings": ["IPv4 entries are 81% full: 81 of 100 [/24]"],
    "expected": ["up to 5 times the threshold to 192.0.2.0/24"],
    "bypass": True,
    "rules": {"total": 7, "by_origin": {"operator": 7}, "capacity": 100, "fill": 0.07},
    "tables": [
        {"name": "rules", "used": 7, "capacity": 100, "fill": 0.07},
        {"name": "IPv4 entries", "used": 81, "capacity": 100, "fill": 0.81},
        {"name": "sets", "used": 0, "capacity": 64, "fill": 0.0},
    ],
    "kernel_memory": {"slots": 1 << 20, "cells4": 3 << 20},
    "protected": [],
    "interfaces": {
        "eth0": {
            **{"state": "attached", "mode": "native", "detail": ""},
            **{"outside": True, "flows": "asymmetric"},
        }
    },
    "flow_memory": {
        **{"used": 250_000, "capacity": 1_000_000, "fill": 0.25},
        **{"bytes": 8 << 20, "false_pass": 0.0004},
    },
    "challenges": {"sent": 1_500_000, "withheld": 12, "right": 800},
}
COUNTERS = {"total": {"dropped": {"packets": 23_000, "bytes": 1}}, "interfaces": {}}
RECORD = {
    "at": "2026-11-24T00:00:00Z",
    "actor": "root",
    "action": "rule.add",
    "subject": "10.0.0.1_32",
    "detail": {"ttl": None, "reason": "[flood]"},
}
VERDICT: dict[str, Any] = {"records": 7, "problem": None, "last_hash": "abc", "signed_to": 7}


def test_status_prints_problems_on_standard_error(api: Api, run: Run) -> None:
    api.answers = {
        ("GET", "/v1/status"): STATUS,
        ("GET", "/v1/counters"): COUNTERS,
        ("GET", "/v1/condition"): {
            "state": "quiet",
            "reasons": ["nothing unusual passes"],
            "waiting": [],
            "matches": [],
        },
    }
    code, out, err = run("status")
    assert code == 0
    for shown in (
        "7 of 100 (7.0%)",
        "up 1h 30m",
        "ON",
        "attached native",
        "23 k packets",
        "up to 5 times",
    ):
        assert shown in out
    for shown in ("81 of 100 (81.0%)", "4 MiB"):
        assert shown in out
    told = out.replace("\n", " ")
    assert (
        "250,000 of 1,000,000 flows (25.0%), 8.0 MiB; about 0.04% of unknown packets pass" in told
    )
    assert "1.5 M sent, 12 withheld, 800 answered" in told
    assert "outside, known flows are not told apart (asymmetric routing)" in told
    assert "of 64" not in out, "what is not used is not shown"
    assert "eth1 is absent" in err
    assert "warning: IPv4 entries are 81% full: 81 of 100 [/24]" in err.replace("\n", " ")
    assert json.loads(run("status", "--json")[1])["counters"] == COUNTERS


def test_explain_prints_the_verdict_the_rule_and_the_path(api: Api, run: Run) -> None:
    said = {
        "verdict": "drop",
        "reason": "dropped",
        "rule": RULE,
        "set": None,
        "protected_by": {"prefix": "10.0.0.0/8", "why": "ours"},
        "monitored": [RULE],
        "monitored_sets": ["watched"],
        "within": [],
        "behind": [RULE],
        "could_hit": [RULE],
        "frame": "00",
    }
    api.answers["GET", "/v1/explain"] = said
    _, out, _ = run("why", "10.0.0.1", "--protocol", "tcp", "--port", "22", "--to", "10.0.0.2")
    assert api.calls[0][2]["params"] == {
        "source": "10.0.0.1",
        "destination": "10.0.0.2",
        "protocol": "tcp",
        "destination_port": 22,
    }
    for shown in (
        "10.0.0.1: drop\n",
        "10.0.0.0/8: ours",
        "in monitor mode",
        "evaluated later: drop",
    ):
        assert shown in out
    assert "in monitor mode: the set watched" in out
    assert json.loads(run("why", "10.0.0.1", "--port", "22", "--json")[1]) == said
    api.answers["GET", "/v1/explain"] = {**said, "rule": None, "set": "bad"}
    assert "by the set bad" in run("why", "10.0.0.1", "--port", "22")[1]
    api.answers["GET", "/v1/explain"] = {**said, "rule": None, "reason": "vlan_depth"}
    assert "10.0.0.1: drop, vlan depth\n" in run("why", "10.0.0.1", "--port", "22")[1]


@pytest.mark.parametrize(("switch", "shown"), [("on", "everything passes"), ("off", "filtering")])
def test_bypass_says_when_it_was_not_audited(api: Api, run: Run, switch: str, shown: str) -> None:
    api.answers["POST", "/v1/bypass"] = {"on": switch == "on", "audited": False}
    code, out, err = run("bypass", switch)
    assert code == 0
    assert api.calls[0][2]["json"] == {"on": switch == "on"}
    assert shown in out
    assert "not in the audit log" in err.replace("\n", " ")


def test_the_audit_log_is_printed_unchanged(api: Api, run: Run) -> None:
    api.answers["GET", "/v1/audit"] = {"records": [RECORD]}
    _, out, _ = run("audit", "--limit", "1")
    assert "root  rule.add  10.0.0.1_32  reason [flood]" in out
    assert api.calls[0][2]["params"] == {"limit": 1, "last": True}
    assert json.loads(run("audit", "--json")[1]) == [RECORD]


def test_the_audit_log_shows_only_the_start_of_a_long_list(api: Api, run: Run) -> None:
    ids = [f"203.0.113.{number}_32" for number in range(40)]
    record = {**RECORD, "detail": {"rules": 40, "ids": ids}}
    api.answers["GET", "/v1/audit"] = {"records": [record]}
    _, out, _ = run("audit")
    assert "203.0.113.9_32 and 30 more" in out
    assert "203.0.113.10_32" not in out


@pytest.mark.parametrize(("problem", "code"), [(None, 0), ("record 2 was changed", 1)])
def test_a_broken_audit_chain_exits_with_1(
    api: Api, run: Run, problem: str | None, code: int
) -> None:
    api.answers["GET", "/v1/audit/verify"] = {**VERDICT, "problem": problem}
    ended, out, err = run("audit", "--verify")
    assert ended == code
    assert (problem or "7 records, hash chain intact") in out + err
    assert run("audit", "--verify", "--json")[0] == code


def test_only_the_secret_of_a_new_token_is_on_standard_output(api: Api, run: Run) -> None:
    token = {"name": "t", "role": "viewer", "origin": "operator", "expires_at": None}
    api.answers["POST", "/v1/tokens"] = {**token, "secret": "xdpctl_s"}
    _, out, err = run("token", "create", "t", "--role", "viewer", "--ttl", "1d")
    assert out == "xdpctl_s\n"
    assert "not shown again" in err
    sent = {"name": "t", "role": "viewer", "origin": None, "ttl": "1d"}
    assert api.calls[0][2]["json"] == sent
    assert run("token", "create", "t", "--role", "root")[0] == 2
    api.answers["GET", "/v1/tokens"] = {"tokens": [token]}
    assert "t      viewer  operator  never" in run("token", "list")[1]
    api.answers["DELETE", "/v1/tokens/t"] = token
    assert "revoked: t" in run("token", "revoke", "t")[1]


def test_a_token_of_every_role_can_be_created(api: Api, run: Run) -> None:
    api.answers["POST", "/v1/tokens"] = {"secret": "s"}
    assert all(run("token", "create", "t", "--role", role)[0] == 0 for role in Role)
