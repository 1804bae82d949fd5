# SPDX-License-Identifier: GPL-2.0-or-later
"""The steps that protect a victim (monitor, limit, drop) only go up."""

from typing import Any

import pytest

from tests.support.apiclient import Api
from tests.support.hooked import (
    VICTIM,
    configured,
    event,
    fastnetmon,
    hit,
    incidents,
    say,
    standing,
    whole,
)
from xdpctl.base.net.prefix import parse_prefix
from xdpctl.config.file import parse
from xdpctl.errors import ConfigError
from xdpctl.mitigation.watchers.release import Activity
from xdpctl.notify.changes import Snapshot, news
from xdpctl.notify.settings import Kind


def flood(box: Api, rule: str, first: int, seconds: int, per_second: int = 500) -> list[str]:
    """Simulate hits second by second; return the rules that went to their next step."""
    moved = []
    for second in range(first, first + seconds):
        hit(box, rule, per_second * (second + 1))
        moved += box.context.ladder.step(float(second))
    return moved


def test_a_step_that_would_lock_users_out_is_not_taken_and_reported_once(box: Api) -> None:
    configured(box, ladder={"monitor": "10s", "limit": 30})
    match = f"tcp src 203.0.113.0/24 dst {VICTIM}"
    (rule,) = say(box, "event", event("1", victim=VICTIM, match=match))["rules"]
    box.controller.set_logins([parse_prefix("203.0.113.7")])
    flood(box, rule, 0, 60)
    held = standing(box)[rule]
    assert (held["mode"], held["tags"].count("raised")) == ("monitor", 1)
    audit = box.call("GET", "/v1/audit", params={"action": "rule.not-raised"}).json()["records"]
    assert len(audit) == 1


def test_without_a_ladder_a_limit_stays_a_limit(box: Api) -> None:
    (rule,) = say(box, "fastnetmon", fastnetmon("ban"))["rules"]
    assert standing(box)[rule]["mode"] == "enforce"
    assert flood(box, rule, 0, 400) == []


def test_a_victims_rule_is_monitored_then_limits_then_drops(box: Api) -> None:
    configured(box, ladder={"monitor": "10s", "limit": 30})
    (rule,) = say(box, "fastnetmon", fastnetmon("ban"))["rules"]
    assert (standing(box)[rule]["mode"], standing(box)[rule]["action"]) == ("monitor", "limit")
    before = dict(box.context.health.snapshot().incidents)
    assert flood(box, rule, 0, 9) == []
    box.clock.advance(9)
    say(box, "fastnetmon", fastnetmon("ban"))
    assert standing(box)[rule]["mode"] == "monitor", "said again, it is still watched"
    box.clock.advance(1)
    assert box.context.ladder.step(10.0) == [rule]
    assert (standing(box)[rule]["mode"], standing(box)[rule]["action"]) == ("enforce", "limit")
    told = [one.kind for one in news(Snapshot(before), box.context.health.snapshot())]
    assert told == [Kind.ESCALATED]

    assert flood(box, rule, 11, 30) == []
    assert flood(box, rule, 41, 1) == [rule]
    held = standing(box)[rule]
    assert (held["action"], held["limit"], held["spare"]) == ("drop", None, "known")
    say(box, "fastnetmon", fastnetmon("ban"))
    assert standing(box)[rule]["action"] == "drop", "said again, it is still dropped"
    assert flood(box, rule, 50, 100) == []

    steps = [e for e in whole(box, incidents(box)[0]["id"])["events"] if e["phase"] == "raised"]
    assert [(e["event"], e["attack"]) for e in steps] == [(rule, "limit"), (rule, "drop")]
    assert steps[1]["note"] == "5,000 pps was exceeded for too long"
    assert incidents(box)[0]["rules_raised"] == 2
    assert box.call("GET", "/v1/audit").text.count("rule.raised") == 2


def test_only_a_limit_exceeded_without_a_pause_becomes_a_drop(box: Api) -> None:
    configured(box, ladder={"limit": "30s"})
    (rule,) = say(box, "fastnetmon", fastnetmon("ban"))["rules"]
    assert standing(box)[rule]["mode"] == "enforce"
    assert flood(box, rule, 0, 20) == []
    assert flood(box, rule, 20, 20, per_second=1) == []
    hit(box, rule, 0)
    box.context.ladder.step(40.0)
    assert flood(box, rule, 41, 29) == []
    assert flood(box, rule, 70, 1) == [rule]


