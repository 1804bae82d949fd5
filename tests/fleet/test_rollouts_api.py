# SPDX-License-Identifier: GPL-2.0-or-later
"""What one node tries first, over the API and on the dashboard."""

import pytest

from tests.fleet.test_api import BODY, Apis, apis, pair, sources  # noqa: F401
from tests.support.apiclient import problem
from tests.support.browsing import Browser, text
from xdpctl.lab.waits import until


@pytest.mark.parametrize("seconds", ["", "5", "x", "999999", "1e3", "²"])
def test_a_time_that_is_none_is_refused(apis: Apis, seconds: str) -> None:  # noqa: F811
    one = apis.node("edge1")
    refused = one.call("POST", f"/v1/rules?scope=canary:{seconds}", json=BODY)
    problem(refused, 400, "bad-request")
    assert "cannot be tried for" in refused.text
    assert not sources(one)


def test_a_change_is_tried_on_one_node_and_published_by_a_person(apis: Apis) -> None:  # noqa: F811
    one, two = pair(apis)
    made = one.call("POST", "/v1/rules?scope=canary:600", json=BODY).json()
    assert made["fleet"]["text"].startswith("edge1 alone for 10m, then on all unless")
    number = made["change"]
    shown = one.call("GET", f"/v1/fleet/rollouts/{number}").json()
    assert (shown["keys"], shown["outcome"]) == (["rules/203.0.113.7_32"], None)
    until(lambda: _told(two, "edge1"))
    assert not sources(two)
    page = text(Browser(one).log_in("admin").get("/fleet"))
    assert "Tried on edge1 first" in page
    assert "For all now" in page
    done = one.call("POST", f"/v1/fleet/rollouts/{number}/publish").json()
    assert done["outcome"] == "published"
    until(lambda: sources(two) == {"203.0.113.7_32": "drop"})
    problem(one.call("DELETE", f"/v1/fleet/rollouts/{number}"), 404, "not-found")
    problem(one.call("GET", "/v1/fleet/rollouts/4711"), 404, "not-found")


def test_a_change_is_taken_back_by_a_person_on_the_page(apis: Apis) -> None:  # noqa: F811
    one, two = pair(apis)
    made = one.call("POST", "/v1/rules?scope=canary:600", json=BODY).json()
    browser = Browser(one).log_in("admin")
    done = browser.act("roll-out", number=str(made["change"]), back="1")
    assert "taken back" in done["text"]
    assert not sources(one)
    assert not sources(two)


def test_a_node_is_judged_and_a_policy_is_tried(apis: Apis) -> None:  # noqa: F811
    one, _ = pair(apis)
    refused = one.call("POST", "/v1/fleet/rollouts")
    problem(refused, 400, "bad-request")
    begun = one.call("POST", "/v1/fleet/rollouts?scope=canary:60").json()
    assert begun["keys"] == []
    one.call("DELETE", f"/v1/fleet/rollouts/{begun['number']}")
    text_of = {"toml": '[automatic]\nmode = "observe"\n'}
    elsewhere = one.call("PUT", "/v1/fleet/policy?scope=node:edge2", json=text_of)
    assert "a policy is for all nodes" in elsewhere.text
    tried = one.call("PUT", "/v1/fleet/policy?scope=canary:600", json=text_of).json()
    assert tried["fleet"]["text"].startswith("edge1 alone")
    assert "observe" in tried["toml"]
    (going,) = [
        each for each in one.call("GET", "/v1/fleet").json()["rollouts"] if each["outcome"] is None
    ]
    one.call("DELETE", f"/v1/fleet/rollouts/{going['number']}")
    assert one.call("GET", "/v1/fleet/policy").json()["toml"] == ""


def _told(api: object, name: str) -> bool:
    nodes = api.call("GET", "/v1/fleet").json()["nodes"]  # type: ignore[attr-defined]
    return any(each["name"] == name and each["rollouts"] for each in nodes)
