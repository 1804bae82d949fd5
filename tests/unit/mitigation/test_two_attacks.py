# SPDX-License-Identifier: GPL-2.0-or-later
"""Many events, two detectors, two victims, two waves: rules end when they must."""

import threading
import time

import pytest

from tests.support.apiclient import Api
from tests.support.fakes import upkeep
from tests.support.hooked import (
    VICTIM,
    configured,
    event,
    flood,
    hit,
    incidents,
    loud,
    quiet,
    say,
    standing,
    whole,
)
from xdpctl.errors import StoreError
from xdpctl.incidents.ledger import ledger

BAN = {"value": "203.0.113.7", "scope": "Ip", "type": "ban", "duration": "4h", "scenario": "x"}


def test_the_longer_of_two_detectors_bans_holds_until_both_have_ended(box: Api) -> None:
    (rule,) = say(box, "event", event("1", sources=["203.0.113.7"], ttl=600))["rules"]
    assert say(box, "crowdsec", {"new": [BAN], "deleted": None})["rules"] == [rule]
    assert standing(box)[rule]["expires_in"] == pytest.approx(4 * 3600)
    assert say(box, "event", event("1", "ended", sources=["203.0.113.7"]))["released"] == []
    assert say(box, "crowdsec", {"new": None, "deleted": [BAN]})["released"] == [rule]


def test_a_source_that_one_detector_monitors_another_may_drop(box: Api) -> None:
    configured(box, detectors={"event": {"mode": "observe"}})
    (rule,) = say(box, "event", event("1", sources=["203.0.113.7"]))["rules"]
    assert standing(box)[rule]["mode"] == "monitor"
    say(box, "crowdsec", {"new": [BAN], "deleted": None})
    assert standing(box)[rule]["mode"] == "enforce"


def test_one_event_id_on_two_victims_ends_on_both(box: Api) -> None:
    first = flood(box)
    other = {"victim": "198.51.100.3", "attack": "udp_flood"}
    (second,) = say(box, "event", event("1", **other))["rules"]
    assert sorted(say(box, "event", event("1", "ended"))["released"]) == sorted([first, second])
    assert not any(held["open"] for held in incidents(box))


def test_too_many_events_do_not_close_the_incident_early(box: Api) -> None:
    names = [f"198.18.{n // 200}.{n % 200}" for n in range(300)]
    say(box, "event", [event(name, sources=[name]) for name in names])
    say(box, "event", [event(name, "ended", sources=[name]) for name in names[:250]])
    (held,) = incidents(box)
    assert held["open"], "fifty rules of it stand"


def test_many_events_on_one_victim_neither_stop_its_ladder_nor_its_rule(box: Api) -> None:
    configured(box, ladder={"limit": 30})
    for number in range(40):
        rule = flood(box, str(number))
    other = {"victim": "198.51.100.3", "attack": "udp_flood"}
    (second,) = say(box, "event", event("other", **other))["rules"]
    hit(box, second, 0)
    box.clock.advance(600)
    assert flood(box, "40") == rule
    box.clock.advance(600)
    assert rule in standing(box)
    assert loud(box, rule) == [rule]
    assert standing(box)[rule]["action"] == "drop"


def test_a_rule_that_continues_into_the_next_attack_is_in_both_incidents(box: Api) -> None:
    rule = flood(box)
    hit(box, rule, 5_000)
    assert say(box, "event", event("1", "ended"))["held"] == [rule]
    box.clock.advance(400)
    assert flood(box, "2") == rule
    hit(box, rule, 905_000)
    second, first = incidents(box)
    assert (first["packets"], second["packets"]) == (5_000, 900_000)
    say(box, "event", event("2", "ended"))
    assert quiet(box) == [rule]
    for held, packets in zip(incidents(box), (900_000, 5_000), strict=True):
        assert (held["rules_made"], held["rules_ended"], held["packets"]) == (1, 1, packets)
        assert whole(box, held["id"])["rules"][0]["packets"] == packets
    assert whole(box, first["id"])["rules"][0]["why"] == f"it continues in {second['id']}"


@pytest.mark.parametrize("phase", ["began", "ended"])
def test_an_event_without_a_name_is_refused_and_harms_nobody(box: Api, phase: str) -> None:
    said = say(box, "event", event("", phase, victim=VICTIM, attack="udp_flood"), 400)
    assert said["field"] == "id"
    assert box.controller.problem is None


def test_an_internal_error_in_one_operation_fails_only_that_one(box: Api) -> None:
    gate, entered = threading.Event(), threading.Event()

    def wait(draft: object) -> None:
        entered.set()
        gate.wait(10)

    box.controller.submit(wait)
    entered.wait(10)

    def broken(draft: object) -> None:
        raise IndexError("a defect")

    before = box.controller.submit(lambda draft: draft.note("x", "before", ""))
    bad = box.controller.submit(broken)
    after = box.controller.submit(lambda draft: draft.note("x", "after", ""))
    gate.set()
    before.result(10)
    after.result(10)
    with pytest.raises(IndexError):
        bad.result(10)
    audited = [r["action"] for r in box.call("GET", "/v1/audit").json()["records"]]
    assert (audited.count("before"), audited.count("after")) == (1, 1)
    assert box.controller.problem is None


def test_a_measure_that_does_not_fit_the_victim_is_refused(box: Api) -> None:
    protect = [{"attack": "udp_flood", "match": "src 203.0.113.0/24"}]
    configured(box, protect=protect)
    said = say(box, "event", event("6", victim="2001:db8:66::7", attack="udp_flood"))
    assert said["refused"]
    assert (standing(box), incidents(box)) == ({}, [])