@pytest.mark.parametrize("mode", ["observe", "off"])
def test_nothing_moves_while_detectors_are_not_obeyed(box: Api, mode: str) -> None:
    configured(box, ladder={"monitor": "10s", "limit": "30s"})
    (rule,) = say(box, "fastnetmon", fastnetmon("ban"))["rules"]
    box.call("PUT", "/v1/automatic", json={"mode": mode})
    box.clock.advance(100)
    assert flood(box, rule, 0, 50) == []
    box.call("PUT", "/v1/automatic", json={"mode": None})
    assert box.context.ladder.step(60.0) == [rule]


def test_rules_of_operators_and_ending_rules_are_left_alone(box: Api) -> None:
    configured(box, ladder={"limit": "5s"})
    match = {"protocol": "udp", "destination_port": "53"}
    body = {"match": match, "action": "limit", "limit": {"pps": 100}}
    ours = box.call("POST", "/v1/rules", json=body).json()["id"]
    (theirs,) = say(box, "fastnetmon", fastnetmon("ban"))["rules"]
    hit(box, theirs, 1_000)
    assert say(box, "fastnetmon", fastnetmon("unban"))["held"] == [theirs]
    assert flood(box, ours, 0, 20) == flood(box, theirs, 20, 20) == []


def test_sources_and_measures_that_helped_before_skip_monitor_mode(box: Api) -> None:
    configured(box, ladder={"monitor": "10s"})
    said = say(box, "event", event("1", sources=["203.0.113.7"]))
    assert standing(box)[said["rules"][0]]["mode"] == "enforce"
    wave = event("2", match=f"udp src-port 123 dst {VICTIM}", pps=700)
    (rule,) = say(box, "event", wave)["rules"]
    hit(box, rule, 5_000)
    say(box, "event", event("2", "ended"))
    assert rule not in standing(box), "a monitored rule is removed at once"
    box.clock.advance(3600)
    said = say(box, "event", event("3", victim=VICTIM, attack="syn_flood"))
    modes = {name: standing(box)[name]["mode"] for name in said["rules"]}
    assert modes.pop(rule) == "enforce"
    assert list(modes.values()) == ["monitor"]


@pytest.mark.parametrize(
    ("ladder", "says"),
    [
        ([], "automatic.ladder is .*; expected a table"),
        ({"drop": "1m"}, "unknown setting automatic.ladder.drop; known: monitor, limit"),
        ({"monitor": 0}, "automatic.ladder.monitor is 0"),
        ({"limit": "soon"}, "automatic.ladder.limit is 'soon'; write seconds"),
    ],
)
def test_an_impossible_ladder_is_refused(ladder: Any, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        parse({"automatic": {"ladder": ladder}})


def test_the_activity_of_a_rule_is_measured_between_updates() -> None:
    pulse = Activity()
    assert pulse.update("a", 5_000, 10.0) == (False, 0.0), (
        "the rate before the first update is unknown"
    )
    assert pulse.update("a", 6_000, 11.0) == (True, 1.0)
    assert pulse.update("a", 7_000, 13.0) == (True, 3.0)
    assert pulse.update("a", 7_050, 14.0) == (False, 1.0)
    assert pulse.update("a", 7_050, 17.0) == (False, 4.0)
    pulse.keep(())
    assert pulse.update("a", 9_999, 18.0) == (False, 0.0)


def test_an_incident_keeps_its_hits_when_a_rule_moves_between_the_tables(box: Api) -> None:
    asked = event("1", victim=VICTIM, match="src 203.0.113.0/24", pps=100)
    (rule,) = say(box, "event", asked)["rules"]
    hit(box, rule, 5_000)
    for change in ({"action": "drop"}, {"action": "limit", "limit": {"pps": 50}}):
        assert box.call("PATCH", f"/v1/rules/{rule}", json=change).status_code == 200
        hit(box, rule, 10)
    (incident,) = incidents(box)
    assert whole(box, incident["id"])["packets"] == 5_000 + 10 + 10
