# SPDX-License-Identifier: GPL-2.0-or-later
"""Upstream routes over the API: proposals, approval, withdrawal, freezing, and errors."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.apiclient import Api, problem, running
from tests.support.flooded import amplified, observe, people
from tests.support.upstream import PEER, FakeSpeaker, table
from xdpctl.model.protection import CONFIGURED
from xdpctl.model.rehearsal import Rehearsal
from xdpctl.model.route import Kind
from xdpctl.upstream.link import Reading

VICTIM = "198.51.100.7"
SETTINGS = table(PEER | {"receive": "monitor"}, PEER | {"name": "two", "address": "192.0.2.9"})


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    with running(tmp_path, protection={"198.51.100.0/28": CONFIGURED}, upstream=SETTINGS) as found:
        peering = found.context.peering
        assert peering is not None
        peering.announcer.speaker = FakeSpeaker()
        yield found


def opened(api: Api, victim: str = VICTIM) -> str:
    observe(api.context, people(), amplified())
    answer = api.call("POST", "/v1/incidents", json={"victim": victim})
    return str(answer.json()["id"])


def proposed(api: Api, **more: Any) -> list[dict[str, Any]]:
    answer = api.call("POST", "/v1/upstream/proposals", json={"incident": opened(api), **more})
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["proposals"]
    return found


def test_a_route_goes_from_proposal_to_withdrawal(api: Api) -> None:
    flow, hole = proposed(api, peer="isp1")
    assert (flow["state"], flow["confirm"], hole["confirm"]) == ("proposed", False, True)
    where = f"/v1/upstream/announcements/{flow['id']}"
    sent = api.call("POST", where, json={}).json()
    assert sent["state"] == "announced"
    assert 890 < sent["ends_in"] <= 900
    problem(api.call("POST", where, json={}), 409, "conflict")
    gone = api.call("DELETE", where).json()["withdrawn"]
    assert gone == {flow["id"]: flow["what"]}
    problem(api.call("DELETE", where), 404, "not-found")
    actions = [r["action"] for r in api.call("GET", "/v1/audit").json()["records"]]
    assert [a for a in actions if a.startswith("upstream.")] == [
        "upstream.propose",
        "upstream.propose",
        "upstream.approve",
        "upstream.withdraw",
    ]


def test_a_blackhole_of_a_protected_address_must_be_typed(api: Api) -> None:
    _, hole = proposed(api, peer="isp1")
    where = f"/v1/upstream/announcements/{hole['id']}"
    refused = problem(api.call("POST", where, json={"confirm": VICTIM}), 409, "unconfirmed")
    assert "--confirm 198.51.100.7/32" in str(refused)
    assert api.call("POST", where, json={"confirm": f"{VICTIM}/32"}).status_code == 200


def test_a_person_announces_a_route_of_their_own(api: Api) -> None:
    observe(api.context, people(), amplified())
    where = "/v1/upstream/announcements"
    body: dict[str, Any] = {"match": f"udp src-port 53 dst {VICTIM}", "peer": "two"}
    answer = api.call("POST", where, json=body | {"bps": 2_000_000, "ttl": "5m"})
    assert answer.status_code == 201, answer.text
    made = answer.json()
    assert (made["state"], made["peer"], made["by"]) == ("announced", "two", "root")
    assert made["what"].endswith("to 2 Mbit/s")
    assert "0% (at most" in made["cost"], "it is measured like a proposal"
    assert 290 < made["ends_in"] <= 300
    problem(api.call("POST", where, json=body), 409, "conflict")
    hole = {"match": f"dst {VICTIM}", "peer": "two", "kind": "rtbh"}
    problem(api.call("POST", where, json=hole), 409, "unconfirmed")
    typed = api.call("POST", where, json=hole | {"confirm": f"{VICTIM}/32"})
    assert typed.json()["kind"] == "rtbh"
    for wrong, status in (
        ({"peer": "x"}, 404),
        ({"incident": "x"}, 404),
        ({"match": "udp"}, 400),
        ({"match": "udp dst 203.0.113.7"}, 400),
        ({"match": f"udp ttl 5 dst {VICTIM}"}, 400),
        ({"ttl": "2d"}, 400),
        ({"bps": -1}, 400),
        ({"rate": 1}, 400),
    ):
        kind = "not-found" if status == 404 else "bad-request"
        problem(api.call("POST", where, json=body | wrong), status, kind)


def test_everything_is_withdrawn_by_one_call(api: Api) -> None:
    made = proposed(api)
    assert {each["peer"] for each in made} == {"isp1", "two"}
    api.call("POST", f"/v1/upstream/announcements/{made[0]['id']}", json={})
    assert len(api.call("DELETE", "/v1/upstream/announcements").json()["withdrawn"]) == 4
    assert not api.call("GET", "/v1/upstream").json()["announcements"]


def test_invalid_requests_are_refused_with_a_reason(api: Api) -> None:
    where = "/v1/upstream/proposals"
    incident = opened(api, "203.0.113.7")
    refused = problem(api.call("POST", where, json={"incident": incident}), 400, "bad-request")
    assert "not in upstream.own" in refused["detail"]
    problem(api.call("POST", where, json={"incident": "x"}), 404, "not-found")
    problem(api.call("POST", where, json={"incident": incident, "peer": "x"}), 404, "not-found")
    problem(api.call("POST", where, json={"incident": incident, "peers": 1}), 400, "bad-request")
    problem(api.call("POST", "/v1/upstream/peers/x/freeze", json={"on": True}), 404, "not-found")


def test_a_peer_can_be_frozen_and_released(api: Api) -> None:
    where = "/v1/upstream/peers/isp1/freeze"
    assert api.call("POST", where, json={"on": True}).json()["frozen"]
    assert api.call("GET", "/v1/upstream").json()["peers"][0]["frozen"]
    assert not api.call("POST", where, json={"on": False}).json()["frozen"]


def test_a_speaker_that_does_not_answer_is_reported(api: Api) -> None:
    (peer, _) = api.call("GET", "/v1/upstream").json()["peers"]
    assert (peer["up"], peer["why"]) == (False, "the BGP speaker does not answer")
    assert any("BGP speaker does not answer" in each for each in api.context.health.warnings())


def test_without_peers_the_answer_says_what_to_configure(tmp_path: Path) -> None:
    with running(tmp_path) as api:
        answer = api.call("DELETE", "/v1/upstream/announcements")
        assert "[[upstream.peers]]" in answer.json()["detail"]
        assert api.call("GET", "/v1/upstream").json()["peers"] == []


def test_a_rehearsal_is_begun_for_a_spare_address_and_ends_with_its_result(api: Api) -> None:
    other, spare = "/v1/upstream/peers/{}/rehearsals", "198.51.100.250"
    where = other.format("isp1")
    refused = problem(api.call("POST", where, json={"address": spare}), 400, "bad-request")
    assert "nothing is observed" in str(refused)
    observe(api.context, people())
    begun = api.call("POST", where, json={"address": spare})
    assert begun.status_code == 201, begun.text
    assert begun.json()["what"] == f"drop dst {spare}"
    assert 110 < begun.json()["ends_in"] <= 120
    problem(api.call("POST", other.format("two"), json={"address": spare}), 409, "conflict")
    used = problem(api.call("POST", where, json={"address": VICTIM}), 400, "bad-request")
    assert "is used" in str(used)
    api.call("DELETE", "/v1/upstream/announcements")
    for peer, body, status, kind in (
        ("two", {"address": "198.51.100.0/24"}, 400, "bad-request"),
        ("two", {"address": "203.0.113.7"}, 400, "bad-request"),
        ("two", {"address": spare, "kind": "diversion"}, 400, "bad-request"),
        ("two", {"address": "x"}, 400, "bad-request"),
        ("three", {"address": spare}, 404, "not-found"),
    ):
        problem(api.call("POST", other.format(peer), json=body), status, kind)
    seen = "/v1/upstream/peers/isp1/rehearsal"
    problem(api.call("PUT", seen, json={"seen": True}), 404, "not-found")
    peering = api.context.peering
    assert peering is not None
    kept = Rehearsal(0.0, "root", Kind.RTBH, "drop", accepted=True, enforced=True)
    peering._controller.submit(lambda d: d.rehearsals.__setitem__("isp1 rtbh", kept)).result(5)
    (rehearsal,) = api.call("PUT", seen, json={"seen": True, "kind": "rtbh"}).json()["rehearsals"]
    assert rehearsal["says"] == "rtbh: accepted, enforced, seen there"
    peering.speaker = FakeSpeaker()  # type: ignore[assignment]
    assert any("rehearsed more than a year ago" in text for text in peering.warnings())


def test_nothing_is_rehearsed_while_the_link_is_full(api: Api) -> None:
    link = api.context.uplinks.links["eth0"]
    for _ in range(5):
        link.add(Reading(1_000, link.uplink.bits_in, 0, 900))
    where = "/v1/upstream/peers/isp1/rehearsals"
    refused = problem(api.call("POST", where, json={"address": "198.51.100.250"}), 409, "conflict")
    assert "rehearse in peacetime" in str(refused)
