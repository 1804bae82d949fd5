# SPDX-License-Identifier: GPL-2.0-or-later
"""Harm that the detector must not do, and evasions that it must stop, in simulated time."""

from typing import Any

import numpy as np
import pytest

from bench.detection import made
from bench.detection.made import ATTACKS
from tests.support.watching import World, began
from xdpctl.abi.constants import FlowState, Traffic
from xdpctl.base.net.prefix import parse_prefix
from xdpctl.flood.settings import FLOORS, DetectSettings
from xdpctl.flood.usual import Usual
from xdpctl.traffic.packets import PacketArray

Random = np.random.Generator
ONE = bytes((203, 0, 113, 50))
HOST = parse_prefix("192.0.2.1")


def stream(**columns: Any) -> Any:
    """Packets of one source."""

    def make(random: Random, count: int) -> PacketArray:
        given = {"packet_length": 1_400, "ttl": 52, **columns}
        packets = made.packets(count, np.full(count, 0xCB007132, "u4"), **given)
        packets["flow"] = columns.get("flow", FlowState.UNKNOWN)
        return packets

    return make


TUNNELS = {"ESP": 50, "GRE": 47, "IPIP": 4, "6in4": 41, "SCTP": 132}


@pytest.mark.parametrize("learnt", [True, False], ids=["old", "young"])
@pytest.mark.parametrize("name", list(TUNNELS))
def test_a_tunnel_that_nobody_answers_is_left_alone(name: str, learnt: bool) -> None:
    settings = DetectSettings(learning=0 if learnt else 600)
    world = World(settings=settings, learnt=learnt)
    assert world.play(10.0, stream(protocol=TUNNELS[name]), 5_000) == []
    fragments = stream(protocol=TUNNELS[name], fragment=8)
    assert world.play(10.0, fragments, 2_000) == []


@pytest.mark.parametrize("seed", range(4))
def test_a_flood_from_few_sources_limits_each_source(seed: int) -> None:
    world = World(seed=seed)
    (told, *_) = began(world.play(2.0, stream(protocol=17, destination_port=9), 50_000))
    assert told.mitigation.limit
    assert told.mitigation.limit.by_source
    assert told.mitigation.limit.pps >= FLOORS[Traffic.UDP]
    assert not told.mitigation.known, "it spares known flows"


def test_usual_traffic_does_not_keep_a_limit_in_force() -> None:
    """After the flood, a limit on a whole kind of packets meets only the usual rate."""
    world = World(normal=0)
    world.engine.usual.restore(world.unix, {(HOST, Traffic.DNS_QUERY): 6_000.0})
    world.play(2.0, ATTACKS["DNS water torture"], 60_000)
    (limit,) = [
        mitigation for mitigation in world.engine.mitigations.active if mitigation.action == "limit"
    ]
    assert (limit.normal, limit.finding.threshold) == (6_000, 12_000)
    world.play(12.0, ATTACKS["DNS water torture"], 6_000, 0.1)
    assert limit.state == "probing"


def test_people_do_not_keep_a_drop_without_a_baseline_in_force() -> None:
    """20 people send packets of the flood's shape, 700 a second."""
    world = World(settings=DetectSettings(learning=600), learnt=False)
    world.play(6.0, ATTACKS["chargen"], 25_000)
    assert "drop" in world.actions()
    world.play(12.0, ATTACKS["chargen"], 700, 0.1)
    assert {mitigation.state for mitigation in world.engine.mitigations.active} == {"probing"}, (
        "it drops nothing"
    )
    world.play(76.0, ATTACKS["chargen"], 700, 0.1)
    assert world.actions() == []
    world.play(6.0, ATTACKS["chargen"], 25_000)
    world.play(60.0, ATTACKS["chargen"], 25_000, 0.1)
    assert "drop" in world.actions(), "the attack goes on"


