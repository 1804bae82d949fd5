# SPDX-License-Identifier: GPL-2.0-or-later
"""No way around the guards: by bulk removal, undo, replace, PATCH, enforce, tags or odd input."""

from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.support.apiclient import TCP, Api, problem, running
from tests.support.hooked import OURS, say
from tests.unit.api.test_history import history, rules, undo
from xdpctl.control.jobs import Job, JobQueue
from xdpctl.errors import DatapathError
from xdpctl.model.quota import Quota
from xdpctl.model.rule import OPERATOR

SSH = {"match": {"protocol": "tcp", "destination_port": "22"}, "spare": "none"}
ME = "127.0.0.1"
EVENT = {"id": "e1", "phase": "began", "sources": ["203.0.113.3"]}


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    with running(tmp_path) as api:
        yield api


@pytest.fixture
def token(api: Api) -> str:
    return api.token("remote", "operator")


def post(api: Api, token: str, source: str, **body: Any) -> httpx2.Response:
    return api.call("POST", "/v1/rules", TCP, token, json={"match": {"source": source}, **body})


def test_an_accept_that_shelters_the_caller_from_a_match_cannot_be_removed(
    api: Api, token: str
) -> None:
    accept = post(api, token, ME, action="accept").json()
    assert api.call("POST", "/v1/rules", TCP, token, json=SSH).status_code == 201
    many = {"id": accept["id"], "count": 1}
    problem(api.call("DELETE", "/v1/rules", TCP, token, params=many), 409, "lockout")
    path = f"/v1/history/{accept['change']}/undo"
    problem(api.call("POST", path, TCP, token), 409, "lockout")
    assert accept["id"] in rules(api)


def test_the_callers_accept_may_not_be_replaced_by_one_in_monitor_mode(
    api: Api, token: str
) -> None:
    post(api, token, ME, action="accept")
    assert post(api, token, "127.0.0.0/16").status_code == 201
    again = post(api, token, ME, action="accept", mode="monitor", replace=True)
    problem(again, 409, "lockout")


def test_a_changed_limit_is_guarded_like_a_new_one(api: Api, token: str) -> None:
    body = {**SSH, "action": "limit", "limit": {"pps": 1000, "per": "source"}}
    made = api.call("POST", "/v1/rules", TCP, token, json=body).json()
    path, change = f"/v1/rules/{made['id']}", {"limit": {"pps": 1}}
    problem(api.call("PATCH", path, TCP, token, json=change), 409, "lockout")


@pytest.mark.parametrize("how", ["patch", "enforce", "undo"])
def test_a_monitored_rule_needs_force_to_become_a_wide_drop(api: Api, how: str) -> None:
    made = api.add("8.0.0.0/6", action="accept" if how == "patch" else "drop", mode="monitor")
    path = f"/v1/rules/{made['id']}"
    if how == "patch":
        body = {"action": "drop", "mode": "enforce"}
        problem(api.call("PATCH", path, json=body), 409, "unconfirmed")
        assert api.call("PATCH", path, json={**body, "force": True}).status_code == 200
    else:
        problem(api.call("POST", f"{path}/enforce"), 409, "unconfirmed")
        assert api.call("POST", f"{path}/enforce", params={"force": "true"}).status_code == 200


def test_a_detector_cannot_get_around_a_release_or_forge_one(box: Api) -> None:
    name = {"name": "d", "role": "operator", "origin": "suricata"}
    secret = box.call("POST", "/v1/tokens", json=name).json()["secret"]
    assert post(box, secret, "203.0.113.9", action="accept", ttl="1h").status_code == 201
    released = box.call("POST", "/v1/releases", json={"source": "203.0.113.0/24", "ttl": "1h"})
    assert released.status_code == 201
    change = {"action": "drop"}
    patched = box.call("PATCH", "/v1/rules/203.0.113.9_32", TCP, secret, json=change)
    problem(patched, 409, "conflict")
    own = {"action": "accept", "tags": ["released", "mine"], "ttl": "1h"}
    found = problem(post(box, secret, "192.0.2.9", **own), 400, "bad-request")
    assert "'released' is one that xdpctl gives itself" in found["detail"]


