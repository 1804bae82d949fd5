# SPDX-License-Identifier: GPL-2.0-or-later
"""Forms: what each does, what it says, and what is refused without anything being lost."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.apiclient import Api, running
from tests.support.browsing import Browser, text
from tests.support.hooked import OURS, VICTIM, event, say
from tests.unit.mitigation.test_builtin import FINDING, told
from xdpctl_api.dashboard.actions import ACTIONS


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Api]:
    with running(tmp_path, 300, OURS) as api:
        yield api


@pytest.fixture
def browser(box: Api) -> Browser:
    return Browser(box).log_in("admin")


def rules(box: Api) -> dict[str, Any]:
    return {each["id"]: each for each in box.call("GET", "/v1/rules").json()["rules"]}


def test_a_trial_is_added_kept_and_removed(box: Api, browser: Browser) -> None:
    done = browser.act("block", match="src 203.0.113.7", confirm_within="60s")
    assert done["text"] == "drop: packets from 203.0.113.7, ends in 1m unless kept"
    assert rules(box)["203.0.113.7_32"]["confirm_in"] == 60
    assert (
        browser.act("confirm", id="203.0.113.7_32")["text"]
        == "kept until it is removed: drop of packets from 203.0.113.7"
    )
    assert rules(box)["203.0.113.7_32"]["confirm_in"] is None
    gone = browser.act("remove", id="203.0.113.7_32")
    assert not rules(box)
    browser.act("undo", change=str(gone["undo"]))
    assert rules(box)


def test_a_bare_prefix_is_taken_as_a_source(box: Api, browser: Browser) -> None:
    browser.act("block", match="203.0.113.7")
    assert "203.0.113.7_32" in rules(box)


def test_a_rule_with_a_trial_and_a_ttl_shows_the_earlier_end(box: Api, browser: Browser) -> None:
    done = browser.act("block", match="src 203.0.113.7", ttl="30s", confirm_within="60s")
    assert (done["ends_in"], done["keep"]) == (30, "203.0.113.7_32")
    assert "ends in 30s unless kept" in done["text"]
    assert "ends in 30s" in text(browser.get("/"))


def test_a_button_of_an_old_page_does_nothing_to_another_rule(box: Api, browser: Browser) -> None:
    browser.act("block", match="src 203.0.113.7", confirm_within="60s")
    etag = rules(box)["203.0.113.7_32"]["etag"]
    box.call("DELETE", "/v1/rules/203.0.113.7_32")
    box.add("203.0.113.7", action="accept", confirm_within="60s")
    for action in ("confirm", "remove", "enforce"):
        assert browser.act(action, id="203.0.113.7_32", etag=etag)["status"] == 412
    assert rules(box)["203.0.113.7_32"]["confirm_in"] is not None


@pytest.mark.parametrize("identity", [".", "..", "../tokens/of-admin", "x/../../tokens", "%2e%2e"])
def test_a_name_cannot_change_the_api_path(box: Api, browser: Browser, identity: str) -> None:
    box.add("203.0.113.7")
    for action, field in (("remove", "id"), ("revoke-token", "name"), ("undo", "change")):
        assert 400 <= browser.act(action, **{field: identity})["status"] < 500
    encoded = "".join(f"%{ord(each):02x}" for each in identity)
    assert browser.get(f"/incidents/{encoded}").status_code == 404
    assert rules(box)
    assert box.call("GET", "/v1/tokens").json()["tokens"]


def test_a_limit_needs_a_rate(box: Api, browser: Browser) -> None:
    browser.act("block", match="udp src-port 53", action="limit", pps="1000")
    (rule,) = rules(box).values()
    assert rule["limit"]["pps"] == 1000
    refused = browser.act("block", match="udp src-port 53", action="limit", pps="many")
    assert (refused["field"], refused["status"]) == ("pps", 400)
    for number in ("nan", "inf", "1e400"):
        refused = browser.act("block", match="udp", action="limit", pps=number)
        assert refused["status"] == 400, number


def test_monitored_rules_are_enforced(box: Api, browser: Browser) -> None:
    browser.act("block", match="src 203.0.113.7", mode="monitor")
    assert "src 203.0.113.7/32" in text(browser.get("/rules"))
    browser.act("enforce", id="203.0.113.7_32")
    assert rules(box)["203.0.113.7_32"]["mode"] == "enforce"


def test_a_change_that_needs_force_is_asked_again(box: Api, browser: Browser) -> None:
    fields = {"match": "src 32.0.0.0/4", "back": "/rules"}
    refused = browser.post("/actions/block", **fields)
    assert refused.status_code == 409
    assert "It is meant: do it" in text(refused)
    assert not rules(box)
    assert browser.post("/actions/block", **fields, force="true").status_code == 303
    assert rules(box)


def test_a_source_is_released_with_its_ticket(box: Api, browser: Browser) -> None:
    box.call("PUT", "/v1/automatic", json={"mode": "on"})
    say(box, "event", {"id": "e1", "phase": "began", "sources": ["203.0.113.3"]})
    assert rules(box)["203.0.113.3_32"]["action"] == "drop"
    browser.act("release", source="203.0.113.3", ticket="4711")
    rule = rules(box)["203.0.113.3_32"]
    assert (rule["action"], rule["reason"], rule["expires_in"]) == ("accept", "ticket 4711", 3600)


def test_automatic_can_be_switched_off_and_on(box: Api, browser: Browser) -> None:
    assert "automatic is off" in browser.act("automatic", mode="off")["text"]
    assert box.call("GET", "/v1/automatic").json()["mode"] == "off"
    browser.act("automatic", mode="configured")
    assert box.call("GET", "/v1/automatic").json()["mode"] is None


def test_bypass_needs_a_confirmation(box: Api, browser: Browser) -> None:
    assert browser.act("bypass", on="true")["field"] == "sure"
    assert not box.call("GET", "/v1/bypass").json()["on"]
    browser.act("bypass", on="true", sure="yes")
    assert box.call("GET", "/v1/bypass").json()["on"]
    assert "Hurting" in text(browser.get("/"))
    browser.act("bypass", on="false")
    assert not box.call("GET", "/v1/bypass").json()["on"]


def test_an_incident_is_opened_noted_and_closed(box: Api, browser: Browser) -> None:
    page = browser.act("open-incident", victim=VICTIM, note="calls come in")["page"]
    identity = page.rpartition("/")[2]
    browser.act("note", id=identity, text="the provider was called\x00\x1b[31m")
    shown = text(browser.get(page))
    assert "token of-admin: the provider was called" in shown
    assert "\x1b" not in shown
    assert browser.act("close-incident", id=identity)["text"] == f"closed: {identity}"
    assert browser.act("note", id=identity, text="x" * 1001)["status"] == 400


def test_an_incident_that_was_legitimate_is_let_in_and_remembered(
    box: Api, browser: Browser
) -> None:
    (identity,) = say(box, "builtin", told(finding=FINDING))["incidents"]
    assert "It was legitimate" in text(browser.get(f"/incidents/{identity}"))
    done = browser.act("allow-incident", id=identity)["text"]
    assert (
        done == f"rules ended: 1; expected from now on: up to 37,500 packets/s of udp to {VICTIM}"
    )
    assert not rules(box)


def test_a_list_is_monitored_and_enforced(box: Api, browser: Browser) -> None:
    box.put("bad", "9.9.9.9\n")
    browser.act("change-set", name="bad", mode="monitor")
    assert box.call("GET", "/v1/sets/bad").json()["mode"] == "monitor"
    assert "monitor" in text(browser.get("/rules"))
    assert browser.act("refresh", name="bad")["status"] == 400


def test_a_token_is_shown_once(box: Api, browser: Browser) -> None:
    shown = text(browser.post("/actions/create-token", name="eyes", role="viewer"))
    assert "xdpctl_" in shown
    assert "xdpctl_" not in text(browser.get("/system"))
    browser.act("revoke-token", name="eyes")
    assert "eyes" not in [t["name"] for t in box.call("GET", "/v1/tokens").json()["tokens"]]


def test_without_scripts_the_next_page_says_what_was_done(browser: Browser) -> None:
    answer = browser.post("/actions/block", match="src 203.0.113.7", back="/rules?find=203")
    where = answer.headers["location"]
    assert where.startswith("/rules?find=203&said=")
    shown = browser.get(where)
    assert "drop: packets from 203.0.113.7" in text(shown)
    assert "Undo" in text(shown)


def test_a_link_cannot_make_a_page_show_a_message(browser: Browser) -> None:
    shown = text(browser.get("/rules?said=call+0800+555"))
    assert "555" not in shown


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/json", b'{"match": "src 203.0.113.7"}'),
        ("multipart/form-data; boundary=x", b"--x--"),
        ("application/x-www-form-urlencoded", b"match=src+203.0.113.7&match=src+203.0.113.8"),
        ("application/x-www-form-urlencoded", b"&".join(b"f%d=1" % n for n in range(40))),
        ("application/x-www-form-urlencoded", b"\xff\xfe"),
        ("application/x-www-form-urlencoded", b"match=%ff%fe"),
        ("application/x-www-form-urlencoded", b"match=" + b"x" * 20_000),
    ],
)
def test_a_body_that_is_not_a_form_is_refused(
    box: Api, browser: Browser, kind: str, body: bytes
) -> None:
    headers = {"sec-fetch-site": "same-origin", "content-type": kind}
    headers["cookie"] = f"xdpctl={browser.cookies['xdpctl']}"
    answer = box.call("POST", "/actions/block", ("127.0.0.1", 5), headers=headers, content=body)
    assert answer.status_code in (400, 413)
    assert not rules(box)


@pytest.mark.parametrize("action", ACTIONS)
def test_each_action_refuses_an_empty_form_and_a_viewer(box: Api, action: str) -> None:
    operator, viewer = Browser(box).log_in("admin"), Browser(box).log_in("viewer")
    refused = operator.act(action)
    assert 400 <= refused["status"] < 500
    assert refused["detail"]
    fields = {"match": "src 203.0.113.9", "id": "x", "source": "203.0.113.9", "change": "1"}
    fields |= {"mode": "off", "on": "true", "sure": "yes", "text": "x", "victim": VICTIM}
    fields |= {"name": "x", "role": "viewer", "ticket": "1", "key": "rules/x"}
    fields |= {"number": "1"}
    assert viewer.act(action, **fields)["status"] == 403


def test_an_unknown_action_is_reported(browser: Browser) -> None:
    assert browser.act("explode")["status"] == 404


def test_a_full_store_is_reported_and_loses_nothing(box: Api, browser: Browser) -> None:
    browser.act("block", match="src 203.0.113.7")
    box.store.broken = True
    assert browser.act("block", match="src 203.0.113.8")["status"] == 503
    assert Browser(box, dict(browser.cookies)).get("/").status_code == 200
    assert browser.get("/rules").status_code == 200
    assert rules(box).keys() == {"203.0.113.7_32"}


def test_events_of_a_detector_are_on_the_page_of_the_incident(box: Api, browser: Browser) -> None:
    box.call("PUT", "/v1/automatic", json={"mode": "on"})
    say(box, "event", event(victim=VICTIM, attack="udp_flood", note="<b>loud</b>"))
    shown = browser.get("/incidents")
    assert VICTIM in text(shown)
    (identity,) = [each["id"] for each in box.call("GET", "/v1/incidents").json()["incidents"]]
    page = browser.get(f"/incidents/{identity}")
    assert "<b>loud</b>" not in page.text
    assert "<b>loud</b>" in text(page)
