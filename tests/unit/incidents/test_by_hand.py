# SPDX-License-Identifier: GPL-2.0-or-later
"""Incidents that a person opens, and the rules that belong to them."""

from typing import Any

from tests.support.apiclient import Api, problem
from tests.support.hooked import VICTIM, fastnetmon, say

OPEN = {"victim": VICTIM, "attack": "udp_flood", "note": "phones are down"}


def opened(box: Api, **more: Any) -> str:
    answer = box.call("POST", "/v1/incidents", json={**OPEN, **more})
    assert answer.status_code == 201, answer.text
    identity: str = answer.json()["id"]
    return identity


def shown(box: Api, identity: str) -> dict[str, Any]:
    found: dict[str, Any] = box.call("GET", f"/v1/incidents/{identity}").json()
    return found


def test_rules_added_while_an_incident_is_open_belong_to_it(box: Api) -> None:
    before = box.add("203.0.113.1")
    identity = opened(box)
    during = box.add("203.0.113.2")
    rule = {"match": {"destination": VICTIM, "protocol": "udp", "source_port": "53"}}
    assert box.call("POST", "/v1/rules", json=rule).status_code == 201
    closed = box.call("POST", f"/v1/incidents/{identity}/close").json()
    after = box.add("203.0.113.3")
    found = shown(box, identity)
    assert (closed["open"], found["open"], found["closed_by"]) == (False, False, "closed by root")
    assert (found["rules_made"], found["attacks"]) == (2, ["udp_flood"])
    ids = {rule["id"] for rule in found["rules"]}
    assert during["id"] in ids
    assert not ids & {before["id"], after["id"]}
    rules = {rule["id"] for rule in box.call("GET", "/v1/rules").json()["rules"]}
    assert during["id"] in rules, "its rules stay"


def test_a_removed_rule_is_recorded_in_its_incident(box: Api) -> None:
    identity = opened(box)
    rule = box.add("203.0.113.2")
    box.call("DELETE", f"/v1/rules/{rule['id']}")
    (record,) = shown(box, identity)["rules"]
    assert record["ended_at"]
    assert record["why"] == "removed by root"


def test_a_rule_belongs_to_the_open_incident_whose_victim_it_names(box: Api) -> None:
    first = opened(box)
    box.clock.advance(1)
    second = opened(box, victim="198.51.100.0/28")
    rule = {"match": {"destination": VICTIM, "protocol": "udp", "source_port": "53"}}
    box.call("POST", "/v1/rules", json=rule)
    box.add("203.0.113.9")
    assert shown(box, first)["rules_made"] == 1
    assert shown(box, second)["rules_made"] == 1


def test_an_open_incident_is_not_opened_again(box: Api) -> None:
    identity = opened(box)
    refused = box.call("POST", "/v1/incidents", json=OPEN)
    assert identity in problem(refused, 409, "conflict")["detail"]


def test_an_incident_opened_by_a_detector_is_not_closed_by_hand(box: Api) -> None:
    say(box, "fastnetmon", fastnetmon("ban"))
    (brief,) = box.call("GET", "/v1/incidents").json()["incidents"]
    refused = box.call("POST", f"/v1/incidents/{brief['id']}/close")
    assert "fastnetmon" in problem(refused, 409, "conflict")["detail"]
    problem(box.call("POST", "/v1/incidents/20200101-000000/close"), 404, "not-found")


def test_a_detector_that_joins_keeps_the_incident_open(box: Api) -> None:
    identity = opened(box)
    say(box, "fastnetmon", fastnetmon("ban"))
    closed = box.call("POST", f"/v1/incidents/{identity}/close").json()
    assert closed["open"]
    say(box, "fastnetmon", fastnetmon("unban"))
    assert not shown(box, identity)["open"]


def test_an_incident_opened_by_hand_ends_by_itself(box: Api) -> None:
    identity = opened(box)
    box.clock.advance(86_401)
    for number in range(20):  # each is a step of upkeep
        box.add(f"203.0.113.{number}")
    assert shown(box, identity)["closed_by"] == "nothing more was reported"


def test_bad_input_names_the_field(box: Api) -> None:
    refused = box.call("POST", "/v1/incidents", json={"victim": "x"})
    assert problem(refused, 400, "bad-request")["field"] == "victim"
    refused = box.call("POST", "/v1/incidents", json={**OPEN, "attack": "war"})
    assert problem(refused, 400, "bad-request")["field"] == "attack"


def test_the_rules_of_an_import_belong_to_the_incident_too(box: Api) -> None:
    box.add("203.0.113.1")
    identity = opened(box)
    listed = "\n".join(f"203.0.113.{number}" for number in range(1, 9))
    done = box.call("POST", "/v1/rules/bulk", content=f"{listed}\nnonsense").json()
    assert (done["added"], done["extended"], done["rejected"]) == (7, 1, 1)
    found = shown(box, identity)
    assert found["rules_made"] == 7, "the rule that was there before is not of this incident"
    assert {rule["id"] for rule in found["rules"]} == {f"203.0.113.{n}_32" for n in range(2, 9)}
    undone = box.call("POST", f"/v1/history/{done['change']}/undo").json()
    assert not undone["kept"]
    assert len(box.call("GET", "/v1/rules").json()["rules"]) == 1


def test_a_dry_run_of_an_import_changes_no_incident(box: Api) -> None:
    identity = opened(box)
    box.call("POST", "/v1/rules/bulk?dry_run=true", content="203.0.113.2")
    assert shown(box, identity)["rules_made"] == 0


def test_the_newest_incident_has_a_name_of_its_own(box: Api) -> None:
    problem(box.call("GET", "/v1/incidents/latest"), 404, "not-found")
    for victim in ("198.51.100.7", "198.51.100.8"):
        box.call("POST", "/v1/incidents", json={"victim": victim})
        box.clock.advance(2.0)
    assert box.call("GET", "/v1/incidents/latest").json()["subject"] == "198.51.100.8/32"
