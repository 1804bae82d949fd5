# SPDX-License-Identifier: GPL-2.0-or-later
"""The commands that remove, undo, edit and release: what they ask, say and return."""

from typing import Any

import pytest

from tests.unit.cli.test_cli import ADDED, RULE, Api, Run, api, run
from xdpctl.errors import Refused

__all__ = ["api", "run"]  # the fixtures
MANY: dict[str, Any] = {
    "rules": 12,
    "first": [
        {"id": f"203.0.113.{n}_32", "text": f"203.0.113.{n}/32", "action": "drop"}
        for n in range(12)
    ],
    "missing": [],
    "dry_run": True,
    "change": None,
}
GONE = {**MANY, "dry_run": False, "change": 17}
CHANGE = {
    "number": 17,
    "at": "2026-11-26T08:19:00.5Z",
    "actor": "root",
    "action": "rule.add",
    "subject": "203.0.113.7_32",
    "records": 1,
    "undoes": None,
}
UNDONE: dict[str, Any] = {
    "restored": 3,
    "kept": 0,
    "reasons": [],
    "dry_run": False,
    "change": 18,
}


def queries(api: Api) -> list[dict[str, Any]]:
    found = [more["params"] for method, _, more in api.calls if method == "DELETE"]
    return [{k: v for k, v in query.items() if v is not None} for query in found]


def test_rules_that_match_a_filter_are_counted_and_then_removed(api: Api, run: Run) -> None:
    api.answers["DELETE", "/v1/rules"] = [MANY, GONE]
    code, out, _ = run("unblock", "--tag", "night", "--within", "203.0.113.0/24", "--yes")
    assert (code, out) == (0, "removed 12 rules\n  undo it with: xdpctl undo 17\n")
    same = {"tag": "night", "within": "203.0.113.0/24"}
    assert queries(api) == [{**same, "dry_run": True}, {**same, "count": 12}]


def test_a_dry_run_names_the_rules_and_removes_none(api: Api, run: Run) -> None:
    api.answers["DELETE", "/v1/rules"] = [MANY]
    code, out, err = run("unblock", "--all", "--dry-run")
    assert (code, out) == (0, "would remove 12 rules\n")
    assert "drop 203.0.113.9/32" in err
    assert "… and 2 more" in err


def test_without_a_terminal_to_confirm_nothing_is_removed(api: Api, run: Run) -> None:
    api.answers["DELETE", "/v1/rules"] = [MANY]
    code, _, err = run("unblock", "--origin", "fastnetmon")
    assert (code, len(api.calls)) == (1, 1)
    assert "--yes" in err


def test_several_named_rules_are_removed_without_a_question(api: Api, run: Run) -> None:
    api.answers["DELETE", "/v1/rules"] = [
        {**MANY, "rules": 1, "missing": ["203.0.113.9_32"]},
        {**GONE, "rules": 1, "missing": ["203.0.113.9_32"]},
    ]
    code, out, err = run("unblock", "203.0.113.7", "203.0.113.9")
    assert code == 1, "one was not there"
    assert out.startswith("removed 1 rule\n")
    assert "there is no rule 203.0.113.9/32" in err
    assert queries(api)[0]["id"] == ["203.0.113.7_32", "203.0.113.9_32"]


def test_naming_no_rule_is_wrong_usage(api: Api, run: Run) -> None:
    assert run("unblock")[0] == 2
    assert run("undo")[0] == 2
    assert run("undo", "17", "--since", "10m")[0] == 2
    assert run("undo", "17", "--origin", "fastnetmon")[0] == 2
    assert run("edit", "203.0.113.7")[0] == 2
    assert not api.calls


def test_the_history_has_the_numbers_to_undo(api: Api, run: Run) -> None:
    back = {**CHANGE, "number": 18, "action": "change.undo", "subject": "17", "undoes": 17}
    api.answers["GET", "/v1/history"] = {"changes": [back, CHANGE], "next": None}
    code, out, _ = run("history", "--limit", "5")
    assert code == 0
    head, first, second = out.splitlines()
    assert head.split() == ["change", "at", "by", "what", "on", "records"]
    assert first.split()[:2] == ["18", "2026-11-26"]
    assert "change.undo of 17" in first
    assert "203.0.113.7/32" in second
    api.answers["GET", "/v1/history"] = {"changes": [], "next": None}
    assert run("history")[1] == "nobody has changed anything yet\n"


def test_an_undo_says_what_it_did_and_how_to_take_it_back(api: Api, run: Run) -> None:
    api.answers["POST", "/v1/history/17/undo"] = UNDONE
    code, out, _ = run("undo", "17")
    assert (code, out) == (0, "change 17: put back 3 records\n  undo it with: xdpctl undo 18\n")


