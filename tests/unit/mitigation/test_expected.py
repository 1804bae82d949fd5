# SPDX-License-Identifier: GPL-2.0-or-later
"""What operators expect: said beforehand, or of an incident that was legitimate."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.support.apiclient import Api, problem, running
from tests.support.hooked import OURS, VICTIM, incidents, say, standing, whole
from tests.unit.mitigation.test_builtin import FINDING, told

BELL: dict[str, Any] = {
    "name": "bell",
    "destination": VICTIM,
    "times": 5,
    "at": "08:15",
    "lasts": "10m",
    "days": ["mon", "tue"],
}


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    with running(tmp_path, 2000, OURS) as api:
        yield api


def names(api: Api, **more: Any) -> list[str]:
    found = api.call("GET", "/v1/expectations", **more).json()["expectations"]
    return [each["name"] for each in found]


def test_an_expectation_is_added_listed_and_removed(api: Api) -> None:
    made = api.call("POST", "/v1/expectations", json=BELL)
    assert made.status_code == 201, made.text
    assert made.json()["text"] == f"up to 5 times the threshold to {VICTIM}"
    assert names(api) == names(api, peer=("local:xdpctl", 1)) == ["bell"]
    refused = api.call("POST", "/v1/expectations", json=BELL)
    assert "expect remove bell" in problem(refused, 409, "conflict")["fix"]
    assert api.call("DELETE", "/v1/expectations/bell").status_code == 200
    assert names(api) == []
    problem(api.call("DELETE", "/v1/expectations/bell"), 404, "not-found")
    actions = [r["action"] for r in api.call("GET", "/v1/audit").json()["records"]]
    assert actions[-2:] == ["expect.add", "expect.remove"]


def test_the_status_shows_current_expectations(api: Api) -> None:
    soon = str(datetime.now(UTC).date() + timedelta(days=3))
    later = {"name": "later", "pps": 9, "on": soon, "at": "8:15", "lasts": 60}
    for body in ({"name": "all", "times": 3}, later):
        assert api.call("POST", "/v1/expectations", json=body).status_code == 201
    found = api.call("GET", "/v1/status").json()["expected"]
    assert found == ["up to 3 times the threshold to all that is protected"]


@pytest.mark.parametrize(
    ("field", "more"),
    [
        ("times", {"times": 0}),
        ("at", {"at": "noon"}),
        ("kind", {"kind": "tpc"}),
        ("lasts", {"lasts": 1}),
    ],
)
def test_an_invalid_expectation_is_refused_and_not_stored(
    api: Api, field: str, more: dict[str, Any]
) -> None:
    refused = api.call("POST", "/v1/expectations", json=BELL | more)
    assert problem(refused, 400, "bad-request")["field"] == field
    assert names(api) == []


@pytest.mark.parametrize("on", ["9999-12-31", "0001-01-01", "2020-01-01"])
def test_a_date_that_cannot_come_is_refused(api: Api, on: str) -> None:
    refused = api.call("POST", "/v1/expectations", json=BELL | {"days": [], "on": on})
    assert problem(refused, 400, "bad-request")["field"] == "on"
    assert api.call("POST", "/v1/expectations", json=BELL).status_code == 201


def test_only_operators_may_add_expectations(api: Api) -> None:
    viewer = api.token("eyes", "viewer")
    problem(api.call("POST", "/v1/expectations", token=viewer, json=BELL), 403, "role")
    assert api.call("GET", "/v1/expectations", token=viewer).status_code == 200
    probe = api.token("probe", "detector", origin="fastnetmon")
    problem(api.call("GET", "/v1/expectations", token=probe), 403, "role")


def test_an_expectation_survives_a_restart(tmp_path: Path) -> None:
    with running(tmp_path, 2000, OURS) as api:
        api.call("POST", "/v1/expectations", json=BELL)
    with running(tmp_path, 2000, OURS) as api:
        assert names(api) == ["bell"]


def test_a_legitimate_incident_is_let_in_and_becomes_an_expectation(api: Api) -> None:
    (identity,) = say(api, "builtin", told(finding=FINDING))["incidents"]
    other = api.add("203.0.113.9")
    assert len(standing(api)) == 2
    done = api.call("POST", f"/v1/incidents/{identity}/allow")
    assert done.status_code == 200, done.text
    (expected,) = done.json()["expected"]
    assert (expected["destination"], expected["kind"]) == (VICTIM, "udp")
    assert expected["pps"] == 1.5 * 25_000
    actions = [r["action"] for r in api.call("GET", "/v1/audit").json()["records"]]
    assert "incident.allow" in actions
    assert list(standing(api)) == [other["id"]], "a person's rule stays"
    again = say(api, "builtin", told("continues"))
    assert "an operator has removed its rule" in again["ignored"][0]["why"]
    assert list(standing(api)) == [other["id"]]
    assert "legitimate" in whole(api, identity)["notes"][-1]["text"]
    assert api.call("POST", f"/v1/incidents/{identity}/allow").status_code == 200, "twice"
    assert names(api) == [expected["name"]]


def test_more_than_the_allowed_traffic_is_mitigated_again(api: Api) -> None:
    (identity,) = say(api, "builtin", told(finding=FINDING))["incidents"]
    api.call("POST", f"/v1/incidents/{identity}/allow")
    again = say(api, "builtin", told("continues", rate=37_000))
    assert "an operator has removed its rule" in again["ignored"][0]["why"]
    more = told(id=f"{VICTIM} udp 2.1", rate=400_000)
    assert say(api, "builtin", more)["rules"]
    assert standing(api)


def test_traffic_that_an_attacker_adds_to_an_incident_is_not_let_in(api: Api) -> None:
    """A pulse of many packets, and a reflection, beside people."""
    (identity,) = say(api, "builtin", told(finding=FINDING))["incidents"]
    say(api, "builtin", told("continues", rate=8_000_000))
    reflected = FINDING | {"kind": "udp_service"}
    match = f"dst {VICTIM} proto udp src-port 123"
    more = told(id=f"{VICTIM} udp_service 2", kind="udp_service", match=match, finding=reflected)
    say(api, "builtin", more)
    done = api.call("POST", f"/v1/incidents/{identity}/allow").json()
    assert [(each["kind"], each["pps"]) for each in done["expected"]] == [("udp", 187_500)]


def test_a_finding_of_another_kind_than_its_event_is_refused(api: Api) -> None:
    refused = say(api, "builtin", told(finding=FINDING | {"kind": "syn"}), status=400)
    assert refused["field"] == "finding.kind"


def test_a_limit_that_follows_the_rate_sends_no_new_event(api: Api) -> None:
    for pps in (1_000, 2_000, 3_000):
        say(api, "builtin", told(action="limit", limit={"pps": pps}))
    (found,) = standing(api).values()
    assert found["limit"]["pps"] == 3_000
    actions = [r["action"] for r in api.call("GET", "/v1/audit").json()["records"]]
    assert actions.count("event.began") == 1


def test_an_incident_without_figures_becomes_no_expectation(api: Api) -> None:
    say(api, "builtin", told())
    (incident,) = incidents(api)
    refused = api.call("POST", f"/v1/incidents/{incident['id']}/allow")
    assert "expect add" in problem(refused, 409, "conflict")["fix"]
    assert standing(api), "nothing was removed"
    problem(api.call("POST", "/v1/incidents/1/allow"), 404, "not-found")
