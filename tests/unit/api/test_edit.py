# SPDX-License-Identifier: GPL-2.0-or-later
"""Changing a rule in one step, replacing it, and releasing a source from detectors."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.apiclient import Api, problem, running
from tests.support.hooked import fastnetmon, say
from tests.unit.api.test_history import rules, undo

PATH = "/v1/rules/203.0.113.7_32"


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    with running(tmp_path) as api:
        yield api


def patch(api: Api, path: str = PATH, **body: Any) -> dict[str, Any]:
    answer = api.call("PATCH", path, json=body)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_a_ttl_is_shortened_and_lengthened(api: Api) -> None:
    api.add("203.0.113.7", ttl="1h")
    assert patch(api, ttl="10m")["expires_in"] == pytest.approx(600)
    assert patch(api, ttl="2h")["expires_in"] == pytest.approx(7200)
    assert patch(api, ttl=None)["expires_in"] is None


def test_an_action_is_changed_at_once_and_back(api: Api) -> None:
    api.add("203.0.113.7", reason="x")
    changed = patch(api, action="accept", reason="a friend")
    assert (changed["action"], changed["reason"], changed["changed"]) == (
        "accept",
        "a friend",
        True,
    )
    assert next(iter(api.datapath.held().values())).action.name == "ACCEPT"
    undo(api, changed["change"])
    assert rules(api)["203.0.113.7_32"]["action"] == "drop"


def test_a_change_that_changes_nothing_says_so(api: Api) -> None:
    api.add("203.0.113.7", reason="x")
    assert patch(api, reason="x")["changed"] is False


def test_a_source_becomes_a_limit_only_with_a_rate(api: Api) -> None:
    api.add("203.0.113.7")
    answer = api.call("PATCH", PATH, json={"action": "limit"})
    assert problem(answer, 400, "bad-request")["fix"] == "give its pps or bps"
    answer = api.call("PATCH", PATH, json={"limit": {"pps": 5}})
    assert "--action limit" in problem(answer, 400, "bad-request")["fix"]
    limited = patch(api, PATH, action="limit", limit={"pps": 500})
    assert limited["limit"]["pps"] == 500
    assert patch(api, PATH, action="drop")["spare"] == "none"


def test_a_rule_on_a_match_becomes_a_limit_and_a_drop_again(api: Api) -> None:
    body = {"match": {"protocol": "udp", "source_port": "53"}, "action": "drop"}
    made = api.call("POST", "/v1/rules", json=body).json()
    path = f"/v1/rules/{made['id']}"
    answer = api.call("PATCH", path, json={"action": "limit"})
    assert problem(answer, 400, "bad-request")["field"] == "limit"
    limited = patch(api, path, action="limit", limit={"pps": 500})
    assert (limited["action"], limited["limit"]["pps"]) == ("limit", 500)
    dropped = patch(api, path, action="drop")
    assert (dropped["action"], dropped["limit"]) == ("drop", None)
    answer = api.call("PATCH", path, json={"limit": {"pps": 500}})
    assert problem(answer, 400, "bad-request")["field"] == "limit"


def test_an_accept_that_lets_the_caller_in_does_not_become_a_drop(api: Api) -> None:
    token = api.token("remote", "operator")
    api.add("127.0.0.1", action="accept")
    answer = api.call(
        "PATCH", "/v1/rules/127.0.0.1_32", ("127.0.0.1", 5), token, json={"action": "drop"}
    )
    problem(answer, 409, "lockout")


def test_a_request_that_is_only_partly_applied_says_so(api: Api) -> None:
    api.add("203.0.113.7", ttl="1h")
    again = api.add("203.0.113.7", 200, ttl="10m")
    assert again["changed"] is False
    assert again["expires_in"] == pytest.approx(3600)
    assert any("ttl was not applied" in warning for warning in again["warnings"])
    assert again["change"] is None
    longer = api.add("203.0.113.7", 200, ttl="2h")
    assert (longer["changed"], longer["warnings"]) == (True, [])


def test_replacing_a_rule_applies_every_field_of_the_request(api: Api) -> None:
    api.add("203.0.113.7", ttl="1h", tags=["a"], reason="old")
    again = api.add("203.0.113.7", 200, ttl="10m", tags=["b"], action="accept", replace=True)
    assert (again["action"], again["tags"], again["reason"]) == ("accept", ["b"], "")
    assert again["expires_in"] == pytest.approx(600)
    undo(api, again["change"])
    assert rules(api)["203.0.113.7_32"]["tags"] == ["a"]


def test_a_rule_on_a_match_can_be_replaced(api: Api) -> None:
    body = {"match": {"protocol": "udp", "source_port": "53"}, "action": "limit"}
    first = api.call("POST", "/v1/rules", json={**body, "limit": {"pps": 500}, "ttl": "1h"})
    assert first.status_code == 201, first.text
    again = {**body, "limit": {"pps": 100}, "ttl": "1m", "replace": True}
    answer = api.call("POST", "/v1/rules", json=again).json()
    assert (answer["limit"]["pps"], answer["created"]) == (100, False)
    assert answer["expires_in"] == pytest.approx(60)


@pytest.mark.parametrize(
    ("source", "wide"),
    [("10.0.0.0/7", True), ("11.0.0.0/8", False), ("2000::/15", True), ("2000::/16", False)],
)
def test_a_wide_drop_needs_force_or_a_trial(api: Api, source: str, wide: bool) -> None:
    body = {"match": {"source": source}}
    answer = api.call("POST", "/v1/rules", json=body)
    if not wide:
        assert answer.status_code == 201
        return
    told = problem(answer, 409, "unconfirmed")
    assert "--confirm-within" in told["fix"]
    assert api.call("POST", "/v1/rules", json={**body, "mode": "monitor"}).status_code == 201
    api.call("DELETE", "/v1/rules", params={"all": "true", "count": 1})
    assert api.call("POST", "/v1/rules", json={**body, "confirm_within": 60}).status_code == 201
    api.call("DELETE", "/v1/rules", params={"all": "true", "count": 1})
    assert api.call("POST", "/v1/rules", json={**body, "force": True}).status_code == 201


def release(api: Api, source: str = "203.0.113.3", status: int = 201, **body: Any) -> Any:
    answer = api.call("POST", "/v1/releases", json={"source": source, "ttl": "1h", **body})
    assert answer.status_code == status, answer.text
    return answer.json()


EVENT = {"id": "e1", "phase": "began", "sources": ["203.0.113.3"]}


def test_a_release_lasts_whatever_a_detector_says(box: Api) -> None:
    say(box, "event", EVENT)
    assert rules(box)["203.0.113.3_32"]["action"] == "drop"
    made = release(box, "203.0.113.0/24", reason="ticket 4711")
    assert (made["action"], made["removed"]) == ("accept", 1)
    assert made["expires_in"] == pytest.approx(3600)
    assert rules(box).keys() == {"203.0.113.0_24"}
    for phase in ("continues", "began"):
        say(box, "event", {**EVENT, "phase": phase, "id": f"again-{phase}"})
        assert rules(box).keys() == {"203.0.113.0_24"}
    box.clock.advance(3601)
    say(box, "event", {**EVENT, "id": "later"})
    assert rules(box)["203.0.113.3_32"]["action"] == "drop"


def test_a_release_can_be_undone_and_is_audited(box: Api) -> None:
    say(box, "event", EVENT)
    before = rules(box)
    made = release(box, reason="ticket 4711")
    records = box.call("GET", "/v1/audit").json()["records"]
    told = next(r for r in records if r["detail"].get("change") == made["change"])
    assert (told["action"], told["detail"]["reason"]) == ("rule.replace", "ticket 4711")
    undo(box, made["change"])
    assert rules(box) == before


def test_an_operator_may_still_drop_what_was_released(box: Api) -> None:
    release(box, "203.0.113.0/24")
    assert box.add("203.0.113.3")["created"]


@pytest.mark.parametrize(("ttl", "status"), [(None, 400), ("0s", 400), ("", 400), ("1h", 201)])
def test_a_release_ends(api: Api, ttl: str | None, status: int) -> None:
    release(api, status=status, ttl=ttl)


def test_a_limit_on_a_victim_is_not_released(box: Api) -> None:
    say(box, "fastnetmon", fastnetmon("ban"))
    before = len(rules(box))
    release(box)
    assert len(rules(box)) == before + 1
