# SPDX-License-Identifier: GPL-2.0-or-later
"""No logged-in user is cut off by rules that are removed, expire or change."""

from pathlib import Path
from typing import Any

import pytest

from tests.support.apiclient import Api, problem
from tests.support.fakes import (
    ROOT,
    FakeClock,
    FakeDatapath,
    ask,
    controller,
    place,
    protect,
    upkeep,
)
from tests.support.hooked import configured, event, say
from xdpctl.abi.constants import Reason
from xdpctl.base.net.prefix import parse_prefix
from xdpctl.control.controller import Controller
from xdpctl.control.operations import rules
from xdpctl.control.operations.challenges import without_challenges
from xdpctl.model.effect import Action, Mode, Spare
from xdpctl.model.identity import Caller, Role
from xdpctl.model.match.text import parse as parse_match
from xdpctl.model.protection import CONFIGURED
from xdpctl.model.requests import RuleRequest

ALICE, BOB = "203.0.113.7", "2001:db8:5::7"  # logged in by ssh
ACCEPT = f"/v1/rules/{ALICE}_32"
AROUND = "203.0.113.0/24"


@pytest.fixture
def peopled(api: Api) -> Api:
    """A box on which two people are logged in."""
    api.controller.set_logins([parse_prefix(ALICE), parse_prefix(BOB)])
    return api


def log_in(control: Controller) -> None:
    control.set_logins([parse_prefix(ALICE)])


def match(control: Controller, text: str, who: Caller = ROOT, **more: Any) -> str:
    """Add a rule on a match; return its id."""
    request = RuleRequest(match=parse_match(text), **more)
    return control.submit(lambda draft: rules.add(draft, request, who)).result().rule.id


def drops(datapath: FakeDatapath, clock: FakeClock) -> bool:
    """Whether the fake kernel's table of sources drops Alice."""
    return datapath.decide(parse_prefix(ALICE).address, clock.ns) is Reason.DROPPED


def test_a_drop_by_match_that_loses_its_accept_is_suspended_too(tmp_path: Path) -> None:
    with controller(tmp_path, FakeDatapath(), clock := FakeClock()) as control:
        place(control, ask(ALICE, "accept", ttl=30.0))
        match = RuleRequest(match=parse_match("tcp dst-port 22"), spare=Spare.NONE)
        made = control.submit(lambda draft: rules.add(draft, match, ROOT)).result()
        control.set_logins([parse_prefix(ALICE)])
        upkeep(control, clock)
        assert control.state.matches[made.rule.id].mode is Mode.ENFORCE, "it has time yet"
        upkeep(control, clock, seconds=22)
        assert control.state.matches[made.rule.id].mode is Mode.MONITOR


def test_all_drops_around_an_expiring_accept_are_suspended_in_time(tmp_path: Path) -> None:
    """Also if upkeep is late, after a stall."""
    for late in (22, 40):
        (tmp_path / str(late)).mkdir()
        datapath, clock = FakeDatapath(), FakeClock()
        with controller(tmp_path / str(late), datapath, clock) as control:
            for length in range(17, 25):
                place(control, ask(str(parse_prefix(ALICE).widened(length))))
            for number in range(9):
                match(control, f"tcp dst-port 22 ttl {number}", spare=Spare.NONE)
            place(control, ask(ALICE, "accept", ttl=30.0))
            log_in(control)
            upkeep(control, clock)
            upkeep(control, clock, seconds=late)
            clock.advance(20)
            assert not drops(datapath, clock)
            held = [*control.state.rules.values(), *control.state.matches.values()]
            left = [each.id for each in held if each.mode is Mode.ENFORCE]
            assert not [each for each in left if each != f"{ALICE}_32"]


def test_a_user_whose_protection_ends_is_kept_in(tmp_path: Path) -> None:
    datapath, clock = FakeDatapath(), FakeClock()
    with controller(tmp_path, datapath, clock) as control:
        control.set_protection(protect({AROUND: CONFIGURED})).result()
        place(control, ask("203.0.0.0/16"))
        log_in(control)
        control.set_protection(protect({})).result()
        assert not drops(datapath, clock)
        assert b"no longer protected" in b"".join(control.store.audit(0, 5000))


