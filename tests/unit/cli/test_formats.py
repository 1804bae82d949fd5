# SPDX-License-Identifier: GPL-2.0-or-later
"""Formats: tables for people; JSON, YAML and CSV for programs; what an interruption says."""

import csv
import io
import json
import sys
from typing import Any

import pytest
import typer
import yaml

from tests.unit.cli.test_cli import ADDED, RULE, Api, Run, api, run
from xdpctl.cli import main, output
from xdpctl.cli.app import app
from xdpctl.cli.formats import Format, Lines, printed, with_json
from xdpctl.client import Client
from xdpctl.errors import Unreachable

__all__ = ["api", "run"]
SIGNED = {
    **RULE,
    "id": "m-1",
    "text": "tcp dst-port 80",
    "match": {"protocol": "tcp", "destination_port": "80"},
    "limit": {"pps": 10.0, "bps": None, "per": "all"},
    "reason": 'said "stop", twice\u2028',
}


def _listed(api: Api, run: Run, *options: str) -> str:
    api.answers["GET", "/v1/rules"] = [{"rules": [RULE, SIGNED], "next": None}]
    code, out, err = run("list", *options)
    assert (code, err) == (0, "")
    return out


@pytest.mark.parametrize("option", [["--json"], ["-o", "json"], ["-ojson"], ["--output", "json"]])
def test_json_output_is_the_same_however_it_is_requested(
    api: Api, run: Run, option: list[str]
) -> None:
    assert json.loads(_listed(api, run, *option)) == [RULE, SIGNED]


def test_yaml_reads_back_to_the_same(api: Api, run: Run) -> None:
    out = _listed(api, run, "-o", "yaml")
    assert yaml.safe_load(out) == [RULE, SIGNED]
    assert out.isascii(), "what others wrote must not reach a terminal as control characters"


def test_csv_has_one_line_per_record_with_all_columns(api: Api, run: Run) -> None:
    first, second = csv.DictReader(io.StringIO(_listed(api, run, "-o", "csv")))
    assert first["match.source"] == "203.0.113.7/32"
    assert second["match.source"] == ""
    assert second["match.destination_port"] == "80"
    assert second["limit.pps"] == "10.0"
    assert second["reason"] == SIGNED["reason"]
    assert first["tags"] == "a"
    assert first["expires_at"] == ""


@pytest.mark.parametrize("reason", ['=cmd("calc")', "+1", "-2+3", "@SUM(A1)"])
def test_csv_contains_no_foreign_formula(capsys: pytest.CaptureFixture[str], reason: str) -> None:
    printed([{"reason": reason, "tags": [reason], "packets": -1}], Format.CSV)
    (row,) = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert (row["reason"], row["tags"], row["packets"]) == (f"'{reason}", f"'{reason}", "-1")


def test_a_wide_table_has_the_columns_that_a_table_leaves_out(api: Api, run: Run) -> None:
    narrow, wide = (_listed(api, run, "-o", form).splitlines() for form in ("table", "wide"))
    assert _listed(api, run).splitlines() == narrow
    assert {"spare", "priority", "since", "tags"} <= set(wide[0].split()) - set(narrow[0].split())
    assert "2026-11-24 00:00:00" in wide[1]


def test_one_record_is_one_line_of_csv(api: Api, run: Run) -> None:
    api.answers["POST", "/v1/rules"] = ADDED
    code, out, _ = run("block", "203.0.113.7", "-o", "csv")
    (row,) = csv.DictReader(io.StringIO(out))
    assert code == 0
    assert row["id"] == "203.0.113.7_32"


def test_lines_come_one_by_one(capsys: pytest.CaptureFixture[str]) -> None:
    values: list[dict[str, Any]] = [{"a": 1, "b": {"c": [1, 2]}}, {"a": 2}]
    for form in (Format.JSON, Format.YAML):
        lines = Lines(form)
        for value in values:
            lines.print(value)
        out = capsys.readouterr().out
        documents = map(json.loads, out.splitlines()) if form is Format.JSON else None
        assert list(documents or yaml.safe_load_all(out)) == values
    rows = Lines(Format.CSV)
    for value in values:
        rows.print(value)
    assert capsys.readouterr().out == "a,b.c\n1,1 2\n2,\n"


@pytest.mark.parametrize("value", [[], {}, [True, False], [{"deep": [{"x": 1}]}]])
@pytest.mark.parametrize("form", Format)
def test_any_value_can_be_printed_in_any_format(
    capsys: pytest.CaptureFixture[str], value: Any, form: Format
) -> None:
    assert printed(value, form) == form.for_programs
    out = capsys.readouterr().out
    if form is Format.YAML:
        assert yaml.safe_load(out) == value


def test_json_is_available_wherever_a_format_is() -> None:
    def commands(group: Any) -> list[Any]:
        inner = [commands(each) for each in getattr(group, "commands", {}).values()]
        return [group, *(one for found in inner for one in found)]

    root: Any = typer.main.get_command(app)
    context = typer.Context(root)
    names = root.list_commands(context)
    loaded = [root.get_command(context, name) for name in names]
    taking = [
        [option for parameter in each.params for option in parameter.opts]
        for command in loaded
        for each in commands(command)
    ]
    both = [options for options in taking if "--output" in options]
    assert len(both) > 30
    assert all(options.count("--json") == 1 for options in both)
    assert with_json(loaded[0]) is loaded[0]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["list"], "interrupted before the answer came; nothing was changed"),
        (["block", "203.0.113.7"], "The change may have been made"),
    ],
)
def test_an_interruption_says_what_was_done(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    said: str,
) -> None:
    monkeypatch.setattr(Client, "_connection", _interrupted)
    monkeypatch.setattr(sys, "argv", ["xdpctl", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 130
    assert said in capsys.readouterr().err


def test_an_interruption_outside_a_request_says_so(
    api: Api, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.answers["GET", "/v1/rules"] = {"rules": [RULE], "next": None}
    monkeypatch.setattr(output, "rules_table", _interrupted)
    code, out, err = run("list")
    assert (code, out) == (130, "")
    assert err == "xdpctl: interrupted; no change was under way\n"


def _interrupted(*_: Any) -> Any:
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    "arguments", [["list"], ["list", "--limit", "0"], ["why", "nosuch"], ["nosuch"]]
)
def test_with_json_output_every_error_is_json(api: Api, run: Run, arguments: list[str]) -> None:
    api.answers["GET", "/v1/rules"] = Unreachable("nothing answers")
    code, out, err = run(*arguments, "--json")
    assert (out, bool(code)) == ("", True)
    found = json.loads(err)
    assert found["exit_code"] == code
    assert found["detail"]