def test_the_wall_clock_may_step_while_an_attack_goes_on(box: Api) -> None:
    configured(box, ladder={"monitor": 10})
    rule = flood(box)
    upkeep(box.controller, box.clock)
    assert box.context.ladder.step(0.0) == []
    for step in (3_600.0, -86_400.0):
        box.clock.unix += step
        upkeep(box.controller, box.clock)
        (held,) = incidents(box)
        assert held["open"]
    assert box.context.ladder.step(11.0) == [rule]
    box.clock.advance(901)
    upkeep(box.controller, box.clock)
    (held,) = incidents(box)
    assert (held["open"], standing(box)) == (False, {})


def test_a_rule_that_another_detector_enforced_stays_enforced(box: Api) -> None:
    configured(box, detectors={"crowdsec": {"mode": "observe"}})
    said = {"new": [BAN], "deleted": None}
    (rule,) = say(box, "crowdsec", said)["rules"]
    say(box, "event", event("1", sources=["203.0.113.7"]))
    say(box, "crowdsec", said)
    assert standing(box)[rule]["mode"] == "enforce"


def jail(verb: str, *more: str) -> dict[str, object]:
    return {"argv": [verb, *more], "stdin": ""}


def test_a_flush_ends_only_bans_that_no_other_jail_or_detector_holds(box: Api) -> None:
    for name in ("sshd", "recidive"):
        say(box, "fail2ban", jail("ban", name, "203.0.113.7", "600"))
    say(box, "fail2ban", jail("ban", "sshd", "203.0.113.8", "600"))
    say(box, "fail2ban", jail("ban", "sshd", "203.0.113.9", "600"))
    say(box, "crowdsec", {"new": [{**BAN, "value": "203.0.113.8"}], "deleted": None})
    assert say(box, "fail2ban", jail("flush", "sshd"))["released"] == ["203.0.113.9_32"]
    assert set(standing(box)) == {"203.0.113.7_32", "203.0.113.8_32"}
    assert say(box, "fail2ban", jail("flush", "recidive"))["released"] == ["203.0.113.7_32"]
    assert not any(one["open"] for one in incidents(box) if "fail2ban" in one["detectors"])


def test_the_end_of_another_decision_does_not_end_a_ban(box: Api) -> None:
    captcha = {**BAN, "type": "captcha", "duration": "-1s"}
    (rule,) = say(box, "crowdsec", {"new": [BAN], "deleted": None})["rules"]
    assert say(box, "crowdsec", {"new": None, "deleted": [captcha]})["released"] == []
    assert rule in standing(box)


def test_events_that_were_not_stored_do_not_count_against_a_detector(
    box: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    box.context.hooks.rule_limits.most = 100
    asked = event("1", sources=[f"203.0.113.{n}" for n in range(40)])
    with monkeypatch.context() as broken:
        broken.setattr(box.store, "write", no_room)
        for _ in range(3):
            say(box, "event", asked, 503)
    assert len(say(box, "event", asked)["rules"]) == 40
    assert box.context.hooks.rule_limits.room("event", time.monotonic()) == 60


def no_room(*_: object) -> int:
    raise StoreError("the disk is full")


def next_wave(box: Api) -> str:
    """A rule that has hit 5,000 packets, and goes on in the next attack."""
    rule = flood(box)
    hit(box, rule, 5_000)
    say(box, "event", event("1", "ended"))
    box.clock.advance(400)
    assert flood(box, "2") == rule
    return rule


def test_counters_that_were_reset_are_used_as_they_are(box: Api) -> None:
    rule = next_wave(box)
    hit(box, rule, 100)  # as after a reboot
    assert incidents(box)[0]["packets"] == 100
    say(box, "event", event("2", "ended"))
    assert quiet(box) == [rule]
    assert incidents(box)[0]["packets"] == 100


def test_the_rate_does_not_jump_when_a_rule_of_an_earlier_attack_ends(box: Api) -> None:
    rule = next_wave(box)
    flood(box, "3")
    (held,) = (one for one in box.controller.state.incidents.values() if one.open)
    box.context.files.prepare()
    box.context.recorder.step(0.0)
    hit(box, rule, 5_500)
    box.context.recorder.step(1.0)
    box.call("DELETE", f"/v1/rules/{rule}")
    box.context.recorder.step(2.0)
    assert [row[1] for row in whole(box, held.id)["evidence"]["rates"]] == [500.0, 0.0]


def test_a_rule_of_a_deleted_incident_belongs_to_the_next_one(
    box: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger, "INCIDENTS_MAX", 1)
    rule = next_wave(box)
    hit(box, rule, 905_000)
    (held,) = incidents(box)
    assert (held["packets"], held["rules_made"]) == (900_000, 1)


def test_rules_beyond_the_listed_ones_are_counted_once(box: Api) -> None:
    names = [f"203.0.113.{n}" for n in range(150)]
    say(box, "event", event("1", sources=names))
    for name in names:
        hit(box, f"{name}_32", 1_000)
    bans = {"new": [{**BAN, "value": name} for name in names], "deleted": None}
    say(box, "crowdsec", bans)
    say(box, "event", event("1", "ended", sources=names))
    box.clock.advance(400)
    say(box, "crowdsec", bans)
    assert sum(one["packets"] for one in incidents(box)) == 150_000