def test_a_detector_cannot_get_around_its_share(tmp_path: Path) -> None:
    quotas = {OPERATOR: Quota(max_rules=1000), "suricata": Quota(1000, 8, 8, max_share=1 / 256)}
    with running(tmp_path, quotas=quotas) as api:
        name = {"name": "d", "role": "operator", "origin": "suricata"}
        secret = api.call("POST", "/v1/tokens", json=name).json()["secret"]
        assert post(api, secret, "20.0.0.0/8").status_code == 201
        problem(post(api, secret, "21.0.0.0/8"), 403, "quota")
        assert post(api, secret, "21.0.0.0/8", action="accept").status_code == 201
        path, change = "/v1/rules/21.0.0.0_8", {"action": "drop"}
        problem(api.call("PATCH", path, TCP, secret, json=change), 403, "quota")
        problem(post(api, secret, "21.0.0.0/8", replace=True), 403, "quota")


def test_a_refused_release_changes_nothing(tmp_path: Path) -> None:
    with running(tmp_path, 4, OURS) as box:
        say(box, "event", EVENT)
        for number in range(box.controller.state.room):
            box.add(f"198.18.0.{number}")
        body = {"source": "203.0.113.0/24", "ttl": "1h"}
        assert box.call("POST", "/v1/releases", json=body).status_code == 507
        assert "203.0.113.3_32" in rules(box)
        (incident,) = box.call("GET", "/v1/incidents").json()["incidents"]
        (record,) = box.call("GET", f"/v1/incidents/{incident['id']}").json()["rules"]
        assert not record["ended_at"]


@pytest.mark.parametrize("action", ["drop", "accept"])
def test_a_release_does_not_remove_an_operators_rule(api: Api, action: str) -> None:
    api.add("203.0.113.7", action=action)
    before = rules(api)
    body = {"source": "203.0.113.7", "ttl": "1h"}
    problem(api.call("POST", "/v1/releases", json=body), 409, "conflict")
    assert rules(api) == before


def test_a_release_is_lengthened_by_another(api: Api) -> None:
    for ttl in ("1h", "2h"):
        body = {"source": "203.0.113.7", "ttl": ttl}
        assert api.call("POST", "/v1/releases", json=body).status_code == 201


@pytest.mark.parametrize("query", ["within=", "covering=", "since=", "id="])
def test_an_empty_filter_matches_nothing(api: Api, query: str) -> None:
    api.add("203.0.113.7")
    answer = api.call("DELETE", f"/v1/rules?{query}&count=1")
    assert answer.status_code in (400, 409), answer.text
    assert rules(api)


def test_the_rest_of_an_import_can_be_undone_if_the_kernel_refuses_a_piece(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xdpctl_api.routes.bulk._CHUNK_BYTES", 1)
    real, calls = api.datapath.apply, []

    def apply(plan: Any) -> None:
        calls.append(plan)
        if len(calls) == 2:
            raise DatapathError("the kernel refuses: fake")
        real(plan)

    async def pieces() -> Any:
        for number in range(3):
            yield b"203.0.113.%d\n" % number

    monkeypatch.setattr(api.datapath, "apply", apply)
    answer = api.call(
        "POST", "/v1/rules/bulk", content=pieces(), headers={"content-type": "text/plain"}
    )
    assert answer.status_code == 503
    standing = len(rules(api))
    assert standing == 1
    (change,) = history(api)
    assert undo(api, change["number"])["restored"] == standing


def test_an_undo_removes_a_rule_that_replaced_one_expired_since(api: Api) -> None:
    api.add("203.0.113.7", ttl="60s")
    api.clock.advance(61)
    change = api.add("203.0.113.7")["change"]
    assert undo(api, change)["restored"] == 1
    assert rules(api) == {}
    api.add("203.0.113.8", ttl="60s")
    change = api.call("PATCH", "/v1/rules/203.0.113.8_32", json={"ttl": None}).json()["change"]
    api.clock.advance(61)
    assert undo(api, change)["restored"] == 1
    assert rules(api) == {}


def test_a_damaged_change_is_reported_and_hides_no_other(api: Api) -> None:
    number = api.add("203.0.113.7")["change"]
    api.add("203.0.113.8")
    api.store._db.execute("UPDATE changes SET parts = x'00' WHERE number = ?", (number,))
    problem(api.call("POST", f"/v1/history/{number}/undo"), 404, "not-found")
    api.store._db.execute("UPDATE changes SET summary = x'00' WHERE number = ?", (number,))
    assert [change["number"] for change in history(api)] == [number + 1]


def test_jobs_are_handled_in_order() -> None:
    queue, jobs = JobQueue(), [Job(lambda _: None, Future()) for _ in range(600)]
    for job in jobs:
        queue.put(job)
    taken: list[Job] = []
    while batch := queue.take(0.0):
        taken += batch
    assert taken == jobs
