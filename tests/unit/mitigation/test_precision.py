# SPDX-License-Identifier: GPL-2.0-or-later
"""What a detector says of a victim becomes as precise as the packets that came to it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.detection.made import ATTACKS, balanced, legitimate
from tests.support.apiclient import Api, running
from tests.support.hooked import configured, event, say, standing, whole
from xdpctl.abi.constants import FlowState
from xdpctl.flood.normal import Normal
from xdpctl.flood.settings import DetectSettings
from xdpctl.flood.usual import Usual
from xdpctl.mitigation.precision import Known
from xdpctl.traffic.packets import PacketArray
from xdpctl.traffic.window import Seen

VICTIM = "192.0.2.1"
RANDOM = np.random.default_rng(11)
NORMAL = Normal(RANDOM.permutation(balanced(RANDOM, 2_000)))
Now = dict[str, Any]


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    with running(tmp_path, 2000, {"192.0.2.0/24": "ours"}) as api:
        yield api


def sees(api: Api, *parts: PacketArray, observed: float = 7 * 86_400.0) -> None:
    """Add these packets to the last three seconds of observed traffic."""
    around = legitimate(RANDOM, 300)
    around["flow"] = FlowState.KNOWN
    packets = np.concatenate([around, *parts])
    precision = api.context.hooks.precision
    assert precision is not None
    precision._seen = lambda _: Seen(packets, 0.0, 3.0, 0)
    usual = Usual(0.0, observed)
    precision._known = lambda: Known(lambda _: NORMAL, usual, DetectSettings())


def attack(name: str, rate: float, heads: int = 400) -> PacketArray:
    made = ATTACKS[name](RANDOM, heads)
    made["weight"] = round(3 * rate / heads)
    return made


def flood(api: Api, named: str = "udp_flood", **more: Any) -> list[dict[str, Any]]:
    said = say(api, "event", event(victim=VICTIM, attack=named, **more))
    assert not said["refused"], said
    return [standing(api)[rule] for rule in said["rules"]]


def test_an_event_with_only_a_victim_gets_a_match_from_its_packets(api: Api) -> None:
    sees(api, attack("UDP of one length by bots", 60_000))
    (rule,) = flood(api)
    assert rule["action"] == "drop"
    assert "dst-port 443" in rule["text"]
    (found,) = whole(api, api.call("GET", "/v1/incidents").json()["incidents"][0]["id"])["findings"]
    assert found["coverage"] > 0.99
    assert found["detector"] == "event"


def test_a_wrong_attack_name_does_not_matter(api: Api) -> None:
    """FastNetMon counts SYN-ACKs as SYNs, and would have new connections limited."""
    sees(api, attack("SYN-ACK, reflected", 40_000))
    (rule,) = flood(api, "syn_flood")
    assert rule["action"] == "drop"
    assert "flags syn+ack" in rule["text"]


def test_each_vector_gets_its_own_rule(api: Api) -> None:
    sees(api, attack("NTP monlist", 40_000), attack("SYN as all send it", 40_000))
    texts = {rule["action"]: rule["text"] for rule in flood(api, "unknown")}
    assert "src-port 123" in texts["drop"]
    assert "flags syn" in texts["challenge"]


def test_the_end_of_the_event_ends_all_its_rules(api: Api) -> None:
    sees(api, attack("NTP monlist", 40_000), attack("SYN as all send it", 40_000))
    assert len(flood(api, "unknown")) == 2
    said = say(api, "event", event(phase="ended"))
    assert len(said["released"]) == 2
    assert standing(api) == {}


def test_a_repeated_event_renews_the_rules_and_adds_none(api: Api) -> None:
    sees(api, attack("NTP monlist", 40_000))
    (first,) = flood(api)
    (again,) = flood(api, phase="continues")
    assert again["id"] == first["id"]
    assert len(standing(api)) == 1


@pytest.mark.parametrize("empty", ["late", "nothing", "others", "few"])
def test_without_packets_the_table_of_measures_is_used(api: Api, empty: str) -> None:
    sees(api, attack("NTP monlist", 40_000))
    precision = api.context.hooks.precision
    assert precision is not None
    if empty == "late":
        precision._seen = lambda _: None
    elif empty == "nothing":
        sees(api)
    elif empty == "few":
        sees(api, attack("NTP monlist", 40_000, 20))
    else:
        elsewhere = attack("NTP monlist", 40_000)
        elsewhere["destination"] = bytes((192, 0, 2, 99))
        sees(api, elsewhere)
    (rule,) = flood(api)
    assert (rule["action"], rule["text"]) == ("limit", f"dst {VICTIM} proto udp")


def test_a_configured_measure_is_used_unchanged(api: Api) -> None:
    precision = api.context.hooks.precision
    sees(api, attack("NTP monlist", 40_000))
    configured(api, protect=[{"attack": "udp_flood", "match": "proto udp", "pps": 77}])
    assert precision is not None
    (rule,) = flood(api)
    assert rule["limit"]["pps"] == 77


def test_a_given_match_or_sources_are_used_unchanged(api: Api) -> None:
    sees(api, attack("NTP monlist", 40_000))
    said = say(api, "event", event(match=f"dst {VICTIM} proto udp length 77"))
    assert standing(api)[said["rules"][0]]["text"].endswith("length 77")


def test_a_box_that_has_learnt_nothing_only_limits(api: Api) -> None:
    sees(api, attack("UDP of one length by bots", 60_000), observed=5.0)
    precision = api.context.hooks.precision
    assert precision is not None
    usual = Usual(0.0, 5.0)
    precision._known = lambda: Known(lambda _: Normal.nothing(), usual, DetectSettings())
    (rule,) = flood(api)
    assert rule["action"] == "limit"