def test_an_undo_names_what_it_left_unchanged(api: Api, run: Run) -> None:
    kept = {"subject": "203.0.113.7/32", "why": "it has been changed since"}
    api.answers["POST", "/v1/history/17/undo"] = {**UNDONE, "kept": 30, "reasons": [kept] * 30}
    code, _, err = run("undo", "17")
    assert code == 1
    assert "not put back: 203.0.113.7/32: it has been changed since" in err
    assert "… and 10 more" in err


@pytest.mark.parametrize(("changed", "verb"), [(True, "changed: "), (False, "unchanged")])
def test_an_edit_says_whether_anything_changed(
    api: Api, run: Run, changed: bool, verb: str
) -> None:
    path = "/v1/rules/203.0.113.7_32"
    api.answers["PATCH", path] = {**ADDED, "changed": changed, "change": 19, "warnings": []}
    code, out, _ = run("edit", "203.0.113.7", "--ttl", "none", "--tag", "a", "--pps", "5k")
    assert code == 0
    assert out.startswith(verb)
    assert ("xdpctl undo 19" in out) == changed
    (call,) = api.calls
    limit = {"pps": 5000.0, "burst": "0.1", "per": "all"}
    assert call == ("PATCH", path, {"json": {"tags": ["a"], "limit": limit, "ttl": None}})


def test_a_release_says_how_long_it_lasts_and_what_it_removed(api: Api, run: Run) -> None:
    api.answers["POST", "/v1/releases"] = {
        **ADDED,
        "action": "accept",
        "expires_in": 3600,
        "removed": 1,
        "change": 20,
        "warnings": [],
    }
    code, out, _ = run("release", "203.0.113.7", "--for", "1h", "--ticket", "4711")
    assert code == 0
    assert out == (
        "released: 203.0.113.7/32 passes, ends in 1h; 1 rule of a detector removed\n"
        "  undo it with: xdpctl undo 20\n"
    )
    body = {"source": "203.0.113.7", "ttl": "1h", "ticket": "4711", "reason": ""}
    assert api.calls == [("POST", "/v1/releases", {"json": body})]


def test_an_unchanged_rule_is_not_called_changed(api: Api, run: Run) -> None:
    again = {**ADDED, "created": False, "changed": False, "warnings": ["the ttl was not applied"]}
    api.answers["POST", "/v1/rules"] = again
    _, out, err = run("block", "203.0.113.7", "--ttl", "10m")
    assert out.startswith("unchanged: drop 203.0.113.7/32")
    assert "the ttl was not applied" in err


def test_the_rule_that_still_covers_a_source_is_named(api: Api, run: Run) -> None:
    problem = {"status": 404, "detail": "there is no rule on 203.0.113.7/32; it is covered"}
    api.answers["DELETE", "/v1/rules/203.0.113.7_32"] = Refused(problem)
    code, _, err = run("unblock", "203.0.113.7")
    assert code == 1
    assert "it is covered" in err


def test_a_rule_that_is_not_provisional_is_not_called_confirmed(api: Api, run: Run) -> None:
    path = "/v1/rules/203.0.113.7_32/confirm"
    api.answers["POST", path] = {**ADDED, "changed": False, "warnings": ["it is not provisional"]}
    code, out, err = run("confirm", "203.0.113.7")
    assert code == 0
    assert out.startswith("nothing to confirm: 203.0.113.7/32")
    assert "it is not provisional" in err


@pytest.mark.parametrize("option", ["--ttl", "--confirm-within"])
def test_an_empty_duration_is_refused_not_ignored(api: Api, run: Run, option: str) -> None:
    code, _, err = run("block", "203.0.113.7", option, "")
    assert (code, api.calls) == (2, [])
    assert "it is empty" in err


def test_a_plain_export_has_only_drops_and_says_what_it_left_out(api: Api, run: Run) -> None:
    accept = {**RULE, "action": "accept", "match": {"source": "198.51.100.1/32"}}
    watched = {**RULE, "mode": "monitor"}
    api.answers["GET", "/v1/rules"] = {"rules": [RULE, accept, watched], "next": None}
    code, out, err = run("export", "--plain")
    assert (code, out) == (0, "203.0.113.7/32\n")
    assert "2 rules" in err


def test_the_output_says_that_a_rule_inside_a_protected_prefix_has_no_effect(
    api: Api, run: Run
) -> None:
    held = {**RULE, "mode": "monitor", "statistics": None, "slot": 1}
    api.answers["GET", "/v1/rules/203.0.113.7_32"] = held
    assert "its prefix is protected" in run("why", "203.0.113.7/32")[1]


@pytest.mark.parametrize("option", ["--force", "--dry-run"])
def test_options_that_need_a_change_number_are_refused_without_one(
    api: Api, run: Run, option: str
) -> None:
    code, _, err = run("undo", "--since", "5m", option)
    assert code == 2
    assert f"{option} needs the number of a change" in err
