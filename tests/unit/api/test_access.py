# SPDX-License-Identifier: GPL-2.0-or-later
"""Access control: peers, tokens, roles and quotas."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.apiclient import TCP, Api, problem, running
from xdpctl.model.quota import Quota

QUOTAS = {"operator": Quota(1000), "fastnetmon": Quota(2, 24, 64, 3600)}
HOST = "/v1/rules/203.0.113.7_32"
RULE = {"match": {"source": "203.0.113.7"}, "ttl": 60}
READS = ["/v1/rules", "/v1/explain?source=10.0.0.1", "/v1/status", "/v1/interfaces", "/v1/counters"]
READS += ["/v1/bypass", "/metrics", HOST]
AUDIT = ["/v1/audit", "/v1/audit/verify"]


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    with running(tmp_path, quotas=QUOTAS) as api:
        yield api


@pytest.mark.parametrize("path", [*READS, *AUDIT, "/v1/tokens"])
def test_over_tcp_nothing_is_read_without_a_token(api: Api, path: str) -> None:
    answer = api.call("GET", path, peer=TCP)
    problem(answer, 401, "access")
    assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(
    "header", ["Bearer xdpctl_wrong", "Bearer", "Basic cm9vdDpyb290", "xdpctl_wrong"]
)
def test_a_wrong_token_is_401_on_either_listener(api: Api, header: str) -> None:
    headers = {"Authorization": header}
    problem(api.call("GET", "/v1/rules", peer=TCP, headers=headers), 401, "access")
    problem(api.call("GET", "/v1/rules", headers=headers), 401, "access")


def test_health_needs_no_token(api: Api) -> None:
    for path in ("/healthz", "/readyz"):
        assert api.call("GET", path, peer=TCP).status_code == 200


def test_a_viewer_may_read_but_not_change(api: Api) -> None:
    token = api.token("eyes", "viewer")
    api.add("203.0.113.7")
    for path in READS:
        assert api.call("GET", path, peer=TCP, token=token).status_code == 200, path
    for path in (*AUDIT, "/v1/tokens"):
        problem(api.call("GET", path, peer=TCP, token=token), 403, "role")
    changes = [
        api.call("POST", "/v1/rules", TCP, token, json=RULE),
        api.call("PATCH", HOST, TCP, token, json={"reason": "x"}),
        api.call("POST", f"{HOST}/confirm", TCP, token),
        api.call("DELETE", HOST, TCP, token),
        api.call("POST", "/v1/rules/bulk", TCP, token, content=b"10.0.0.1"),
        api.call("POST", "/v1/bypass", TCP, token, json={"on": True}),
    ]
    for answer in changes:
        assert "--role operator" in problem(answer, 403, "role")["detail"]


def test_an_operator_changes_rules_but_makes_no_tokens(api: Api) -> None:
    token = api.token("hands", "operator")
    assert api.call("POST", "/v1/rules", TCP, token, json=RULE).status_code == 201
    assert api.call("GET", "/v1/audit", TCP, token).json()["records"][-1]["actor"] == "token hands"
    body = {"name": "more", "role": "admin"}
    problem(api.call("POST", "/v1/tokens", TCP, token, json=body), 403, "role")
    problem(api.call("DELETE", "/v1/tokens/hands", TCP, token), 403, "role")


def test_a_detector_may_use_only_its_hook(api: Api) -> None:
    token = api.token("probe", "detector", origin="fastnetmon")
    problem(api.call("GET", "/v1/rules", TCP, token), 403, "role")
    problem(api.call("POST", "/v1/rules", TCP, token, json=RULE), 403, "role")


def test_an_admin_creates_lists_and_revokes_tokens(api: Api) -> None:
    admin = api.token("boss", "admin")
    made = api.call("POST", "/v1/tokens", TCP, admin, json={"name": "t", "role": "viewer"})
    secret = made.json()["secret"]
    listed = api.call("GET", "/v1/tokens", TCP, admin).json()["tokens"]
    assert [token["name"] for token in listed] == ["boss", "t"]
    assert all(token["secret"] is None for token in listed)
    assert api.call("GET", "/v1/rules", TCP, secret).status_code == 200
    assert api.call("DELETE", "/v1/tokens/t", TCP, admin).json()["name"] == "t"
    problem(api.call("GET", "/v1/rules", TCP, secret), 401, "access")
    problem(api.call("DELETE", "/v1/tokens/t", TCP, admin), 404, "not-found")


def test_a_token_expires_after_its_ttl(api: Api) -> None:
    token = api.token("guest", "viewer", ttl="1h")
    api.clock.advance(3599)
    assert api.call("GET", "/v1/rules", TCP, token).status_code == 200
    api.clock.advance(1)
    assert "expired" in problem(api.call("GET", "/v1/rules", TCP, token), 401, "access")["detail"]


def test_a_token_has_a_name_of_its_own_and_a_known_role(api: Api) -> None:
    api.token("t", "viewer")
    again = api.call("POST", "/v1/tokens", json={"name": "t", "role": "admin"})
    assert problem(again, 409, "conflict")["field"] == "name"
    for body, field in (
        ({"name": "No Name", "role": "viewer"}, "name"),
        ({"name": "x", "role": "root"}, "role"),
        ({"name": "x", "role": "viewer", "origin": "Ö"}, "origin"),
        ({"name": "x", "role": "viewer", "ttl": 0}, "ttl"),
    ):
        found = problem(api.call("POST", "/v1/tokens", json=body), 400, "bad-request")
        assert found["field"] == field


def test_no_secret_is_stored_or_audited(api: Api, tmp_path: Path) -> None:
    secret = api.token("t", "viewer")
    files = list(tmp_path.glob("rules.sqlite*"))
    assert files
    for file in files:
        assert secret.encode() not in file.read_bytes()


def test_quotas_are_those_of_the_tokens_origin(api: Api) -> None:
    token = api.token("fnm", "operator", origin="fastnetmon")
    for body, field in (
        ({"match": {"source": "203.0.0.0/16"}, "ttl": 60}, "match.source"),
        ({"match": {"source": "203.0.113.7"}}, "ttl"),
        ({"match": {"source": "203.0.113.7"}, "ttl": "2h"}, "ttl"),
    ):
        found = problem(api.call("POST", "/v1/rules", TCP, token, json=body), 403, "quota")
        assert found["field"] == field
        assert found["fix"]
    for last in (7, 8):
        body = {"match": {"source": f"203.0.113.{last}"}, "ttl": 60}
        answer = api.call("POST", "/v1/rules", TCP, token, json=body)
        assert answer.json()["origin"] == "fastnetmon"
    body = {"match": {"source": "203.0.113.9"}, "ttl": 60}
    problem(api.call("POST", "/v1/rules", TCP, token, json=body), 403, "quota")
    assert api.call("POST", "/v1/rules", TCP, token, json=RULE).status_code == 200


def test_an_origin_may_not_change_the_rules_of_others(api: Api) -> None:
    token = api.token("fnm", "operator", origin="fastnetmon")
    api.add("203.0.113.7")
    problem(api.call("DELETE", HOST, TCP, token), 403, "role")
    problem(api.call("PATCH", HOST, TCP, token, json={"ttl": 1}), 403, "role")


def test_a_detectors_token_names_its_origin(api: Api) -> None:
    refused = api.call("POST", "/v1/tokens", json={"name": "d", "role": "detector"})
    assert problem(refused, 400, "bad-request")["field"] == "origin"
