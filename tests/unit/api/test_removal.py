# SPDX-License-Identifier: GPL-2.0-or-later
"""Many rules are removed at once: all that match, or none."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.apiclient import Api, problem, running
from tests.unit.api.test_history import RULE_ON_MATCH, rules, undo


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    with running(tmp_path) as api:
        yield api


def remove(api: Api, **query: Any) -> dict[str, Any]:
    answer = api.call("DELETE", "/v1/rules", params=query)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_all_that_match_are_removed_at_once_and_come_back_with_an_undo(api: Api) -> None:
    for number in range(4):
        api.add(f"203.0.113.{number}", tags=["night"])
    api.add("198.51.100.1", action="accept")
    api.call("POST", "/v1/rules", json={**RULE_ON_MATCH, "tags": ["night"]})
    before = rules(api)
    dry = remove(api, tag="night", dry_run="true")
    assert (dry["rules"], dry["change"]) == (5, None)
    assert rules(api) == before
    gone = remove(api, tag="night", count=5)
    assert gone["rules"] == 5
    assert {one["id"] for one in gone["first"]} == before.keys() - {"198.51.100.1_32"}
    assert rules(api).keys() == {"198.51.100.1_32"}
    undo(api, gone["change"])
    assert rules(api) == before


@pytest.mark.parametrize(
    ("query", "left"),
    [
        ({"within": "203.0.113.0/24"}, {"198.51.100.1_32"}),
        ({"origin": "operator"}, set()),
        ({"all": "true"}, set()),
        ({"action": "accept"}, {"203.0.113.7_32"}),
        ({"since": "30s"}, {"203.0.113.7_32"}),
        ({"id": ["203.0.113.7_32"]}, {"198.51.100.1_32"}),
    ],
)
def test_a_filter_selects_the_rules_to_remove(
    api: Api, query: dict[str, Any], left: set[str]
) -> None:
    api.add("203.0.113.7")
    api.clock.advance(60)
    api.add("198.51.100.1", action="accept")
    count = remove(api, **query, dry_run="true")["rules"]
    remove(api, **query, count=count)
    assert rules(api).keys() == left


def test_a_wrong_count_removes_nothing(api: Api) -> None:
    api.add("203.0.113.7")
    answer = api.call("DELETE", "/v1/rules", params={"all": "true", "count": 2})
    assert problem(answer, 409, "conflict")["field"] == "count"
    assert len(rules(api)) == 1


@pytest.mark.parametrize(
    ("query", "field"),
    [({}, "all"), ({"dry_run": "true"}, "all"), ({"tag": "x"}, "count"), ({"all": "false"}, "all")],
)
def test_a_removal_without_a_filter_or_count_is_refused(
    api: Api, query: dict[str, str], field: str
) -> None:
    answer = api.call("DELETE", "/v1/rules", params=query)
    assert problem(answer, 400, "bad-request")["field"] == field


def test_unknown_parameters_are_refused(api: Api) -> None:
    assert api.call("DELETE", "/v1/rules", params={"tags": "x", "count": 1}).status_code == 400
    assert api.call("GET", "/v1/rules", params={"tags": "x"}).status_code == 400


def test_missing_ids_are_named(api: Api) -> None:
    api.add("203.0.113.7")
    gone = remove(api, id=["203.0.113.7_32", "203.0.113.8_32"], count=1)
    assert (gone["rules"], gone["missing"]) == (1, ["203.0.113.8_32"])


def test_a_removal_names_the_wider_rule_that_still_covers_the_source(api: Api) -> None:
    api.add("203.0.113.0/24")
    answer = api.call("DELETE", "/v1/rules/203.0.113.7_32")
    detail = problem(answer, 404, "not-found")["detail"]
    assert "203.0.113.0/24" in detail
    assert "xdpctl allow 203.0.113.7" in detail