def test_people_who_complete_handshakes_do_not_keep_a_challenge_in_force() -> None:
    world = World()
    world.play(2.0, ATTACKS["SYN as all send it"], 25_000)
    assert world.actions() == ["challenge"]

    def bell(random: Random, count: int) -> PacketArray:
        half = max(count // 2, 1)
        opening, done = made.syns(random, half), made.MIX["tcp"][1](random, half)
        done["flow"], done["shaken"] = FlowState.KNOWN, 1
        return np.concatenate([opening, done])

    world.play(100.0, bell, 6_000, 0.1)
    assert world.actions() == []


def test_forged_acks_beside_syns_do_not_count_as_handshakes() -> None:
    world = World()

    def forged(random: Random, count: int) -> PacketArray:
        half = max(count // 2, 1)
        return np.concatenate([made.syns(random, half), made.MIX["tcp"][1](random, half)])

    told = began(world.play(2.0, forged, 5_000))
    assert [t.mitigation.action for t in told] == ["challenge"]
    assert told[0].after < 0.6


def test_traffic_that_a_limit_passes_can_start_another_mitigation() -> None:
    """49 amplifiers, and then 4,000 others of the same kind to the same victim."""
    world = World()

    def reflected(sources: int, length: int, port: int) -> Any:
        def make(random: Random, count: int) -> PacketArray:
            chosen = (random.integers(0, sources, count) + 0x08080000).astype("u4")
            return made.packets(
                count,
                chosen,
                protocol=17,
                source_port=port,
                destination_port=random.integers(1024, 65536, count),
                packet_length=length,
                ttl=52,
            )

        return make

    world.play(3.0, reflected(49, 1_200, 53), 25_000)
    world.leaked = world.sent = 0.0
    world.play(3.0, reflected(4_276, 300, 161), 25_000)
    assert world.leak < 0.2


def test_an_attacker_cannot_use_up_the_number_of_mitigations() -> None:
    """Ten pulses, each of another shape and on many hosts; then a plain flood on another host."""
    world = World()
    for pulse in range(40):

        def shaped(random: Random, count: int, pulse: int = pulse) -> PacketArray:
            packets = ATTACKS["UDP of one length by bots"](random, count)
            packets["packet_length"] = 100 + 20 * pulse
            packets["destination"] = bytes((192, 0, 2, 10 + pulse // 10))
            return packets

        world.play(0.6, shaped, 30_000)
    for host in range(40, 160):

        def on(random: Random, count: int, host: int = host) -> PacketArray:
            packets = ATTACKS["chargen"](random, count)
            packets["destination"] = bytes((192, 0, 2, host))
            return packets

        world.play(0.2, on, 30_000)
    assert len(world.engine.mitigations.active) <= 96
    world.leaked = world.sent = 0.0
    world.play(2.0, ATTACKS["NTP monlist"], 25_000)
    assert world.leak < 0.2


def test_a_flood_in_known_flows_is_noticed_and_gets_a_limit_of_its_own() -> None:
    world = World()
    usual = stream(protocol=17, destination_port=51_820, flow=FlowState.KNOWN)
    assert world.play(3.0, usual, 2_000) == []
    (told, *_) = began(world.play(3.0, usual, 30_000))
    assert told.mitigation.known
    assert told.mitigation.limit
    assert told.mitigation.limit.pps >= 2_000
    young = World(settings=DetectSettings(learning=600), learnt=False)
    assert young.play(3.0, usual, 80_000) == [], "nobody knows yet what it is used to"


def test_a_download_in_one_flow_is_no_attack() -> None:
    world = World()
    acks = stream(protocol=6, tcp_flags=16, packet_length=52, flow=FlowState.KNOWN)
    assert world.play(5.0, acks, 45_000) == []


def test_the_usual_rate_of_a_prefix_is_learnt_for_the_prefix() -> None:
    """6.5 pings a second at each of 200 addresses, day after day."""
    world = World()

    def pings(random: Random, count: int) -> PacketArray:
        packets = made.MIX["pings"][1](random, count)
        raw = np.zeros((count, 16), np.uint8)
        raw[:, :3], raw[:, 3] = (192, 0, 2), random.integers(1, 201, count)
        packets["destination"] = raw.reshape(-1).view("S16")
        return packets

    around = parse_prefix("192.0.2.0/24")
    world.engine.usual.restore(world.unix, {(around, Traffic.ICMP): 1_300.0})
    assert world.play(5.0, pings, 2_000) == []
    assert began(world.play(3.0, pings, 6_000))


def test_rates_are_learnt_for_prefixes_and_for_hosts() -> None:
    world = World(normal=500)
    usual = world.engine.usual
    world.play(30 * 60.0, stream(protocol=17, destination_port=9), 2_000, 0.5)
    assert usual.best((HOST, Traffic.UDP)) > 1_500
    assert usual.best((parse_prefix("192.0.2.0/24"), Traffic.UDP)) > 1_500


def test_an_attacker_cannot_raise_the_baseline_of_the_first_day() -> None:
    began_at = 1_764_201_600.0
    key, usual, unix = (HOST, Traffic.ICMP), Usual(began_at), began_at
    while unix < began_at + 3 * 3_600:
        usual.note(unix, {key: 0.85 * usual.threshold(key, 500.0)})
        unix += 60
    assert usual.threshold(key, 500.0) < 500.0 * 8
