# SPDX-License-Identifier: GPL-2.0-or-later
"""The command line: its API requests, its output, and its exit codes."""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from xdpctl import __version__
from xdpctl.cli import main
from xdpctl.cli.app import app
from xdpctl.client import Client
from xdpctl.errors import Refused, Unreachable
from xdpctl.model.match import text

RULE = {
    "id": "203.0.113.7_32",
    "match": {"source": "203.0.113.7/32"},
    "action": "drop",
    "mode": "enforce",
    "origin": "operator",
    "reason": "flood",
    "tags": ["a"],
    "created_at": "2026-11-24T00:00:00Z",
    "expires_at": None,
    "expires_in": None,
    "limit": None,
    "spare": "none",
    "priority": 0,
    "confirm_in": None,
    "slot": 2,
    "packets": 23_000,
    "bytes": 1_481_000,
    "etag": "00000000",
    "collateral": None,
}
ADDED = {
    **RULE,
    "created": True,
    "changed": True,
    "change": None,
    "in_kernel": True,
    "warnings": ["take care"],
}
Run = Callable[..., tuple[int, str, str]]


class Api:
    """Answers calls from a table and remembers them."""

    def __init__(self) -> None:
        self.answers: dict[tuple[str, str], Any] = {}
        self.calls: list[tuple[str, str, dict[str, Any]]] = []
        self.patience: float = 0.0

    def call(
        self, client: Client, method: str, path: str, seconds: float = 30.0, **more: Any
    ) -> Any:
        self.patience = seconds
        if not isinstance(more.get("content", b""), bytes):
            more["content"] = b"".join(more["content"])
        self.calls.append((method, path, more))
        answer = self.answers[method, path]
        if isinstance(answer, Exception):
            raise answer
        return answer.pop(0) if isinstance(answer, list) else answer


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Api:
    api = Api()
    monkeypatch.setattr(Client, "call", lambda client, *a, **more: api.call(client, *a, **more))
    monkeypatch.setattr(Client, "raw", lambda client, path: api.call(client, "GET", path))
    return api


