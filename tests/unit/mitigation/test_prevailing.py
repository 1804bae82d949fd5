# SPDX-License-Identifier: GPL-2.0-or-later
"""An operator's change of a detector's rule is kept."""

import pytest

from tests.support.apiclient import Api, problem
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
from xdpctl.base.net.tcp_peers import Connections, Peers


def test_a_enforced_rule_stays_enforced(box: Api) -> None:
    configured(box, ladder={"monitor": 600, "limit": 30})
    rule = flood(box)
    assert box.call("POST", f"/v1/rules/{rule}/enforce").status_code == 200
    box.clock.advance(300)
    flood(box, phase="continues")
    held = standing(box)[rule]
    assert (held["mode"], held["expires_in"]) == ("enforce", pytest.approx(900))
    assert loud(box, rule) == [], "nor does it climb any more"


@pytest.mark.parametrize(
    "change", [{"mode": "monitor"}, {"limit": {"pps": 50_000}}, {"mode": "monitor", "tags": ["x"]}]
)
def test_an_operators_change_of_a_rule_is_not_reverted(box: Api, change: dict[str, object]) -> None:
    rule = flood(box)
    assert box.call("PATCH", f"/v1/rules/{rule}", json=change).status_code == 200
    before = standing(box)[rule]
    flood(box, phase="continues")
    after = standing(box)[rule]
    assert (after["mode"], after["limit"]) == (before["mode"], before["limit"])
    assert say(box, "event", event("1", "ended"))["released"] == [rule], "its end is its end"


def test_a_source_that_an_operator_set_to_monitor_stays_so(box: Api) -> None:
    (rule,) = say(box, "event", event("1", sources=["203.0.113.7"]))["rules"]
    box.call("PATCH", f"/v1/rules/{rule}", json={"mode": "monitor"})
    say(box, "event", event("1", "continues", sources=["203.0.113.7"]))
    assert standing(box)[rule]["mode"] == "monitor"


def test_a_rule_that_an_operator_takes_over_is_no_longer_the_detectors(box: Api) -> None:
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


@pytest.mark.parametrize("tag", ["ending", "event-0", "watched", "group-web", "armed-edge1"])
def test_reserved_tags_are_refused(box: Api, tag: str) -> None:
    asked = {"match": {"destination": VICTIM}, "action": "limit", "limit": {"pps": 5}}
    refused = box.call("POST", "/v1/rules", json={**asked, "tags": ["mine", tag]})
    assert (
        f"'{tag}' is one that xdpctl gives itself" in problem(refused, 400, "bad-request")["detail"]
    )
    line = f'{{"match": {{"source": "203.0.113.7"}}, "tags": ["{tag}"]}}'
    kind = {"content-type": "application/x-ndjson"}
    read = box.call("POST", "/v1/rules/bulk", content=line, headers=kind).json()
    assert (read["added"], read["rejected"]) == (0, 1)


def test_an_undone_rule_does_not_count_as_a_measure_that_helped(box: Api) -> None:
    say(box, "event", event("1", victim=VICTIM, attack="amplification", port=443))
    (rule,) = standing(box)
    hit(box, rule, 5_000)
    assert box.call("POST", "/v1/automatic/undo", json={"since": "10m"}).json()["removed"] == [rule]
    box.clock.advance(400)
    assert rule not in say(box, "event", event("2", victim=VICTIM, attack="syn_flood"))["rules"]


def test_an_operators_removal_is_in_the_incident(box: Api) -> None:
    rule = flood(box)
    hit(box, rule, 5_000)
    box.call("DELETE", f"/v1/rules/{rule}")
    (held,) = incidents(box)
    assert (held["rules_ended"], held["packets"]) == (1, 5_000)
    (done,) = whole(box, held["id"])["rules"]
    assert done["why"].startswith("removed by")


def test_a_freeze_before_an_event_prevents_its_rules(box: Api) -> None:
    class Slow(Connections):
        def now(self) -> Peers:
            assert box.call("PUT", "/v1/automatic", json={"mode": "off"}).json()["mode"] == "off"
            return Peers()

    box.context.hooks.connections = Slow()
    said = say(box, "event", event("1", sources=["203.0.113.7"]))
    assert (said["mode"], said["rules"], standing(box)) == ("off", [], {})


def test_a_later_event_does_not_change_a_rule_that_an_operator_took_over(box: Api) -> None:
    say(box, "event", event("1", sources=["203.0.113.7"]))
    rule = box.add("203.0.113.7", status=200)["id"]
    say(box, "event", event("1", "ended", sources=["203.0.113.7"]))
    box.clock.advance(400)
    before = standing(box)[rule]["etag"]
    say(box, "event", event("2", sources=["203.0.113.7"]))
    assert standing(box)[rule]["etag"] == before


def test_an_incident_says_what_a_rule_does_since_somebody_enforced_it(box: Api) -> None:
    """What it counted before is no hit; undoing the change puts the record back, too."""
    configured(box, mode="observe")
    rule = flood(box)
    hit(box, rule, 5_000)
    assert whole(box, "latest")["short"]["open"].startswith("1 rule only counts")
    done = box.call("PATCH", f"/v1/rules/{rule}", json={"mode": "enforce", "action": "drop"}).json()
    told = whole(box, "latest")
    assert told["short"]["open"].startswith("1 rule in force")
    assert "they hit 0 packets" in told["short"]["done"]
    assert (told["rules"][0]["action"], told["rules"][0]["mode"]) == ("drop", "enforce")
    hit(box, rule, 5_700)
    assert "they hit 700 packets" in whole(box, "latest")["short"]["done"]
    box.call("POST", f"/v1/history/{done['change']}/undo")
    told = whole(box, "latest")
    assert told["rules"][0]["mode"] == "monitor"
    assert told["packets"] == 700, "what was dropped stays counted"
