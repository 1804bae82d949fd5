# SPDX-License-Identifier: GPL-2.0-or-later
"""One incident for each attack: opened, updated and closed by detectors' events."""

from pathlib import Path

import pytest

from tests.support.apiclient import Api, problem, running
from tests.support.fakes import upkeep
from tests.support.hooked import OURS, VICTIM, event, fastnetmon, incidents, quiet, say, whole
from xdpctl.abi.structs import Hits
from xdpctl.base.net.prefix import parse_prefix
from xdpctl.base.times import unix
from xdpctl.incidents.ledger import ledger
from xdpctl.model.incident import (
    EVENTS_KEPT,
    RULES_KEPT,
    SOURCES_KEPT,
    Incident,
    decode,
    encode,
    name,
)


def test_an_attack_is_one_incident_with_its_rules_and_hits(box: Api) -> None:
    (identity,) = say(box, "fastnetmon", fastnetmon("ban"))["incidents"]
    rule = whole(box, identity)["rules"][0]
    slot = box.call("GET", f"/v1/rules/{rule['id']}").json()["slot"]
    box.datapath.hit_values[slot] = Hits(1_000, 64_000).pack()
    (held,) = incidents(box)
    assert (held["subject"], held["open"], held["packets"]) == (f"{VICTIM}/32", True, 1_000)
    box.clock.advance(60)
    assert say(box, "fastnetmon", fastnetmon("ban"))["incidents"] == [identity]
    box.clock.advance(60)
    assert say(box, "fastnetmon", fastnetmon("unban"))["held"] == [rule["id"]]
    quiet(box)
    told = whole(box, identity)
    assert [e["phase"] for e in told["events"]] == ["began", "began", "ended"]
    lasted = unix(told["closed_at"]) - unix(told["opened_at"])
    assert not told["open"]
    assert lasted == pytest.approx(120)
    assert (told["packets"], told["bytes"], told["rules_made"]) == (1_000, 64_000, 1)
    (ended,) = told["rules"]
    assert (ended["packets"], ended["why"]) == (
        1_000,
        "the detector ended it, and it had no more hits",
    )
    assert told["attacks"] == ["udp_flood"]
    assert incidents(box, open="true") == []


def test_a_second_vector_joins_the_incident_only_soon_after_it(box: Api) -> None:
    def attack(identity: str, kind: str) -> str:
        said = say(box, "event", event(identity, victim=VICTIM, attack=kind))
        (found,) = said["incidents"]
        return str(found)

    first = attack("1", "udp_flood")
    assert attack("2", "syn_flood") == first
    say(box, "event", event("1", "ended"))
    assert whole(box, first)["open"], "the other goes on"
    say(box, "event", event("2", "ended"))
    box.clock.advance(299)
    assert attack("3", "icmp_flood") == first
    assert whole(box, first)["open"], "opened again"
    say(box, "event", event("3", "ended"))
    box.clock.advance(301)
    second = attack("4", "udp_flood")
    assert second != first
    assert whole(box, first)["attacks"] == ["udp_flood", "syn_flood", "icmp_flood"]
    assert [one["id"] for one in incidents(box)] == [second, first]


def test_two_victims_make_two_incidents(box: Api) -> None:
    for victim in (VICTIM, "198.51.100.3"):
        say(box, "event", event(victim, victim=victim, attack="udp_flood"))
    assert {one["subject"] for one in incidents(box)} == {"198.51.100.2/32", "198.51.100.3/32"}
    assert len({one["id"] for one in incidents(box)}) == 2


def test_an_incident_that_nobody_ends_closes_with_its_last_rule(box: Api) -> None:
    say(box, "event", event(sources=["203.0.113.7"], ttl=30))
    box.datapath.hit(parse_prefix("203.0.113.7"), Hits(7, 700))
    upkeep(box.controller, box.clock, 31)
    (held,) = incidents(box)
    told = whole(box, held["id"])
    assert (told["open"], told["closed_by"]) == (False, "nothing more was reported")
    assert (told["rules"][0]["why"], told["packets"]) == ("it expired", 7)
    assert told["subject"] == "sources named by event"
    assert (told["sources_named"], told["sources"]) == (1, ["203.0.113.7/32"])


