# SPDX-License-Identifier: GPL-2.0-or-later
"""What an operator expects: the detector does nothing about it, and learns nothing of it."""

from typing import Any

import numpy as np

from bench.detection.made import ATTACKS
from tests.support.watching import World
from tests.unit.flood.test_harm import stream
from xdpctl.abi.constants import FlowState, Traffic
from xdpctl.base.net.prefix import parse_prefix
from xdpctl.flood.mitigation import State
from xdpctl.flood.mitigations import TAKEN_BACK
from xdpctl.flood.settings import FLOORS
from xdpctl.model.expectation import Expectation
from xdpctl.traffic.packets import PacketArray

HOST = parse_prefix("192.0.2.1")
UDP = ATTACKS["UDP, all at random"]
Random = np.random.Generator


def expected(**more: Any) -> tuple[Expectation, ...]:
    given = {"times": 6.0, "kind": "udp", **more}
    return (Expectation(name="bell", by="root", created_at=1.0, **given),)


def test_expected_traffic_starts_nothing_up_to_its_rate() -> None:
    world = World()
    world.engine.expectations = expected()
    world.play(5.0, UDP, 25_000)
    assert world.actions() == []
    world.play(2.0, UDP, 60_000)
    assert world.actions(), "more than that is met"
    other = World()
    other.engine.expectations = expected()
    other.play(3.0, ATTACKS["chargen"], 25_000)
    assert other.actions(), "another kind is met"


def test_expected_traffic_above_the_threshold_is_not_learnt() -> None:
    world = World(learnt=False)
    world.engine.expectations = expected()
    world.play(70.0, UDP, 25_000, 0.1)
    assert world.engine.usual._bucket.get((HOST, Traffic.UDP), 0.0) <= FLOORS[Traffic.UDP]
    assert world.engine.normal.of_family(4).count(Traffic.UDP) < 300


def test_traffic_expected_of_a_host_causes_no_rule_on_its_network() -> None:
    """The other hosts of the network get too few packets for an attack."""

    def others(random: Random, count: int) -> PacketArray:
        made = ATTACKS["UDP, all at random"](random, count)
        raw = np.zeros((count, 16), np.uint8)
        raw[:, :3] = 192, 0, 2
        raw[:, 3] = np.where(random.random(count) < 0.8, 1, random.integers(2, 250, count))
        made["destination"] = raw.reshape(-1).view("S16")
        return made

    world = World()
    world.engine.expectations = expected(times=0.0, pps=200_000.0, destination="192.0.2.1")
    world.play(4.0, others, 20_000)
    assert world.actions() == []


def test_a_standing_mitigation_of_expected_traffic_is_only_probed() -> None:
    world = World()
    world.play(2.0, UDP, 25_000)
    assert world.actions()
    world.engine.expectations = expected()
    world.play(13.0, UDP, 25_000)
    assert {mitigation.state for mitigation in world.engine.mitigations.active} == {State.PROBING}


def test_allowed_traffic_does_not_hide_a_larger_attack() -> None:
    """The detector's answer was refused, since an operator has removed its rule."""
    world = World()
    world.play(2.0, ATTACKS["DNS water torture"], 6_500)
    (mitigation,) = world.engine.mitigations.active
    world.engine.mitigations.answered(mitigation.id, TAKEN_BACK)
    world.engine.expectations = expected(times=0.0, pps=9_750.0, kind="dns_query")
    world.play(4.0, ATTACKS["DNS water torture"], 6_500)
    assert world.actions() == []
    world.play(2.0, ATTACKS["DNS water torture"], 400_000)
    assert world.actions()


def test_expected_traffic_is_left_alone_beside_an_attack() -> None:
    """Beside an attack, kinds are looked at below their thresholds."""

    def both(random: Random, count: int) -> PacketArray:
        made = [ATTACKS["chargen"](random, count - count // 8), UDP(random, count // 8)]
        return np.concatenate(made)

    for expectations, kinds in (((), {"udp_service", "udp"}), (expected(), {"udp_service"})):
        world = World()
        world.engine.expectations = expectations
        world.play(4.0, both, 25_000)
        assert {mitigation.kind for mitigation in world.engine.mitigations.active} == kinds


def test_reflected_answers_are_not_expected_unless_named() -> None:
    world = World()
    world.engine.expectations = expected(times=0.0, pps=200_000.0, kind="")
    world.play(2.0, ATTACKS["NTP monlist"], 100_000)
    assert world.actions() == ["drop"]


def test_traffic_in_known_flows_can_be_expected_too() -> None:
    flow = stream(protocol=17, destination_port=9, flow=FlowState.KNOWN)
    world = World()
    world.engine.expectations = expected(times=0.0, pps=90_000.0)
    world.play(4.0, flow, 80_000)
    assert world.actions() == []
    world.engine.expectations = ()
    world.play(4.0, flow, 80_000)
    assert world.actions() == ["limit"]
