# SPDX-License-Identifier: GPL-2.0-or-later
"""The configuration limits what detectors may do, and an operator's changes take precedence."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.apiclient import Api, problem, running
from tests.support.hooked import OURS, VICTIM, configured, event, say, standing
from xdpctl.config.file import parse
from xdpctl.errors import ConfigError


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    with running(tmp_path, 2000, OURS) as api:
        yield api


def test_off_adds_no_rule_and_observe_only_monitors(api: Api) -> None:
    assert say(api, "event", event(sources=["203.0.113.7"]))["mode"] == "on"
    assert api.call("PUT", "/v1/automatic", json={"mode": "off"}).json()["mode"] == "off"
    said = say(api, "event", event("2", sources=["203.0.113.8"]))
    assert (said["rules"], said["ignored"][0]["why"]) == ([], "automatic mitigation is off")
    assert list(standing(api)) == ["203.0.113.7_32"], "what stands stays"
    api.call("PUT", "/v1/automatic", json={"mode": "observe"})
    say(api, "event", event("2", sources=["203.0.113.8"]))
    assert standing(api)["203.0.113.8_32"]["mode"] == "monitor"
    api.call("PUT", "/v1/automatic", json={"mode": None})
    say(api, "event", event("2", sources=["203.0.113.8"]))
    assert standing(api)["203.0.113.8_32"]["mode"] == "enforce", "and goes into force with on"
    assert say(api, "event", event("1", "ended"))["released"], "ends are heard in every mode"


def test_an_operators_mode_outlives_a_restart(tmp_path: Path) -> None:
    with running(tmp_path, capacity=2000) as api:
        api.call("PUT", "/v1/automatic", json={"mode": "off"})
    with running(tmp_path, capacity=2000) as api:
        held = api.call("GET", "/v1/automatic").json()
        assert (held["mode"], held["configured"]) == ("off", "on")
        assert set(held["detectors"].values()) == {"off"}


def test_each_detector_may_have_its_own_mode(api: Api) -> None:
    configured(api, mode="on", detectors={"suricata": {"mode": "observe"}})
    held = api.call("GET", "/v1/automatic").json()
    assert (held["detectors"]["suricata"], held["detectors"]["event"]) == ("observe", "on")


@pytest.mark.parametrize(
    ("given", "word"),
    [
        ({"mode": "maybe"}, "automatic.mode"),
        ({"ttl": 0}, "automatic.ttl"),
        ({"ttl": "soon"}, "ttl"),
        ({"networks": ["x"]}, "x"),
        ({"max_per_minute": 0}, "max_per_minute"),
        ({"colour": 1}, "automatic.colour"),
        ({"detectors": {"snort": {"mode": "on"}}}, "detectors.snort"),
        ({"detectors": {"event": {"mode": "x"}}}, "detectors.event.mode"),
        ({"protect": [{"attack": "x"}]}, "protect[1].attack"),
        ({"protect": [{"attack": "udp_flood", "match": "dst 1.2.3.4"}]}, "destination"),
        ({"protect": [{"attack": "udp_flood", "match": "udp", "pps": "x"}]}, "pps"),
        ({"protect": [{"attack": "udp_flood", "colour": 1}]}, "colour"),
        ({"protect": {}}, "protect"),
    ],
)
def test_wrong_settings_are_named(given: dict[str, Any], word: str) -> None:
    with pytest.raises(ConfigError, match="automatic") as caught:
        parse({"automatic": given})
    assert word in str(caught.value)


def test_configured_measures_replace_the_built_in_ones(api: Api) -> None:
    own = [
        {"attack": "udp_flood", "match": "udp dst-port 1024-65535", "pps": 77},
        {"attack": "udp_flood", "match": "udp src-port 0"},
    ]
    configured(api, protect=own)
    said = say(api, "event", event(victim=VICTIM, attack="udp_flood"))
    rules = [standing(api)[identity] for identity in said["rules"]]
    assert [(r["action"], r["limit"] and r["limit"]["pps"]) for r in rules] == [
        ("limit", 77),
        ("drop", None),
    ]
    assert say(api, "event", event("2", victim=VICTIM, attack="icmp_flood"))["rules"]


MAPPED = "alerts[].{phase: (on && 'began') || 'ended', id: n, victim: target, attack: kind}"


def test_a_detector_may_be_described_in_the_configuration(api: Api) -> None:
    configured(api, detectors={"netflow": {"events": MAPPED, "mode": "observe"}})
    alert = {"on": True, "n": 7, "target": VICTIM, "kind": "udp_flood"}
    (identity,) = say(api, "netflow", {"alerts": [alert]})["rules"]
    assert standing(api)[identity]["mode"] == "monitor"
    assert "netflow" in api.call("GET", "/v1/automatic").json()["detectors"]
    assert say(api, "netflow", {"alerts": [{"on": False, "n": 7}]})["released"] == [identity]
    assert say(api, "netflow", {"other": 1})["events"] == 0
    say(api, "netflow", {"alerts": [{**alert, "kind": "flood"}]}, 400)


@pytest.mark.parametrize(
    ("detectors", "says"),
    [
        ({"snort": {"mode": "on"}}, "is not a known detector"),
        ({"netflow": {"events": "alerts[.{"}}, "is not a JMESPath"),
        ({"suricata": {"events": "@"}}, "is a built-in detector"),
        ({"Net Flow": {"events": "@"}}, "not a name"),
        ({"netflow": {}}, "mode, events, or both"),
        ([], "automatic.detectors is .*; expected a table"),
    ],
)
def test_errors_in_a_detectors_description_are_named(detectors: Any, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        parse({"automatic": {"detectors": detectors}})


def test_the_configuration_is_reloaded_completely_or_not_at_all(api: Api, tmp_path: Path) -> None:
    file = tmp_path / "xdpctl.toml"
    object.__setattr__(api.context, "config", file)
    file.write_text('[automatic]\nmode = "off"\nmax_per_minute = 7\n[notify]\nurls = ["x://"]\n')
    held = api.call("POST", "/v1/automatic/reload").json()
    assert (held["configured"], held["detectors"]["event"]) == ("off", "off")
    assert api.context.hooks.rule_limits.most == 7
    assert api.context.dispatcher.settings.urls == ("x://",)
    file.write_text('[automatic]\nmode = "offf"\n')
    problem(api.call("POST", "/v1/automatic/reload"), 400, "bad-request")
    assert api.call("GET", "/v1/automatic").json()["configured"] == "off"