def test_a_user_who_logged_in_during_bypass_is_kept_in(tmp_path: Path) -> None:
    datapath, clock = FakeDatapath(), FakeClock()
    with controller(tmp_path, datapath, clock) as control:
        place(control, ask(AROUND))
        control.set_bypass(True, "root").result()
        log_in(control)
        control.set_bypass(False, "root").result()
        control.submit(lambda draft: None).result()
        assert not drops(datapath, clock)


@pytest.mark.parametrize("way", ["remove", "below", "an end"])
def test_an_accept_by_a_match_keeps_a_user_in_too(peopled: Api, way: str) -> None:
    peopled.controller.set_logins([])
    made = {"match": "tcp dst-port 22", "action": "accept", "priority": -10}
    accept = peopled.call("POST", "/v1/rules", json=made).json()["id"]
    body = {"match": f"tcp src {AROUND}", "spare": "none"}
    drop = peopled.call("POST", "/v1/rules", json=body).json()["id"]
    peopled.controller.set_logins([parse_prefix(ALICE)])
    match way:
        case "remove":
            answer = peopled.call("DELETE", f"/v1/rules/{accept}")
        case "below":
            answer = peopled.call("PATCH", f"/v1/rules/{drop}", json={"priority": -20})
        case _:
            answer = peopled.call("PATCH", f"/v1/rules/{accept}", json={"ttl": "1m"})
    assert ALICE in problem(answer, 409, "lockout")["detail"]


def test_an_expiring_drop_does_not_permit_a_lasting_one(peopled: Api) -> None:
    peopled.controller.set_logins([])
    peopled.add(AROUND, ttl="10m")
    peopled.controller.set_logins([parse_prefix(ALICE)])
    wider = {"match": {"source": "203.0.0.0/16"}}
    problem(peopled.call("POST", "/v1/rules", json=wider), 409, "lockout")
    path = f"/v1/rules/{AROUND.replace('/', '_')}"
    problem(peopled.call("PATCH", path, json={"ttl": None}), 409, "lockout")
    assert peopled.call("PATCH", path, json={"ttl": "8m"}).status_code == 200


@pytest.mark.parametrize(
    ("limit", "usable"),
    [
        ({"pps": 0.1, "per": "source"}, False),
        ({"pps": 100, "per": "source/1"}, False),
        ({"bps": 1000, "per": "source"}, False),
        ({"pps": 100, "per": "source"}, True),
    ],
)
def test_a_limit_for_each_source_lets_a_session_go_on_or_is_refused(
    peopled: Api, limit: dict[str, Any], usable: bool
) -> None:
    body = {"match": "tcp dst-port 22", "action": "limit", "spare": "none", "limit": limit}
    answer = peopled.call("POST", "/v1/rules", json=body)
    assert (answer.status_code == 201) is usable, answer.text


@pytest.mark.parametrize("name", [f"{ALICE}", f"{ALICE}/32", f"{ALICE}_32"])
def test_a_trial_is_confirmed_by_any_form_of_its_id(peopled: Api, name: str) -> None:
    peopled.add(ALICE, confirm_within=60)
    path = f"/v1/rules/{name.replace('/', '_')}/confirm"
    assert peopled.call("POST", path).status_code == 200


def test_a_challenge_that_cannot_leave_counts_only_where_its_limit_would_hit_people(
    tmp_path: Path,
) -> None:
    who = Caller("builtin", Role.DETECTOR, "builtin")
    with controller(tmp_path, FakeDatapath(), FakeClock()) as control:
        asked = {"action": Action.CHALLENGE, "ttl": 600.0}
        near = match(control, f"tcp src {AROUND} dst 198.51.100.7", who, **asked)
        far = match(control, "tcp src 198.18.0.0/24 dst 198.51.100.7", who, **asked)
        log_in(control)
        control.submit(lambda draft: without_challenges(draft, "eth0")).result()
        held = control.state.matches
        assert (held[near].action, held[near].mode) == (Action.CHALLENGE, Mode.MONITOR)
        assert (held[far].action, held[far].mode) == (Action.LIMIT, Mode.ENFORCE)


