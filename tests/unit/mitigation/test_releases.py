# SPDX-License-Identifier: GPL-2.0-or-later
"""A rule whose detector ended it stays until it is quiet, and returns if the attack does."""

from tests.support.apiclient import Api
from tests.support.hooked import VICTIM, event, fastnetmon, hit, quiet, say


def test_an_ended_rule_stays_while_it_still_hits(box: Api) -> None:
    (rule,) = say(box, "fastnetmon", fastnetmon("ban"))["rules"]
    hit(box, rule, 1_000)
    said = say(box, "fastnetmon", fastnetmon("unban"))
    assert (said["held"], said["released"]) == ([rule], [])
    step = box.context.releases.step
    for second in range(8):
        assert step(100.0 + second) == [], "the flood goes on"
        hit(box, rule, 1_000 + 500 * (second + 1))
    assert step(108.0) == []
    assert [step(108.0 + second) for second in (1, 2, 3)] == [[], [], [rule]]
    assert box.call("GET", f"/v1/rules/{rule}").status_code == 404
    assert "rule.released" in box.call("GET", "/v1/audit").text


def test_an_ended_rule_stays_if_the_attack_begins_again(box: Api) -> None:
    (rule,) = say(box, "fastnetmon", fastnetmon("ban"))["rules"]
    hit(box, rule, 1_000)
    say(box, "fastnetmon", fastnetmon("unban"))
    assert say(box, "fastnetmon", fastnetmon("ban"))["rules"] == [rule]
    assert quiet(box) == []
    assert box.call("GET", f"/v1/rules/{rule}").status_code == 200


def test_a_rule_without_hits_or_in_monitor_mode_is_removed_at_once(box: Api) -> None:
    (rule,) = say(box, "fastnetmon", fastnetmon("ban"))["rules"]
    assert say(box, "fastnetmon", fastnetmon("unban"))["released"] == [rule]
    box.call("PUT", "/v1/automatic", json={"mode": "observe"})
    (rule,) = say(box, "fastnetmon", fastnetmon("ban"))["rules"]
    hit(box, rule, 1_000)
    assert say(box, "fastnetmon", fastnetmon("unban"))["released"] == [rule]


def test_a_rule_that_helped_is_used_again_at_the_next_wave(box: Api) -> None:
    first = event("1", match=f"udp src-port 123 dst {VICTIM}", pps=700)
    (rule,) = say(box, "event", first)["rules"]
    (useless,) = say(box, "event", event("2", match=f"udp src-port 19 dst {VICTIM}"))["rules"]
    hit(box, rule, 5_000)
    for identity in ("1", "2"):
        say(box, "event", event(identity, "ended"))
    quiet(box)
    box.clock.advance(3600)
    wave = event("3", victim=VICTIM, attack="syn_flood")
    said = say(box, "event", wave)
    assert (rule in said["rules"], useless in said["rules"]) == (True, False)
    held = box.call("GET", f"/v1/rules/{rule}").json()
    assert (held["limit"]["pps"], held["action"]) == (700, "limit")
    assert len(say(box, "event", event("3", "ended"))["released"]) == 2
    box.clock.advance(86_401)
    assert len(say(box, "event", wave)["rules"]) == 1, "a day later it is forgotten"
    elsewhere = event("4", victim="198.51.100.9", attack="syn_flood")
    assert len(say(box, "event", elsewhere)["rules"]) == 1
