# SPDX-License-Identifier: GPL-2.0-or-later
"""A help desk releases single subscribers, for an hour, with a ticket; and nothing else."""

from typing import Any

import pytest

from tests.support.apiclient import TCP, Api, problem
from tests.support.hooked import say
from xdpctl.mitigation import manual_release


def ask(box: Api, token: str, **body: Any) -> Any:
    given = {"source": "203.0.113.7", "ttl": "1h", "ticket": "4711", **body}
    return box.call("POST", "/v1/releases", TCP, token, json=given)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"ticket": ""}, "ticket"),
        ({"ticket": "  "}, "ticket"),
        ({"ttl": "61m"}, "ttl"),
        ({"ttl": "30d"}, "ttl"),
        ({"ttl": "9m"}, "ttl"),
        ({"source": "0.0.0.0"}, "source"),
        ({"source": "127.0.0.1"}, "source"),
        ({"source": "224.0.0.1"}, "source"),
        ({"source": "255.255.255.255"}, "source"),
        ({"source": "::"}, "source"),
        ({"source": "203.0.113.0/31"}, "source"),
        ({"source": "2001:db8::/63"}, "source"),
    ],
)
def test_more_than_one_subscriber_for_an_hour_is_refused(
    box: Api, body: dict[str, str], field: str
) -> None:
    token = box.token("desk", "helpdesk")
    assert problem(ask(box, token, **body), 400, "bad-request")["field"] == field


@pytest.mark.parametrize("source", ["203.0.113.7", "2001:db8::/64", "2001:db8::1"])
def test_one_subscriber_is_released(box: Api, source: str) -> None:
    made = ask(box, box.token("desk", "helpdesk"), source=source, reason="locked out").json()
    assert (made["action"], made["reason"]) == ("accept", "ticket 4711, locked out")
    record = box.call("GET", "/v1/audit").json()["records"][-1]
    assert record["actor"] == "token desk"


def test_an_operators_own_rule_stands(box: Api) -> None:
    box.add("203.0.113.7", reason="it attacks")
    problem(ask(box, box.token("desk", "helpdesk")), 409, "conflict")


def test_the_number_of_releases_is_bounded(box: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manual_release, "_HELPDESK_MOST", 2)
    token = box.token("desk", "helpdesk")
    for source in ("203.0.113.1", "203.0.113.2", "203.0.113.1"):
        assert ask(box, token, source=source).status_code == 201
    problem(ask(box, token, source="203.0.113.3"), 403, "quota")
    assert (
        box.call("POST", "/v1/releases", json={"source": "203.0.113.3", "ttl": "1h"}).status_code
        == 201
    ), "an operator may"


def test_releases_of_detectors_rules_count_towards_the_bound(
    box: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(manual_release, "_HELPDESK_MOST", 2)
    box.call("PUT", "/v1/automatic", json={"mode": "on"})
    sources = [f"203.0.113.{n}" for n in range(1, 5)]
    say(box, "event", {"id": "e1", "phase": "began", "sources": sources})
    token = box.token("desk", "helpdesk")
    answers = [ask(box, token, source=source).status_code for source in sources]
    assert answers == [201, 201, 403, 403]


def test_releases_are_rate_limited(box: Api) -> None:
    token = box.token("desk", "helpdesk")
    answers = [ask(box, token).status_code for _ in range(22)]
    assert answers == [201] * 20 + [429] * 2


def test_a_longer_release_by_somebody_else_stands(box: Api) -> None:
    body = {"source": "203.0.113.7", "ttl": "7d", "reason": "the office"}
    box.call("POST", "/v1/releases", json=body)
    problem(ask(box, box.token("desk", "helpdesk")), 409, "conflict")
    rule = box.call("GET", "/v1/rules/203.0.113.7_32").json()
    assert rule["reason"] == "the office"


def test_a_help_desk_may_not_explain_frames(box: Api) -> None:
    path = "/v1/explain?frame=" + "00" * 40
    problem(box.call("GET", path, TCP, box.token("desk", "helpdesk")), 403, "role")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/rules"),
        ("GET", "/v1/stream"),
        ("GET", "/v1/condition"),
        ("GET", "/v1/incidents"),
        ("GET", "/v1/status"),
        ("POST", "/v1/rules"),
        ("DELETE", "/v1/rules/203.0.113.7_32"),
        ("POST", "/v1/history/1/undo"),
        ("POST", "/v1/bypass"),
        ("POST", "/v1/suggest"),
    ],
)
def test_all_other_calls_are_refused(box: Api, method: str, path: str) -> None:
    bodies = {"/v1/rules": {"match": "src 203.0.113.9"}, "/v1/bypass": {"on": True}}
    more = {"json": bodies.get(path, {})} if method == "POST" else {}
    problem(box.call(method, path, TCP, box.token("desk", "helpdesk"), **more), 403, "role")


def test_a_help_desk_may_look_up_what_covers_an_address(box: Api) -> None:
    token = box.token("desk", "helpdesk")
    for path in ("/v1/why/203.0.113.7", "/v1/explain?source=203.0.113.7"):
        assert box.call("GET", path, TCP, token).status_code == 200


def test_a_token_bound_to_an_origin_may_not_release(box: Api) -> None:
    token = box.token("desk", "helpdesk", origin="fastnetmon")
    problem(ask(box, token), 403, "role")