@pytest.fixture
def run(api: Api, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """The command as a user types it: exit code, standard output, standard error."""

    def typed(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["xdpctl", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    return typed


def test_block_sends_only_the_given_fields(api: Api, run: Run) -> None:
    api.answers["POST", "/v1/rules"] = ADDED
    code, out, err = run("block", "203.0.113.7", "--ttl", "15m", "--tag", "a", "--tag", "b")
    assert code == 0
    ((_, _, more),) = api.calls
    assert more["json"] == {
        "match": {"source": "203.0.113.7"},
        "action": "drop",
        "mode": "enforce",
        "ttl": "15m",
        "tags": ["a", "b"],
    }
    assert "added: drop 203.0.113.7/32" in out
    assert "take care" in err


def test_allow_monitor_and_confirm_within_send_the_right_fields(api: Api, run: Run) -> None:
    api.answers["POST", "/v1/rules"] = {**ADDED, "confirm_in": 60.0, "mode": "monitor"}
    _, out, _ = run("block", "10.0.0.1", "--monitor", "--confirm-within", "1m")
    assert "monitor" in out
    assert "xdpctl confirm 203.0.113.7/32" in out
    run("allow", "10.0.0.1", "--reason", "ours")
    assert api.calls[0][2]["json"]["mode"] == "monitor"
    assert api.calls[0][2]["json"]["confirm_within"] == "1m"
    assert api.calls[1][2]["json"]["action"] == "accept"


@pytest.mark.parametrize(
    ("arguments", "method", "path"),
    [
        (["unblock", "203.0.113.7"], "DELETE", "/v1/rules/203.0.113.7_32"),
        (["why", "203.0.113.0/24"], "GET", "/v1/rules/203.0.113.0_24"),
        (["why", "203.0.113.0_24"], "GET", "/v1/rules/203.0.113.0_24"),
        (["confirm", "2001:db8::/32"], "POST", "/v1/rules/2001:db8::_32/confirm"),
    ],
)
def test_json_output_is_the_response_of_the_api(
    api: Api, run: Run, arguments: list[str], method: str, path: str
) -> None:
    api.answers[method, path] = ADDED
    code, out, _ = run(*arguments, "--json")
    assert code == 0
    assert json.loads(out) == ADDED
    code, out, _ = run(*arguments)
    assert code == 0
    assert "203.0.113.7/32" in out


def test_list_reads_every_page(api: Api, run: Run) -> None:
    pages = [{"rules": [RULE], "next": "x"}, {"rules": [RULE], "next": None}]
    api.answers["GET", "/v1/rules"] = list(pages)
    _, out, _ = run("list", "--action", "drop", "--within", "10.0.0.0/8", "--json")
    assert json.loads(out) == [RULE, RULE]
    queries = [more["params"] for _, _, more in api.calls]
    assert queries[0] == {"limit": 10_000, "action": "drop", "within": "10.0.0.0/8"}
    assert queries[1]["cursor"] == "x"
    api.answers["GET", "/v1/rules"] = [{"rules": [], "next": None}]
    assert "no rules" in run("list")[1]
    api.answers["GET", "/v1/rules"] = [{"rules": [RULE], "next": None}]
    assert "203.0.113.7/32" in run("list")[1]


def test_list_fetches_no_page_that_is_not_shown(api: Api, run: Run) -> None:
    api.answers["GET", "/v1/rules"] = [{"rules": [RULE, RULE], "next": "x"}]
    assert run("list", "--limit", "2")[0] == 0
    assert len(api.calls) == 1


def test_an_export_imports_to_the_same_rules(api: Api, run: Run, tmp_path: Path) -> None:
    timed = {**RULE, "expires_in": 59.98765, "mode": "monitor"}
    api.answers["GET", "/v1/rules"] = [{"rules": [RULE, timed], "next": None}]
    _, out, _ = run("export")
    first, second = map(json.loads, out.splitlines())
    assert first == {key: RULE[key] for key in ("match", "action", "mode", "reason", "tags")}
    assert second == {**first, "mode": "monitor", "ttl": 59.988}
    api.answers["POST", "/v1/rules/bulk"] = {
        **{"added": 2, "extended": 0, "rejected": 0, "rejects": [], "dry_run": False}
    }
    file = tmp_path / "rules.ndjson"
    file.write_text(out)
    code, said, _ = run("import", str(file), "--ttl", "1h")
    assert code == 0
    assert "2 added, 0 extended, 0 rejected" in said
    more = api.calls[-1][2]
    assert more["content"] == out.encode()
    assert more["headers"] == {"content-type": "application/x-ndjson"}
    assert more["params"] == {"action": "drop", "mode": "enforce", "ttl": "1h"}


def test_a_plain_export_is_a_list_of_sources(api: Api, run: Run) -> None:
    api.answers["GET", "/v1/rules"] = [{"rules": [RULE], "next": None}]
    assert run("export", "--plain")[1] == "203.0.113.7/32\n"


@pytest.mark.parametrize(
    ("name", "options", "media"),
    [
        ("a.txt", [], "text/plain"),
        ("a.csv", [], "text/csv"),
        ("a.jsonl", [], "application/x-ndjson"),
        ("a.txt", ["--format", "csv"], "text/csv"),
        ("a.csv", ["--format", "plain"], "text/plain"),
        ("a", ["--format", "ndjson"], "application/x-ndjson"),
    ],
)
def test_rejected_lines_are_shown_and_exit_with_1(
    api: Api, run: Run, tmp_path: Path, name: str, options: list[str], media: str
) -> None:
    rejects = [{"line": 2, "text": "x", "error": "'x' is not a prefix", "fix": ""}]
    result = {"added": 1, "extended": 0, "rejected": 1, "rejects": rejects, "dry_run": True}
    api.answers["POST", "/v1/rules/bulk"] = result
    (tmp_path / name).write_text("10.0.0.1\nx\n")
    code, out, err = run("import", str(tmp_path / name), "--dry-run", *options)
    assert code == 1
    assert "1 would be added" in out
    assert "line 2: 'x' is not a prefix" in err
    assert api.calls[0][2]["headers"] == {"content-type": media}
    assert api.calls[0][2]["params"]["dry_run"] is True
    assert json.loads(run("import", str(tmp_path / name), "--json")[1]) == result


def test_a_refusal_prints_its_fix_and_exits_with_1(api: Api, run: Run) -> None:
    problem = {"status": 409, "detail": "it is protected", "fix": "use mode monitor"}
    api.answers["POST", "/v1/rules"] = Refused(problem)
    code, out, err = run("block", "10.0.0.1")
    assert (code, out) == (1, "")
    assert "it is protected" in err
    assert "fix: use mode monitor" in err
    assert json.loads(run("block", "10.0.0.1", "--json")[2]) == problem


def test_an_invalid_prefix_exits_with_1_before_any_request(api: Api, run: Run) -> None:
    code, _, err = run("unblock", "nonsense")
    assert code == 1
    assert "not an IPv4 or IPv6 prefix" in err
    assert not api.calls


def test_a_missing_control_plane_exits_with_3(api: Api, run: Run) -> None:
    api.answers["GET", "/v1/status"] = Unreachable("nothing answers")
    code, _, err = run("status")
    assert code == 3
    assert "nothing answers" in err


@pytest.mark.parametrize(
    "arguments",
    [["block"], ["nothing"], ["list", "--no"], ["bypass", "perhaps"], ["import", "/no/such/file"]],
)
def test_wrong_usage_exits_with_2(api: Api, run: Run, arguments: list[str]) -> None:
    code, _, err = run(*arguments)
    assert code == 2
    assert err
    assert not api.calls


def test_a_wrong_setting_exits_with_78(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    path.write_text("capacty = 1")
    code, _, err = run("run", "--config", str(path))
    assert code == os.EX_CONFIG
    assert "did you mean capacity?" in err.replace("\n", " ")


def test_a_socket_without_a_listener_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["xdpctl", "--socket", str(tmp_path / "none.sock"), "status"]
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 3
    assert "xdpctl run" in capsys.readouterr().err.replace("\n", " ")


def test_the_version_and_the_help_need_no_control_plane() -> None:
    assert CliRunner().invoke(app, ["--version"]).output.strip() == __version__
    assert "block" in CliRunner().invoke(app, ["--help"]).output


def test_a_rule_on_a_match_is_removed_by_its_id_or_its_match(api: Api, run: Run) -> None:
    identity = text.parse("udp src-port 53").id
    rule = {**RULE, "id": identity, "match": {"protocol": "udp"}, "text": "proto udp src-port 53"}
    api.answers["DELETE", f"/v1/rules/{identity}"] = {**rule, "origin": "configured"}
    for name in (identity, "proto udp src-port 53"):
        code, out, err = run("unblock", name)
        assert (code, out.startswith("removed: drop proto udp src-port 53")) == (0, True)
        assert "returns at the next start" in err


@pytest.mark.parametrize(
    ("given", "pps"), [("5000", 5000), ("5k", 5000), ("1.5M", 1_500_000), ("2G", 2e9)]
)
def test_rates_have_units(api: Api, run: Run, given: str, pps: float) -> None:
    api.answers["POST", "/v1/rules"] = ADDED
    run("limit", "--match", "udp", "--pps", given, "--per", "/24")
    body = api.calls[0][2]["json"]
    assert body["limit"] == {
        "pps": pps,
        "burst": "0.1",
        "per": "/24",
    }
    assert run("limit", "--match", "udp", "--pps", "nan")[0] == 2
