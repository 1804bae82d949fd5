# SPDX-License-Identifier: GPL-2.0-or-later
"""The hook of the embedded detector: its rules, its modes, and what an operator says to them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.apiclient import Api, running
from tests.support.hooked import OURS, VICTIM, incidents, say, standing, whole
from xdpctl.incidents import report

MATCH = f"dst {VICTIM} proto udp length 540"
FINDING: dict[str, Any] = {
    "kind": "udp",
    "rate": 25_000.0,
    "threshold": 5_000.0,
    "heads": 100,
    "coverage": 0.99,
    "because": ["the sources are spread as forged ones are"],
    "deciding": [{"component": "packet_length", "values": "540", "now": 1.0, "before": 0.01}],
    "collateral": [{"kind": "udp", "samples": 1000, "hits": 0, "bound": 0.003}],
    "picture": {"component": "packet_length", "labels": ["540"], "now": [1.0], "before": [0.0]},
}


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    with running(tmp_path, 2000, OURS) as api:
        yield api


def told(phase: str = "began", **more: Any) -> list[dict[str, Any]]:
    given: dict[str, Any] = {
        "phase": phase,
        "id": f"{VICTIM} udp 1.1",
        "victim": VICTIM,
        "kind": "udp",
        "match": MATCH,
        "action": "drop",
        "ttl": 300,
        "rate": 25_000,
    }
    return [given | more]


def rule(api: Api) -> dict[str, Any]:
    (found,) = standing(api).values()
    return found


def test_a_drop_is_added_with_its_finding(api: Api) -> None:
    said = say(api, "builtin", told(finding=FINDING))
    found = rule(api)
    assert (found["text"], found["action"], found["mode"]) == (MATCH, "drop", "enforce")
    assert (found["spare"], found["expires_in"]) == ("known", pytest.approx(300))
    incident = whole(api, said["incidents"][0])
    assert incident["attacks"] == ["udp_flood"]
    (shown,) = incident["findings"]
    assert (shown["rule"], shown["detector"]) == (found["id"], "builtin")
    assert {name: shown[name] for name in FINDING} == FINDING | {"picture": shown["picture"]}
    for text in (report.markdown(incident), report.page(incident)):
        assert "spread as forged ones are" in text


@pytest.mark.parametrize(
    ("action", "more"),
    [("challenge", {"match": f"dst {VICTIM} flags syn&!ack", "kind": "syn"}),
     ("limit", {"limit": {"pps": 500}})],
)  # fmt: skip
def test_limits_and_challenges_are_added_too(api: Api, action: str, more: dict[str, Any]) -> None:
    say(api, "builtin", told(action=action, **more))
    assert rule(api)["action"] == action


def test_a_rule_may_be_monitored_and_enforced_again(api: Api) -> None:
    say(api, "builtin", told())
    say(api, "builtin", told("continues", watch=True))
    assert rule(api)["mode"] == "monitor"
    say(api, "builtin", told("continues"))
    assert rule(api)["mode"] == "enforce"
    say(api, "builtin", told("ended"))
    assert standing(api) == {}


def test_a_rule_that_another_event_needs_stays_enforced(api: Api) -> None:
    say(api, "builtin", told())
    say(api, "builtin", told(id="another"))
    say(api, "builtin", told("continues", watch=True))
    assert rule(api)["mode"] == "enforce"


def test_in_observe_mode_rules_begin_in_monitor_mode(api: Api) -> None:
    say(api, "builtin", told(watch=True))
    assert rule(api)["mode"] == "monitor"


def test_a_rule_that_an_operator_removes_is_not_added_again(api: Api) -> None:
    say(api, "builtin", told())
    undone = api.call("POST", "/v1/automatic/undo", json={"since": "1h"})
    assert undone.status_code == 200
    assert standing(api) == {}
    said = say(api, "builtin", told("continues"))
    assert said["ignored"][0]["why"] == "an operator has removed its rule"
    assert standing(api) == {}


def test_a_freeze_stops_the_detector_at_once(api: Api) -> None:
    api.call("PUT", "/v1/automatic", json={"mode": "off"})
    said = say(api, "builtin", told())
    assert said["ignored"][0]["why"] == "automatic mitigation is off"
    assert standing(api) == {}


@pytest.mark.parametrize("match", [f"dst {VICTIM}", f"dst {VICTIM} proto tcp"])
def test_guards_bound_the_embedded_detector_too(api: Api, match: str) -> None:
    said = say(api, "builtin", told(match=match))
    assert "may not drop all" in said["refused"][0]["why"]
    assert standing(api) == {}


def test_a_victim_outside_our_networks_is_ignored(api: Api) -> None:
    match = "dst 9.9.9.9 proto udp length 540"
    said = say(api, "builtin", told(victim="9.9.9.9", match=match))
    assert "in neither" in said["ignored"][0]["why"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"a": 1}, ""),
        ([{"phase": "began"}], ""),
        (told(kind="nonsense"), "kind"),
        (told(action="accept"), "action"),
        (told(action="limit"), "action"),
        (told(limit={"pps": 5}), "action"),
        (told(match="nonsense 5"), "match"),
        (told(victim="x"), "victim"),
        (told(ttl=-5), "ttl"),
        (told(rate=1e30), "rate"),
        (told(unknown=1), ""),
        (told(id="x" * 999), "id"),
        (told(finding=FINDING | {"because": ["x" * 999]}), "finding"),
        (told(finding=FINDING | {"rejected": ["x"] * 99}), "finding"),
        (told(finding=FINDING | {"rate": "fast"}), ""),
        (told(finding=FINDING | {"rate": -1.0}), "finding"),
        (told(finding=FINDING | {"coverage": 7.0}), "finding"),
        (told(finding=FINDING | {"picture": FINDING["picture"] | {"now": []}}), "finding.picture"),
        (
            told(
                finding=FINDING
                | {"collateral": [{"kind": "udp", "samples": 0, "hits": 0, "bound": 0}]}
            ),
            "finding.collateral",
        ),
        (told() * 300, ""),
    ],
)
def test_bad_bodies_are_refused(api: Api, body: Any, field: str) -> None:
    answer = api.call("POST", "/v1/hooks/builtin", json=body)
    assert answer.status_code == 400
    assert answer.json().get("field", "") == field
    assert standing(api) == {}


def test_the_size_of_a_finding_is_bounded(api: Api) -> None:
    for number in range(40):
        match = f"dst {VICTIM} proto udp length {540 + number}"
        say(api, "builtin", told(match=match, id=f"n{number}", finding=FINDING))
    assert len(whole(api, incidents(api)[0]["id"])["findings"]) == 24