def test_an_operators_removal_of_a_rule_is_recorded(box: Api) -> None:
    (identity,) = say(box, "event", event(sources=["203.0.113.7"]))["incidents"]
    box.datapath.hit(parse_prefix("203.0.113.7"), Hits(9, 900))
    box.call("POST", "/v1/automatic/undo", json={"since": "1h"})
    told = whole(box, identity)
    assert (told["rules"][0]["why"], told["packets"]) == ("undone by root", 9)


def test_text_of_a_detector_cannot_move_a_cursor(box: Api) -> None:
    evil = "1\x1b[2J\x07\n2"
    said = say(box, "event", event(evil, sources=["203.0.113.7"], note=evil))
    told = whole(box, said["incidents"][0])["events"][0]
    assert (told["event"], told["note"]) == ("1 [2J  2", "1 [2J  2")
    assert "\\u001b" not in box.call("GET", "/v1/audit").text
    assert say(box, "event", event(evil, "ended"))["released"], "the id itself is what was said"


def test_incidents_outlive_a_restart(tmp_path: Path) -> None:
    with running(tmp_path, 2000, OURS) as box:
        (identity,) = say(box, "fastnetmon", fastnetmon("ban"))["incidents"]
    with running(tmp_path, 2000, OURS) as box:
        assert whole(box, identity)["open"]
        say(box, "fastnetmon", fastnetmon("unban"))
        assert not whole(box, identity)["open"], "the end finds what began before"


def test_tests_switched_off_detectors_and_ignored_events_leave_no_incident(box: Api) -> None:
    say(box, "event", event(victim=VICTIM, attack="udp_flood"), params={"dry_run": "true"})
    say(box, "event", event(victim="192.0.2.1", attack="udp_flood"))
    box.call("PUT", "/v1/automatic", json={"mode": "off"})
    say(box, "event", event(victim=VICTIM, attack="udp_flood"))
    assert incidents(box) == []


def test_an_incident_record_is_bounded_and_counts_everything(box: Api) -> None:
    sources = [f"203.0.{n >> 8}.{n & 255}" for n in range(300)]
    for n in range(EVENTS_KEPT + 20):
        say(box, "event", event("same", sources=sources, note=str(n)))
    (held,) = incidents(box)
    told = whole(box, held["id"])
    assert (told["events_told"], len(told["events"])) == (EVENTS_KEPT + 20, EVENTS_KEPT)
    assert (told["rules_made"], len(told["rules"])) == (300, RULES_KEPT)
    assert (told["sources_named"], len(told["sources"])) == (300, SOURCES_KEPT)


def test_the_oldest_incidents_make_room(box: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "INCIDENTS_MAX", 3)
    for n in range(5):
        victim = f"198.51.100.{n}"
        say(box, "event", event(str(n), victim=victim, attack="udp_flood"))
        say(box, "event", event(str(n), "ended"))
        box.clock.advance(10)
    kept = [one["subject"] for one in incidents(box)]
    assert kept == ["198.51.100.4/32", "198.51.100.3/32", "198.51.100.2/32"]


def test_incident_ids_are_times_and_unique() -> None:
    assert name("x", 1.7e9, frozenset()) == "20231114-221320"
    taken = frozenset(("20231114-221320", "20231114-221320-2"))
    assert name("x", 1.7e9, taken) == "20231114-221320-3"


def test_a_stored_incident_is_read_back_unchanged() -> None:
    held = Incident("a", "b", 1.0, 2.0, 3.0, active=("event-1",))
    assert decode(encode(held)) == held


def test_an_incident_that_does_not_exist_is_404(box: Api) -> None:
    problem(box.call("GET", "/v1/incidents/20261125-081900"), 404, "not-found")
