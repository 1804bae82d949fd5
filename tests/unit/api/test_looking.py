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
