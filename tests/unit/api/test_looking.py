# SPDX-License-Identifier: GPL-2.0-or-later
"""Searching the audit log, and finding the rules that hit most."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.apiclient import Api, problem, running
from xdpctl.abi.structs import Hits


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    with running(tmp_path) as api:
        yield api


def audit(api: Api, **query: Any) -> list[tuple[str, str]]:
    answer = api.call("GET", "/v1/audit", params=query)
    assert answer.status_code == 200, answer.text
    return [(record["action"], record["subject"]) for record in answer.json()["records"]]


@pytest.mark.parametrize("last", ["true", "false"])
def test_the_audit_log_is_filtered_and_paged_through(
    api: Api, monkeypatch: pytest.MonkeyPatch, last: str
) -> None:
    monkeypatch.setattr("xdpctl.control.store.audit_search._PAGE", 3)
    for number in range(5):
        api.add(f"203.0.113.{number}")
    api.clock.advance(3600)
    api.call("DELETE", "/v1/rules/203.0.113.1_32")
    api.put("bad", "192.0.2.0/24\n")
    added = [("rule.add", f"203.0.113.{number}_32") for number in range(5)]
    removed = ("rule.remove", "203.0.113.1_32")
    assert audit(api, action="rule.add", last=last) == added
    assert audit(api, action="rule.", last=last) == [*added, removed]
    assert audit(api, object="203.0.113.1_32", last=last) == [added[1], removed]
    assert audit(api, since="10m", last=last) == [removed, ("set.add", "bad")]
    assert audit(api, actor="nobody", last=last) == []
    assert audit(api, actor="root", action="set.", last=last) == [("set.add", "bad")]
    two = added[-2:] if last == "true" else added[:2]
    assert audit(api, action="rule.add", limit=2, last=last) == two


def test_bad_filters_name_the_field(api: Api) -> None:
    refused = api.call("GET", "/v1/audit", params={"since": "yesterday"})
    assert problem(refused, 400, "bad-request")["field"] == "since"
    assert api.call("GET", "/v1/audit", params={"actr": "root"}).status_code == 400


def test_the_rules_that_hit_most_come_first(api: Api) -> None:
    for number in range(4):
        slot = api.add(f"203.0.113.{number}")["slot"]
        api.datapath.hit_values[slot] = Hits(10 * (number % 3), 0).pack()
    found = api.call("GET", "/v1/rules", params={"sort": "hits", "limit": 2}).json()
    assert [rule["packets"] for rule in found["rules"]] == [20, 10]
    assert found["next"] is None
    refused = api.call("GET", "/v1/rules", params={"sort": "hits", "cursor": "203.0.113.1_32"})
    assert problem(refused, 400, "bad-request")["field"] == "cursor"
    assert api.call("GET", "/v1/rules", params={"sort": "name"}).status_code == 400


@pytest.mark.parametrize(
    ("path", "cursor"),
    [
        *(("/v1/incidents", bad) for bad in ("nan;a", "inf;a", "1e400;a", "1_0;a", " 1;a", "-1;a")),
        *(("/v1/incidents", bad) for bad in ("1700000000", ";", "x", "")),
        *(("/v1/history", bad) for bad in ("x", "-1", "0" * 20 + "9" * 100, "9" * 19, "\u0661")),
        *(("/v1/audit", bad) for bad in ("x", "9" * 19)),
        *(("/v1/served", bad) for bad in ("x", "9" * 30)),
    ],
)
def test_a_cursor_that_no_answer_had_is_refused(api: Api, path: str, cursor: str) -> None:
    refused = problem(api.call("GET", path, params={"cursor": cursor}), 400, "bad-request")
    assert refused["field"] == "cursor"


def test_incidents_are_listed_page_by_page(api: Api) -> None:
    for number in range(5):
        api.call("POST", "/v1/incidents", json={"victim": f"198.51.100.{number}"})
        api.clock.advance(1 if number % 2 else 0)
    seen, cursor = [], None
    while True:
        query = {"limit": 2} | ({"cursor": cursor} if cursor else {})
        page = api.call("GET", "/v1/incidents", params=query).json()
        seen += [each["subject"] for each in page["incidents"]]
        cursor = page["next"]
        if cursor is None:
            break
    assert sorted(seen) == [f"198.51.100.{number}/32" for number in range(5)]
    assert len(seen) == len(set(seen))
    found = api.call("GET", "/v1/incidents", params={"victim": "198.51.100.3"}).json()
    assert [each["subject"] for each in found["incidents"]] == ["198.51.100.3/32"]


def test_the_last_page_has_no_next_page(api: Api) -> None:
    for number in range(3):
        api.add(f"203.0.113.{number}")
    assert api.call("GET", "/v1/history", params={"limit": 3}).json()["next"] is None
    records = api.call("GET", "/v1/audit").json()["records"]
    query = {"limit": len(records)}
    assert api.call("GET", "/v1/audit", params=query).json()["next"] is None
    assert api.call("GET", "/v1/audit", params=query | {"last": True}).json()["next"] is None
