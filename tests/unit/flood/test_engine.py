# SPDX-License-Identifier: GPL-2.0-or-later
"""The detector in simulated time: attacks, surges, and attackers who know how it works."""

import numpy as np
import pytest

from bench.detection import made
from bench.detection.made import ATTACKS
from tests.support.watching import Making, Told, World, began
from xdpctl.abi.constants import FlowState, Traffic
from xdpctl.base.net.prefix import parse_prefix
from xdpctl.flood.settings import FLOORS, DetectSettings, Most, Part
from xdpctl.traffic.packets import PacketArray

Random = np.random.Generator


# the first could be people connecting, for a moment; the second has TTLs of normal packets
_AT_FIRST = {"TCP with all flags": 0.4, "UDP, all at random": 0.15}
_LATER = {"UDP, all at random": 0.15}


@pytest.mark.parametrize("name", list(ATTACKS))
def test_every_synthetic_attack_is_mitigated(name: str) -> None:
    world = World()
    told = began(world.play(2.0, ATTACKS[name], 25_000))
    assert told, "it was not seen"
    assert told[0].after <= 0.3
    assert world.leak <= _AT_FIRST.get(name, 0.1)
    world.leaked = world.sent = 0.0
    world.play(2.0, ATTACKS[name], 25_000)
    assert world.leak <= _LATER.get(name, 0.06)


def test_normal_traffic_is_left_alone() -> None:
    world = World(normal=4_000)
    assert world.quiet(20.0) == []
    assert world.legitimate_hit == 0


def test_known_flows_are_not_hit_during_an_attack() -> None:
    world = World(known=1.0)
    world.play(3.0, ATTACKS["UDP, all at random"], 100_000)
    assert world.actions()
    assert world.legitimate_hit == 0


def test_a_change_of_vector_is_treated_as_a_new_attack() -> None:
    world = World()
    for name in ("NTP monlist", "SYN, plain", "ICMP echo, large", "GRE by bots"):
        told = began(world.play(1.0, ATTACKS[name], 50_000))
        assert told, name
        assert told[0].after <= 0.2
    for name in ("NTP monlist", "SYN, plain"):
        world.leaked = world.sent = 0.0
        assert began(world.play(1.0, ATTACKS[name], 50_000)) == [], "it is held already"
        assert world.leak < 0.01


def test_quickly_alternating_vectors_are_all_held() -> None:
    world = World()
    names = ("NTP monlist", "chargen", "SYN, plain", "RST")
    for turn in range(60):
        world.play(0.1, ATTACKS[names[turn % 4]], 50_000)
    world.leaked = world.sent = 0.0
    for turn in range(20):
        world.play(0.1, ATTACKS[names[turn % 4]], 50_000)
    assert world.leak <= 0.02


def _spread(name: str, hosts: int) -> Making:
    def make(random: Random, count: int) -> PacketArray:
        packets = ATTACKS[name](random, count)
        raw = np.zeros((count, 16), np.uint8)
        raw[:, :4] = (192, 0, 2, 0)
        number = random.integers(0, hosts, count)
        raw[:, 3], raw[:, 2] = number % 256, 2 + number // 256
        packets["destination"] = raw.reshape(-1).view("S16")
        return packets

    return make


def test_carpet_bombing_is_mitigated_for_the_whole_prefix() -> None:
    world = World()
    told = began(world.play(1.0, _spread("UDP of one length by bots", 256), 30_000))
    assert told[0].after <= 0.15
    assert told[0].mitigation.victim == "192.0.2.0/24"
    assert told[0].mitigation.action == "drop"
    part = World()
    told = began(part.play(1.0, _spread("UDP of one length by bots", 16), 30_000))
    assert told[0].mitigation.victim == "192.0.2.0/28"


def test_a_flood_on_65536_destinations_is_mitigated_for_the_protected_prefix() -> None:
    world = World(ours=(parse_prefix("192.0.0.0/16"),))

    def all_over(random: Random, count: int) -> PacketArray:
        packets = ATTACKS["chargen"](random, count)
        raw = np.zeros((count, 16), np.uint8)
        raw[:, :2] = (192, 0)
        raw[:, 2:4] = random.integers(0, 256, (count, 2))
        packets["destination"] = raw.reshape(-1).view("S16")
        return packets

    told = began(world.play(1.0, all_over, 100_000))
    assert told[0].mitigation.victim == "192.0.0.0/16"
    assert len(world.engine.mitigations.active) <= 2


