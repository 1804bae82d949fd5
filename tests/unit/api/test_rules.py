# SPDX-License-Identifier: GPL-2.0-or-later
"""Single rules over HTTP: every status, and every error names the field and the fix."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.apiclient import Api, pieces, problem, running
from xdpctl.abi.constants import SlotNumber
from xdpctl.abi.structs import Hits
from xdpctl.base.net.prefix import parse_prefix
from xdpctl.model.protection import CONFIGURED

HOST = "203.0.113.7"
PATH = "/v1/rules/203.0.113.7_32"


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    with running(tmp_path, capacity=8, protection={"192.0.2.0/24": CONFIGURED}) as api:
        yield api


def sources(answer: Any) -> list[str]:
    return [rule["match"]["source"] for rule in answer.json()["rules"]]


def test_a_new_rule_is_201_with_its_location_and_in_the_kernel(api: Api) -> None:
    body = {"match": {"source": HOST}, "ttl": "15m", "reason": "flood", "tags": ["a"]}
    answer = api.call("POST", "/v1/rules", json=body)
    rule = answer.json()
    assert answer.status_code == 201
    assert answer.headers["location"] == PATH
    assert answer.headers["etag"] == f'"{rule["etag"]}"'
    assert rule["in_kernel"]
    assert rule["slot"] == SlotNumber.FIRST
    assert rule["created"]
    assert rule["expires_in"] == 900
    assert rule["action"] == "drop"
    assert f"{HOST}/32" in api.datapath.held()
    assert api.call("GET", answer.headers["location"]).json()["reason"] == "flood"


def test_the_same_again_is_200_and_extends_it(api: Api) -> None:
    api.add(HOST, ttl=60)
    api.clock.advance(30)
    again = api.add(HOST, status=200, ttl=60)
    assert not again["created"]
    assert again["expires_in"] == 60


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"match": {"source": "203.0.113.7/24"}}, "match.source"),
        ({"match": {"source": "nonsense"}}, "match.source"),
        ({"match": {"source": HOST}, "ttl": "soon"}, "ttl"),
        ({"match": {"source": HOST}, "ttl": 0}, "ttl"),
        ({"match": {"source": HOST}, "confirm_within": "2h"}, "confirm_within"),
        ({"match": {"source": HOST}, "tags": ["No Name"]}, "tags"),
        ({"match": {"source": HOST}, "tags": ["a"] * 17}, "tags"),
        ({"match": {"source": HOST}, "reason": "x" * 501}, "reason"),
    ],
)
def test_a_wrong_rule_is_400_with_field_and_fix(api: Api, body: dict[str, Any], field: str) -> None:
    found = problem(api.call("POST", "/v1/rules", json=body), 400, "bad-request")
    assert found["field"] == field
    assert found["fix"]
    assert not api.datapath.held().keys() - {"192.0.2.0/24"}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "match"),
        ({"match": {"source": HOST, "prot": 53}}, "match.prot"),
        ({"match": {"source": HOST}, "acton": "drop"}, "acton"),
        ({"match": {"source": HOST}, "action": "reject"}, "action"),
        ({"match": {"source": "1" * 65}}, "match.source"),
    ],
)
def test_a_wrong_shape_is_400_and_names_the_field(
    api: Api, body: dict[str, Any], field: str
) -> None:
    found = problem(api.call("POST", "/v1/rules", json=body), 400, "bad-request")
    assert found["field"] == field
    assert found["errors"][0]["message"]


def test_a_body_that_is_not_json_is_400(api: Api) -> None:
    headers = {"content-type": "application/json"}
    problem(api.call("POST", "/v1/rules", content=b"{", headers=headers), 400, "bad-request")


def test_a_contradiction_is_409(api: Api) -> None:
    api.add(HOST)
    body = {"match": {"source": HOST}, "action": "accept"}
    found = problem(api.call("POST", "/v1/rules", json=body), 409, "conflict")
    assert "DELETE /v1/rules/203.0.113.7_32" in found["fix"]


def test_a_protected_source_is_409_but_may_be_monitored(api: Api) -> None:
    body = {"match": {"source": "192.0.2.9"}}
    found = problem(api.call("POST", "/v1/rules", json=body), 409, "lockout")
    assert found["field"] == "match.source"
    api.add("192.0.2.9", mode="monitor")
    wide = api.add("192.0.0.0/16")
    assert "192.0.2.0/24" in wide["warnings"][0]


def test_the_last_free_slot_is_used_and_then_the_table_is_507(api: Api) -> None:
    for number in range(8):
        api.add(f"10.0.0.{number}")
    found = problem(
        api.call("POST", "/v1/rules", json={"match": {"source": HOST}}), 507, "capacity"
    )
    assert "8 rules" in found["detail"]


def test_a_store_or_kernel_that_fails_is_503(api: Api) -> None:
    body = {"match": {"source": HOST}}
    api.store.broken = True
    problem(api.call("POST", "/v1/rules", json=body), 503, "store")
    api.store.broken = False
    api.datapath.fail_after = 0
    problem(api.call("POST", "/v1/rules", json=body), 503, "datapath")
    assert not api.call("GET", "/v1/rules").json()["rules"]


def test_a_body_that_is_too_large_is_413_chunked_or_not(api: Api) -> None:
    body = b'{"match": {"source": "203.0.113.7"}, "reason": "' + b"x" * 70_000 + b'"}'
    headers = {"content-type": "application/json"}
    whole = api.call("POST", "/v1/rules", content=body, headers=headers)
    assert "/v1/rules/bulk" in problem(whole, 413, "too-large")["fix"]
    chunked = api.call("POST", "/v1/rules", content=pieces(body[:9], body[9:]), headers=headers)
    problem(chunked, 413, "too-large")


def test_a_small_chunked_body_is_read(api: Api) -> None:
    body = pieces(b'{"match": {"sour', b'ce": "203.0.113.7"}}')
    headers = {"content-type": "application/json"}
    assert api.call("POST", "/v1/rules", content=body, headers=headers).status_code == 201


def test_a_rule_that_does_not_exist_is_404(api: Api) -> None:
    for method, path in (("GET", PATH), ("DELETE", PATH), ("POST", f"{PATH}/confirm")):
        assert "no rule" in problem(api.call(method, path), 404, "not-found")["detail"]
    problem(api.call("PATCH", PATH, json={"reason": "x"}), 404, "not-found")
    assert problem(api.call("GET", "/v1/rules/nonsense"), 400, "bad-request")["field"] == "id"
    problem(api.call("GET", "/v1/nothing"), 404, "http")
    wrong = api.call("PUT", "/v1/rules")
    problem(wrong, 405, "http")
    assert wrong.headers["allow"]


def test_an_expired_rule_is_not_shown(api: Api) -> None:
    api.add(HOST, ttl=60)
    api.clock.advance(60)
    problem(api.call("GET", PATH), 404, "not-found")
    assert not sources(api.call("GET", "/v1/rules"))


def test_a_change_answers_with_the_rule_as_it_is_now(api: Api) -> None:
    api.add(HOST, ttl=60, tags=["a"])
    change = {"mode": "monitor", "ttl": None, "reason": "why", "tags": ["b"]}
    answer = api.call("PATCH", PATH, json=change)
    rule = answer.json()
    assert answer.status_code == 200
    assert (rule["mode"], rule["expires_in"], rule["tags"]) == ("monitor", None, ["b"])
    assert rule["in_kernel"]
    kept = api.call("PATCH", PATH, json={"ttl": "1h"}).json()
    assert (kept["mode"], kept["reason"], kept["expires_in"]) == ("monitor", "why", 3600)
    assert problem(api.call("PATCH", PATH, json={"ttl": -1}), 400, "bad-request")["field"] == "ttl"
    problem(api.call("PATCH", PATH, json={"source": "10.0.0.1"}), 400, "bad-request")


def test_if_match_refuses_a_change_of_a_newer_version(api: Api) -> None:
    old = api.add(HOST)["etag"]
    new = api.call("PATCH", PATH, json={"reason": "x"}, headers={"If-Match": f'"{old}"'})
    assert new.status_code == 200
    stale = {"If-Match": f'"{old}"'}
    problem(api.call("PATCH", PATH, json={"reason": "y"}, headers=stale), 412, "stale")
    problem(api.call("DELETE", PATH, headers=stale), 412, "stale")
    problem(api.call("POST", f"{PATH}/confirm", headers=stale), 412, "stale")
    assert api.call("GET", PATH).headers["etag"] == new.headers["etag"]
    for etag in ("*", new.headers["etag"]):
        assert api.call("POST", f"{PATH}/confirm", headers={"If-Match": etag}).status_code == 200
    weak = {"If-Match": f"W/{new.headers['etag']}"}
    assert api.call("DELETE", PATH, headers=weak).status_code == 200


def test_a_provisional_rule_is_confirmed_or_gone(api: Api) -> None:
    assert api.add(HOST, confirm_within=60)["confirm_in"] == 60
    answer = api.call("POST", f"{PATH}/confirm").json()
    assert answer["confirm_in"] is None
    api.add("203.0.113.8", confirm_within=60)
    api.clock.advance(60)
    gone = api.call("POST", "/v1/rules/203.0.113.8_32/confirm")
    problem(gone, 404, "not-found")
    assert api.call("GET", PATH).status_code == 200


def test_a_removed_rule_is_answered_with_its_last_counters(api: Api) -> None:
    api.add(HOST)
    api.datapath.hit(parse_prefix(HOST), Hits(23, 1481))
    answer = api.call("DELETE", PATH)
    assert (answer.json()["packets"], answer.json()["bytes"]) == (23, 1481)
    assert f"{HOST}/32" not in api.datapath.held()


def test_paging_by_address_survives_added_and_removed_rules(api: Api) -> None:
    for source in ("2001:db8::/32", "10.0.0.2", "10.0.0.1", "10.0.0.0/8"):
        api.add(source)
    first = api.call("GET", "/v1/rules?limit=2")
    assert sources(first) == ["10.0.0.0/8", "10.0.0.1/32"]
    api.call("DELETE", "/v1/rules/10.0.0.1_32")
    second = api.call("GET", f"/v1/rules?limit=2&cursor={first.json()['next']}")
    assert sources(second) == ["10.0.0.2/32", "2001:db8::/32"]
    assert second.json()["next"] is None
    problem(api.call("GET", "/v1/rules?limit=0"), 400, "bad-request")
    problem(api.call("GET", "/v1/rules?limit=10001"), 400, "bad-request")


def test_a_listed_rule_is_the_same_as_one_that_is_read(api: Api) -> None:
    api.add("10.0.0.1", ttl="1h", tags=["a", "b"], reason='said "stop"')
    api.add("2001:db8::/32", confirm_within="5m")
    limited = {"action": "limit", "limit": {"pps": 10, "per": "source"}}
    api.call("POST", "/v1/rules", json={"match": "tcp dst-port 80", **limited})
    listed = api.call("GET", "/v1/rules").json()["rules"]
    assert len(listed) == 3
    for rule in listed:
        assert api.call("GET", f"/v1/rules/{rule['id']}").json() == rule


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("begins=10.0.0.0", ["10.0.0.0/8"]),
        ("begins=10.0.0.0/8", ["10.0.0.0/8"]),
        ("begins=10.0.0.", ["10.0.0.0/8", "10.0.0.1/32", "10.0.0.2/32"]),
        ("begins=m-", []),
        ("action=accept", ["10.0.0.0/8"]),
        ("mode=monitor", ["10.0.0.2/32"]),
        ("tag=feed", ["10.0.0.1/32"]),
        ("origin=operator", ["10.0.0.0/8", "10.0.0.1/32", "10.0.0.2/32"]),
        ("origin=nobody", []),
        ("within=10.0.0.0/31", ["10.0.0.1/32"]),
        ("covering=10.0.0.1", ["10.0.0.0/8", "10.0.0.1/32"]),
        ("covering=10.0.0.1&action=drop", ["10.0.0.1/32"]),
    ],
)
def test_filters_narrow_a_list(api: Api, query: str, expected: list[str]) -> None:
    api.add("10.0.0.0/8", action="accept")
    api.add("10.0.0.1", tags=["feed"])
    api.add("10.0.0.2", mode="monitor")
    assert sources(api.call("GET", f"/v1/rules?{query}")) == expected


def test_the_error_names_an_invalid_filter(api: Api) -> None:
    found = problem(api.call("GET", "/v1/rules?within=x"), 400, "bad-request")
    assert found["field"] == "within"
