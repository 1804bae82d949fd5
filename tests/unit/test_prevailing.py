"""What an operator did to a detector's rule stays, and detectors do not end each other's."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes import upkeep
from tests.unit.apiclient import Api, running
from tests.unit.hooked import (
    OURS,
    VICTIM,
    configured,
    event,
    hit,
    incidents,
    quiet,
    say,
    standing,
    whole,
)
from xdpctl.connections import Peers

BAN = {"value": "203.0.113.7", "scope": "Ip", "type": "ban", "duration": "4h", "scenario": "x"}


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Api]:
    with running(tmp_path, 2000, OURS) as box:
        yield box


def flood(box: Api, identity: str = "1", **more: object) -> str:
    """The rule of a flood on the victim."""
    said = say(box, "event", event(identity, victim=VICTIM, attack="udp_flood", **more))
    rule: str = said["rules"][0]
    return rule


def loud(box: Api, rule: str, seconds: int = 40) -> list[str]:
    """What the ladder raises while a rule hits much."""
    raised: list[str] = []
    for second in range(seconds):
        hit(box, rule, 500 * (second + 1))
        raised += box.context.ladder.step(float(second))
    return raised


def test_a_watched_rule_that_is_promoted_stays_so(box: Api) -> None:
    configured(box, ladder={"shadow": 600, "limit": 30})
    rule = flood(box)
    assert box.call("POST", f"/v1/rules/{rule}/promote").status_code == 200
    box.clock.advance(300)
    flood(box, phase="continues")
    held = standing(box)[rule]
    assert (held["mode"], held["expires_in"]) == ("enforce", pytest.approx(900))
    assert loud(box, rule) == [], "nor does it climb any more"


@pytest.mark.parametrize(
    "change", [{"mode": "monitor"}, {"limit": {"pps": 50_000}}, {"mode": "monitor", "tags": ["x"]}]
)
def test_what_an_operator_changed_is_not_changed_back(box: Api, change: dict[str, object]) -> None:
    rule = flood(box)
    assert box.call("PATCH", f"/v1/rules/{rule}", json=change).status_code == 200
    before = standing(box)[rule]
    flood(box, phase="continues")
    after = standing(box)[rule]
    assert (after["mode"], after["limit"]) == (before["mode"], before["limit"])
    assert say(box, "event", event("1", "ended"))["released"] == [rule], "its end is its end"


def test_a_source_that_is_only_watched_by_an_operators_word_stays_so(box: Api) -> None:
    (rule,) = say(box, "event", event("1", sources=["203.0.113.7"]))["rules"]
    box.call("PATCH", f"/v1/rules/{rule}", json={"mode": "monitor"})
    say(box, "event", event("1", "continues", sources=["203.0.113.7"]))
    assert standing(box)[rule]["mode"] == "monitor"


def test_what_an_operator_takes_over_is_his(box: Api) -> None:
    configured(box, ladder={"limit": 30})
    rule = flood(box)
    hit(box, rule, 5_000)
    assert say(box, "event", event("1", "ended"))["held"] == [rule]
    asked = {"match": standing(box)[rule]["match"], "action": "limit", "limit": {"pps": 5_000}}
    assert box.call("POST", "/v1/rules", json=asked).status_code == 200
    assert quiet(box) == []
    assert loud(box, rule) == []
    held = standing(box)[rule]
    assert (held["origin"], held["action"], held["expires_in"]) == ("operator", "limit", None)
    assert not any(tag.startswith(("event-", "ending")) for tag in held["tags"])


def test_an_operator_may_tag_his_own_as_he_likes(box: Api) -> None:
    configured(box, ladder={"shadow": 1, "limit": 1})
    asked = {"match": {"destination": VICTIM}, "action": "limit", "limit": {"pps": 5}}
    more = {"tags": ["ending", "event-0", "watched"], "mode": "monitor"}
    rule = box.call("POST", "/v1/rules", json={**asked, **more}).json()["id"]
    box.clock.advance(60)
    assert (quiet(box), loud(box, rule)) == ([], [])
    assert standing(box)[rule]["mode"] == "monitor"


def test_many_ids_on_one_victim_neither_stop_the_ladder_nor_let_the_rule_run_out(box: Api) -> None:
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


def test_what_was_undone_is_not_what_worked(box: Api) -> None:
    say(box, "event", event("1", victim=VICTIM, attack="amplification", port=443))
    (rule,) = standing(box)
    hit(box, rule, 5_000)
    assert box.call("POST", "/v1/automatic/undo", json={"since": "10m"}).json()["removed"] == [rule]
    box.clock.advance(400)
    assert rule not in say(box, "event", event("2", victim=VICTIM, attack="syn_flood"))["rules"]


def test_what_an_operator_removes_is_on_record(box: Api) -> None:
    rule = flood(box)
    hit(box, rule, 5_000)
    box.call("DELETE", f"/v1/rules/{rule}")
    (held,) = incidents(box)
    assert (held["rules_ended"], held["packets"]) == (1, 5_000)
    (done,) = whole(box, held["id"])["rules"]
    assert done["why"].startswith("removed by")


def test_a_freeze_that_comes_first_holds(box: Api) -> None:
    class Slow:
        fresh = False

        def now(self) -> Peers:
            assert box.call("PUT", "/v1/automatic", json={"mode": "off"}).json()["mode"] == "off"
            return Peers()

    box.context.connections = Slow()  # type: ignore[assignment]
    said = say(box, "event", event("1", sources=["203.0.113.7"]))
    assert (said["mode"], said["rules"], standing(box)) == ("off", [], {})


def test_of_two_detectors_the_longer_ban_holds_and_the_last_end_ends_it(box: Api) -> None:
    (rule,) = say(box, "event", event("1", sources=["203.0.113.7"], ttl=600))["rules"]
    assert say(box, "crowdsec", {"new": [BAN], "deleted": None})["rules"] == [rule]
    assert standing(box)[rule]["expires_in"] == pytest.approx(4 * 3600)
    assert say(box, "event", event("1", "ended", sources=["203.0.113.7"]))["released"] == []
    assert say(box, "crowdsec", {"new": None, "deleted": [BAN]})["released"] == [rule]


def test_what_one_only_watches_another_may_drop(box: Api) -> None:
    configured(box, detectors={"event": {"mode": "shadow"}})
    (rule,) = say(box, "event", event("1", sources=["203.0.113.7"]))["rules"]
    assert standing(box)[rule]["mode"] == "monitor"
    say(box, "crowdsec", {"new": [BAN], "deleted": None})
    assert standing(box)[rule]["mode"] == "enforce"


def test_one_id_on_two_victims_ends_on_both(box: Api) -> None:
    first = flood(box)
    other = {"victim": "198.51.100.3", "attack": "udp_flood"}
    (second,) = say(box, "event", event("1", **other))["rules"]
    assert sorted(say(box, "event", event("1", "ended"))["released"]) == sorted([first, second])
    assert not any(held["open"] for held in incidents(box))


def test_more_events_than_can_be_kept_do_not_close_it_early(box: Api) -> None:
    names = [f"198.18.{n // 200}.{n % 200}" for n in range(300)]
    say(box, "event", [event(name, sources=[name]) for name in names])
    say(box, "event", [event(name, "ended", sources=[name]) for name in names[:250]])
    (held,) = incidents(box)
    assert held["open"], "fifty rules of it stand"


@pytest.mark.parametrize("phase", ["began", "ended"])
def test_an_event_without_a_name_is_refused_and_harms_nobody(box: Api, phase: str) -> None:
    said = say(box, "event", event("", phase, victim=VICTIM, attack="udp_flood"), 400)
    assert said["field"] == "id"
    assert box.controller.problem is None


def test_a_defect_in_one_operation_fails_that_alone(box: Api) -> None:
    gate, entered = threading.Event(), threading.Event()
    box.controller.submit(lambda draft: (entered.set(), gate.wait(10)))
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


def test_a_measure_that_does_not_go_with_the_victim_is_refused_whole(box: Api) -> None:
    protect = [{"attack": "udp_flood", "match": "src 203.0.113.0/24"}]
    configured(box, protect=protect)
    said = say(box, "event", event("6", victim="2001:db8:66::7", attack="udp_flood"))
    assert said["refused"]
    assert (standing(box), incidents(box)) == ({}, [])


def test_the_wall_clock_may_step_while_an_attack_goes_on(box: Api) -> None:
    configured(box, ladder={"shadow": 10})
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


def test_a_rule_that_goes_on_in_the_next_attack_is_of_both_records(box: Api) -> None:
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
    assert whole(box, first["id"])["rules"][0]["why"] == f"it went on in {second['id']}"