def test_a_sweep_over_addresses_is_met_with_one_mitigation() -> None:
    world = World()
    for host in range(1, 40):

        def swept(random: Random, count: int, host: int = host) -> PacketArray:
            packets = ATTACKS["SYN, plain"](random, count)
            packets["destination"] = bytes((192, 0, 2, host))
            return packets

        world.play(1.0, swept, 25_000)
    assert world.leak <= 0.05
    assert len(world.engine.mitigations.active) <= 12


def test_packets_to_unprotected_networks_are_ignored() -> None:
    world = World()

    def elsewhere(random: Random, count: int) -> PacketArray:
        packets = ATTACKS["chargen"](random, count)
        packets["destination"] = bytes((198, 51, 100, 1))
        return packets

    assert world.play(2.0, elsewhere, 100_000) == []


def test_traffic_just_below_every_floor_starts_nothing() -> None:
    world = World(normal=200)

    def mixed(random: Random, count: int) -> PacketArray:
        names = ("SYN as all send it", "ICMP echo", "QUIC Initials", "chargen")
        parts = [ATTACKS[name](random, max(count // 4, 1)) for name in names]
        return np.concatenate(parts)

    assert world.play(5.0, mixed, 4 * 0.8 * FLOORS[Traffic.ICMP]) == []


def test_a_slowly_rising_attack_is_seen_at_twice_the_floor_at_most() -> None:
    world = World(normal=200)
    rate, told = 0.0, list[Told]()
    while not told and rate < 4 * FLOORS[Traffic.UDP]:
        rate += 50_000 / 600
        told = began(world.play(1.0, ATTACKS["UDP of one length by bots"], rate, 0.05))
    assert told
    assert rate <= 2 * FLOORS[Traffic.UDP]


def test_a_third_party_that_is_spoofed_is_not_blocked() -> None:
    """A match never has a source: the attacker would choose who is blocked."""
    world = World()

    def as_somebody(random: Random, count: int) -> PacketArray:
        packets = ATTACKS["DNS, not fragmented"](random, count)
        packets["source"] = bytes((9, 9, 9, 9))
        return packets

    world.play(2.0, as_somebody, 50_000)
    assert world.engine.mitigations.active
    for mitigation in world.engine.mitigations.active:
        assert "src " not in mitigation.match


def test_a_flood_shaped_like_the_victims_own_traffic_is_limited_and_known_flows_stay() -> None:
    world = World(known=1.0)

    def alike(random: Random, count: int) -> PacketArray:
        packets = made.legitimate(random, count)
        packets["flow"] = FlowState.UNKNOWN
        return packets

    world.play(3.0, alike, 200_000)
    assert "drop" not in [
        mitigation.action
        for mitigation in world.engine.mitigations.active
        if mitigation.of_kind
        in (Traffic.UDP, Traffic.QUIC_INITIAL, Traffic.DNS_QUERY, Traffic.ICMP)
    ]
    assert world.legitimate_hit == 0


def test_the_mode_can_be_set_by_prefix_and_kind() -> None:
    parts = (
        Part(parse_prefix("192.0.2.0/28"), None, {}, {"udp_service": Most.OFF}),
        Part(parse_prefix("192.0.2.1"), Most.OBSERVE, {"icmp": 100_000.0}, {}),
    )
    settings = DetectSettings(learning=0, prefixes=parts)
    assert settings.most(parse_prefix("192.0.2.1"), Traffic.UDP_SERVICE) is Most.OBSERVE
    assert settings.most(parse_prefix("192.0.2.9"), Traffic.UDP_SERVICE) is Most.OFF
    assert settings.most(parse_prefix("192.0.2.99"), Traffic.UDP_SERVICE) is Most.DROP
    world = World(settings=settings)
    (told, *_) = began(world.play(1.0, ATTACKS["chargen"], 50_000))
    assert told.report.watch, "only observed"
    assert world.leak == 1.0
    assert world.play(1.0, ATTACKS["ICMP echo, large"], 50_000) == []
    assert DetectSettings(mode=Most.OFF).most(parse_prefix("192.0.2.1"), Traffic.UDP) is Most.OFF


def test_packets_read_late_are_no_attack() -> None:
    """Packets of one second that are read at once still count as one second."""
    world = World(normal=500, known=0.0)
    assert world.quiet(10.0, 1.0) == []


def _to(name: str, *hosts: tuple[int, int], shares: tuple[float, ...] | None = None) -> Making:
    """An attack on several addresses 192.0.x.y, each with a share of the packets."""

    def make(random: Random, count: int) -> PacketArray:
        packets = ATTACKS[name](random, count)
        chosen = random.choice(len(hosts), count, p=shares)
        raw = np.zeros((count, 16), np.uint8)
        raw[:, :2] = (192, 0)
        raw[:, 2:4] = np.array(hosts)[chosen]
        packets["destination"] = raw.reshape(-1).view("S16")
        return packets

    return make


def test_side_targets_do_not_hide_the_real_target() -> None:
    world = World()
    hosts = tuple((2, 10 * number + 1) for number in range(10))
    shares = (0.91, *([0.01] * 9))
    told = began(world.play(1.0, _to("chargen", *hosts, shares=shares), 400_000))
    assert told, "it was not seen"
    assert world.leak <= 0.2


def test_victims_in_two_protected_prefixes_are_both_defended() -> None:
    world = World(ours=(parse_prefix("192.0.2.0/24"), parse_prefix("192.0.3.0/24")))
    hosts = tuple((net, 40 * number + 1) for net in (2, 3) for number in range(5))
    told = began(world.play(1.0, _to("chargen", *hosts), 100_000))
    assert told
    world.leaked = world.sent = 0.0
    world.play(1.0, _to("chargen", *hosts), 100_000)
    assert world.leak <= 0.02


def test_without_known_flows_for_a_while_unknown_flows_mean_nothing() -> None:
    world = World(normal=500)
    assert world.engine.taught
    world.known = 0.0
    world.quiet(700.0, 0.5)
    assert not world.engine.taught


def test_a_step_of_the_clock_neither_learns_nor_stops() -> None:
    world = World()
    for step in (-86_400.0, 86_400.0, 3_000.0):
        world.unix += step
        world.quiet(2.0)
        assert began(world.play(1.0, ATTACKS["chargen"], 50_000)) or world.actions()
    assert world.leak <= 0.1


def test_ipv6_attacks_are_held_like_ipv4() -> None:
    six = World(ours=(parse_prefix("2001:db8:2::/48"),))

    def syns(random: Random, count: int) -> PacketArray:
        packets = ATTACKS["SYN as all send it"](random, count)
        packets["family"], packets["fragment"] = 6, 0
        packets["destination"] = bytes.fromhex("20010db8000200000000000000000001")
        raw = random.integers(0, 256, (count, 16)).astype(np.uint8)
        raw[:, 0] = 0x20
        packets["source"] = raw.reshape(-1).view("S16")
        return packets

    told = began(six.play(1.0, syns, 25_000))
    assert told[0].after <= 0.2
    assert told[0].mitigation.action == "challenge"
    assert told[0].mitigation.victim == "2001:db8:2::1"


def test_many_small_vectors_are_met_beside_a_large_one() -> None:
    """20 vectors of 1,250 packets a second: most are below the floors of their kinds."""
    names = list(ATTACKS)[:20]

    def all_of_them(random: Random, count: int) -> PacketArray:
        each = max(1, count // len(names))
        return np.concatenate([ATTACKS[name](random, each) for name in names])

    alone = World()
    alone.play(3.0, ATTACKS["ICMP echo, large"], 450)
    assert alone.actions() == [], "below its floor, and nothing else is attacked"
    world = World()
    for _ in range(100):  # the heads of a step are few: many steps
        world.play(0.1, all_of_them, 25_000)
    assert world.leak <= 0.2
    assert {mitigation.action for mitigation in world.engine.mitigations.active} >= {"drop"}


def test_people_beside_an_attack_are_not_taken_for_a_small_vector() -> None:
    """A third of the people's packets are in unknown flows, of all kinds."""
    world = World(normal=5_000, known=0.66)
    assert world.quiet(3.0) == []
    world.play(6.0, ATTACKS["NTP monlist"], 25_000)
    assert world.actions() == ["drop"]
    assert world.legitimate_hit == 0