def test_the_end_of_an_event_removes_no_needed_accept_and_the_rest_is_done(
    peopled: Api,
) -> None:
    peopled.controller.set_logins([])
    say(peopled, "event", event("1", sources=[ALICE]))
    assert peopled.call("PATCH", ACCEPT, json={"action": "accept"}).status_code == 200
    peopled.add(AROUND)
    peopled.controller.set_logins([parse_prefix(ALICE)])
    said = say(peopled, "event", [event("1", "ended", sources=[ALICE]), _begun("2")])
    assert said["rules"] == ["198.18.0.9_32"]
    assert ALICE in str(said["refused"])
    assert peopled.call("GET", ACCEPT).json()["action"] == "accept"


def _begun(name: str) -> Any:
    return event(name, sources=["198.18.0.9"])


@pytest.mark.parametrize("way", ["remove", "monitor", "set", "in bulk", "undo", "an end"])
@pytest.mark.parametrize("behind", ["drop", "match"])
def test_no_way_to_remove_an_accept_cuts_off_a_logged_in_user(
    peopled: Api, way: str, behind: str
) -> None:
    """Without the accept, the user would meet a wider drop or a rule on a match."""
    if way == "set":
        peopled.put("ours", f"{ALICE}\n", action="accept", allow_private="true")
    else:
        number = peopled.add(ALICE, action="accept")["change"]
    if behind == "drop":
        peopled.add("203.0.113.0/24")
    else:
        body = {"match": "tcp dst-port 22", "spare": "none", "confirm_within": 60}
        made = peopled.call("POST", "/v1/rules", json=body).json()
        assert peopled.call("POST", f"/v1/rules/{made['id']}/confirm").status_code == 200
    match way:
        case "remove":
            answer = peopled.call("DELETE", ACCEPT)
        case "monitor":
            answer = peopled.call("PATCH", ACCEPT, json={"mode": "monitor"})
        case "an end":
            answer = peopled.call("PATCH", ACCEPT, json={"ttl": "1m"})
        case "in bulk":
            which = {"id": f"{ALICE}_32", "count": 1}
            answer = peopled.call("DELETE", "/v1/rules", params=which)
        case "undo":
            answer = peopled.call("POST", f"/v1/history/{number}/undo")
        case _:
            answer = peopled.call("DELETE", "/v1/sets/ours", params={"force": "true"})
    assert ALICE in problem(answer, 409, "lockout")["detail"]


def test_a_rule_that_locks_users_out_needs_a_trial_which_may_then_be_confirmed(
    peopled: Api,
) -> None:
    body = {"match": {"source": "203.0.113.0/24"}}
    made = peopled.add("203.0.113.0/24", confirm_within=60)
    problem(peopled.call("POST", "/v1/rules", json=body), 409, "lockout")
    assert peopled.call("POST", f"/v1/rules/{made['id']}/confirm").status_code == 200


def test_an_import_refuses_only_the_lines_that_lock_users_out(peopled: Api) -> None:
    lines = "198.18.5.0/24\n203.0.113.0/24\n198.18.6.0/24\n"
    answer = peopled.call(
        "POST", "/v1/rules/bulk", content=lines, headers={"Content-Type": "text/plain"}
    ).json()
    assert (answer["added"], answer["rejected"]) == (2, 1)
    assert "a user is logged in" in answer["rejects"][0]["error"]


@pytest.mark.parametrize("watched", [False, True])
def test_only_the_logged_in_source_of_an_event_is_refused(peopled: Api, watched: bool) -> None:
    """Also if another detector monitored the source before, and its rule would begin to drop."""
    if watched:
        configured(peopled, detectors={"event": {"mode": "observe"}})
        say(peopled, "event", event("1", sources=[ALICE]))
        configured(peopled, detectors={})
    said = say(peopled, "crowdsec", {"new": [_ban(ALICE), _ban("198.18.0.9")], "deleted": None})
    assert said["rules"] == ["198.18.0.9_32"]
    assert ALICE in str(said["refused"])


def _ban(source: str) -> dict[str, str]:
    """A decision of CrowdSec."""
    return {"value": source, "scope": "Ip", "type": "ban", "duration": "4h", "scenario": "x"}
