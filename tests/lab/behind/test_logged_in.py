# SPDX-License-Identifier: GPL-2.0-or-later
"""Logged-in users stay connected and newcomers get in, wherever the box is."""

import time
from collections.abc import Iterator

import pytest

from tests.lab.behind import scenario
from tests.lab.behind.floods import FLOODS, Flood, flooding
from tests.lab.behind.places import PLACES
from tests.lab.behind.scenario import Scene
from tests.lab.conftest import generator
from tests.lab.morning import scenario as morning
from tests.lab.questions import counted
from tests.support.other_version import OTHER_MEMORY, OTHER_SHAPES, Changes, other_version
from xdpctl.abi.constants import Reason
from xdpctl.lab.flood import Generator
from xdpctl.lab.waits import eventually

__all__ = ["generator"]
SECONDS = 2.0
LOST = 0.005
SYN, ACK = FLOODS[0], FLOODS[1]
_SUCCESSION = "xdpctl/datapath/loader/succession.py"
_MORNING = morning.FROM_OUTSIDE[-3:]  # `make morning` plays all of them


@pytest.fixture(params=PLACES)
def scene(request: pytest.FixtureRequest, generator: Generator) -> Iterator[Scene]:
    with scenario.scene(request.param, generator) as made:
        yield made


@pytest.fixture
def bridge(generator: Generator) -> Iterator[Scene]:
    with scenario.scene("bridge", generator, 40) as made:
        yield made


def test_no_flood_breaks_a_session_or_a_udp_conversation(scene: Scene) -> None:
    for felt in scenario.every_flood(scene, SECONDS):
        assert felt.broken == 0, felt
        assert felt.lost <= LOST, felt
        assert felt.dropped > 100_000, felt
    assert counted(scene.box, Reason.FAULT) == 0


def test_newcomers_get_in_by_a_challenge(scene: Scene) -> None:
    with flooding(scene.place, scene.generator, "SYN", 150_000):
        rule = scenario.sign(scene, Flood("SYN", "proto tcp"), action="challenge")
        time.sleep(2.0)
        first = scenario.newcomers(scene, 100)
        again = scenario.newcomers(scene, 100)
        assert scene.sessions.all_answer()
    scenario.unsign(scene, rule)
    assert sum(each is not None for each in first) >= 95, first
    assert sum(each is not None for each in again) >= 95, again
    status = scene.box.client.call("GET", "/v1/status")["challenges"]
    assert status["right"] >= 95
    assert counted(scene.box, Reason.CHALLENGED) > 10_000


@pytest.mark.parametrize("syncookies", [1, 2])
def test_syn_cookies_let_everybody_in_on_the_box_itself(
    generator: Generator, syncookies: int
) -> None:
    """With syncookies=1 the kernel sends cookies only if its queue is full; before, SYNs pass."""
    with scenario.scene("host", generator, 5) as scene:
        scene.place.box.sysctl("net.ipv4.tcp_syncookies", syncookies)
        rule = scenario.sign(scene, Flood("SYN", "proto tcp dst-port 80"), action="cookies")
        with flooding(scene.place, generator, "SYN", 50_000):
            assert all(scenario.newcomers(scene, 20))
        sent = scene.box.client.call("GET", "/v1/status")["challenges"]["sent"]
        assert (sent > 1_000) or syncookies == 1
        scenario.unsign(scene, rule)


def test_forged_syns_with_two_sequence_numbers_teach_nothing(bridge: Scene) -> None:
    """The server answers the second SYN with an ACK."""
    before = bridge.box.client.call("GET", "/v1/status")["flow_memory"]["used"]
    with flooding(bridge.place, bridge.generator, "SYN", 20_000):
        time.sleep(1.0)
    with flooding(bridge.place, bridge.generator, "ACK", 20_000):
        time.sleep(0.5)
    after = bridge.box.client.call("GET", "/v1/status")["flow_memory"]["used"]
    assert after - before < 20


@pytest.mark.parametrize("kind", ["bridge", "router"])
def test_the_morning_behind_the_box_breaks_no_session(generator: Generator, kind: str) -> None:
    with scenario.scene(kind, generator, more=morning.SETTINGS) as scene:
        for number, _ in enumerate(morning.waves(scene.place, scene.box, played=_MORNING)):
            assert scene.sessions.all_answer(), f"a session breaks in wave {number}"
        assert counted(scene.box, Reason.FAULT) == 0


def test_without_the_flow_memory_sessions_behind_a_bridge_stall(bridge: Scene) -> None:
    """The drop spares only this host's connections, and behind a bridge there are none."""
    rule = scenario.sign(bridge, ACK, action="drop", spare="established")
    assert eventually(lambda: bridge.sessions.waiting(1.0) == 40)
    scenario.unsign(bridge, rule)
    assert eventually(lambda: bridge.sessions.waiting(1.0) == 0)
    assert bridge.sessions.all_answer()


def test_sessions_survive_a_crash_a_restart_and_a_new_cable(bridge: Scene) -> None:
    drops = [
        scenario.sign(bridge, Flood("", match), action="drop")
        for match in ("proto tcp", "proto udp")
    ]
    with flooding(bridge.place, bridge.generator, "ACK", 50_000):
        bridge.box.kill()
        bridge.talks.mark()
        time.sleep(1.0)
        assert bridge.talks.worst().lost <= LOST
        assert bridge.sessions.all_answer(), "with every process dead"
        bridge.box.start()
        assert bridge.talks.worst().lost <= LOST
        assert bridge.sessions.all_answer(), "after a start"
    bridge.place.cut_cable()
    time.sleep(0.2)
    bridge.place.cable_world(bridge.generator.pass_fd)

    def attached() -> bool:
        port = bridge.box.client.call("GET", "/v1/interfaces")["interfaces"]["out0"]
        return port["state"] == "attached" and bool(port["teaches"])

    assert eventually(attached)
    heard = [each.heard for each in bridge.talks.all]

    def heard_anew() -> bool:
        """The world has found the server's card again: it asks once a second (ARP)."""
        return all(e.heard > was for e, was in zip(bridge.talks.all, heard, strict=True))

    assert eventually(heard_anew)
    bridge.talks.mark()
    time.sleep(0.5)
    assert bridge.sessions.all_answer(), "with new cards"
    assert bridge.talks.worst().lost <= LOST
    modes = [bridge.box.client.call("GET", f"/v1/rules/{rule}")["mode"] for rule in drops]
    assert modes == ["enforce", "enforce"]


@pytest.mark.parametrize("changes", [OTHER_SHAPES, OTHER_MEMORY], ids=["shapes", "memory"])
def test_sessions_survive_an_upgrade_to_other_maps_and_the_way_back(
    bridge: Scene, changes: Changes
) -> None:
    """All of them are known flows, which the rules spare; nothing else passes."""
    box = bridge.box
    for match in ("proto tcp", "proto udp"):
        scenario.sign(bridge, Flood("", match), action="drop")
    other = other_version(box.directory / "other", changes)
    if changes is OTHER_MEMORY:  # the way back learns as long
        here = other_version(box.directory / "here", {_SUCCESSION: changes[_SUCCESSION]})
    else:
        here = {}
    with flooding(bridge.place, bridge.generator, "ACK", 50_000):
        for environment in (other, here):
            bridge.talks.mark()
            box.stop()
            box.environment = environment
            box.start()
            assert bridge.sessions.all_answer()
            assert bridge.talks.worst().lost <= LOST
    assert not bridge.sessions.broken
    assert counted(box, Reason.FAULT) == 0
