# SPDX-License-Identifier: GPL-2.0-or-later
"""Hosts inside that attack others are told from those that only work hard."""

from typing import Any

import numpy as np
import pytest

from bench.detection.made import as_six, packets
from xdpctl.abi.constants import FlowState, Reason
from xdpctl.base.net.prefix import Prefix, parse_prefix
from xdpctl.flood.attack import Attack, Does
from xdpctl.flood.attacking import attacks
from xdpctl.traffic.packets import PacketArray, joined
from xdpctl.traffic.window import Seen

_SECONDS = 10.0
_TCP, _UDP, _ICMP = 6, 17, 1
_SYN, _ACK = 2, 16
_PUPIL, _VICTIM = "10.0.0.7", "203.0.113.9"
NOT_ASKED = FlowState.NOT_ASKED
_MAC = bytes((2, 0, 0, 0, 0, 7))


def addresses(given: Any, count: int) -> Any:
    """A column of addresses: one IPv4 address as text, or numbers that are repeated."""
    if isinstance(given, str):
        given = np.array([int.from_bytes(parse_prefix(given).address, "big")], np.uint32)
    raw = np.zeros((count, 16), np.uint8)
    raw[:, :4] = np.resize(given, count).astype(">u4").view(np.uint8).reshape(-1, 4)
    return raw.reshape(-1).view("S16")


def many(
    rate: float, source: Any, destination: Any, heads: int = 500, begins: bool = False, **more: Any
) -> PacketArray:
    """Heads of packets at a rate; addresses are one or an array of numbers."""
    rows = packets(heads, np.full(heads, 0, np.uint32), **more)
    rows["source"], rows["destination"] = addresses(source, heads), addresses(destination, heads)
    rows["weight"] = max(round(rate * _SECONDS / heads), 1)
    rows["flow"] = FlowState.UNKNOWN if begins else NOT_ASKED
    rows["mac"] = np.frombuffer(_MAC, np.uint8)
    return rows


def udp(rate: float, source: Any = _PUPIL, destination: Any = _VICTIM, **more: Any) -> PacketArray:
    ports = {"source_port": 40_000, "destination_port": 9_000, "packet_length": 540}
    return many(rate, source, destination, protocol=_UDP, **(ports | more))


def tcp(
    rate: float, flags: int, source: Any = _PUPIL, destination: Any = _VICTIM, **more: Any
) -> PacketArray:
    ports = {"source_port": 40_000, "destination_port": 443, "packet_length": 60}
    return many(rate, source, destination, protocol=_TCP, tcp_flags=flags, **(ports | more))


BACK = {"source": _VICTIM, "destination": _PUPIL, "source_port": 443, "destination_port": 40_000}
NORMAL = udp(50, "198.51.100.4", "10.0.0.3")  # what comes in anyhow
NORMAL["flow"] = FlowState.KNOWN


def found(out: list[PacketArray], came: list[PacketArray]) -> list[Attack]:
    return attacks(Seen(joined(out), 100.0, 110.0, 0), in_parts([NORMAL, *came]))


def in_parts(came: list[PacketArray]) -> list[Seen]:
    """Five parts of two seconds, among which each packet is spread."""
    packets = joined(came)
    return [Seen(packets[n::5], 100.0 + 2 * n, 102.0 + 2 * n, 0) for n in range(5)]


def spread(count: int) -> np.ndarray[Any, Any]:
    return np.arange(count, dtype=np.uint32) * 977 + 0xCB000000


def _network(count: int) -> np.ndarray[Any, Any]:
    """So many addresses of 203.0.113.0/24."""
    return np.arange(count, dtype=np.uint32) + 0xCB007101


def test_a_flood_that_is_not_answered_names_host_mac_and_victim() -> None:
    (attack,) = found([udp(6_000)], [])
    assert attack.source == parse_prefix(_PUPIL)
    assert attack.destination == parse_prefix(_VICTIM)
    assert attack.mac == "02:00:00:00:00:07"
    assert attack.does is Does.FLOODS
    assert attack.rate == pytest.approx(6_000, rel=0.01)
    assert str(attack) == (
        "sends 6 k packets/s of udp to 203.0.113.9, and nearly none comes back: it floods"
    )


@pytest.mark.parametrize(
    ("out", "came"),
    [
        pytest.param([udp(6_000)], [udp(300, _VICTIM, _PUPIL)], id="a call"),
        pytest.param([udp(3_000)], [], id="below the threshold"),
        pytest.param(
            [tcp(25_000, _ACK, packet_length=1500)], [tcp(6_000, _ACK, **BACK)], id="an upload"
        ),
        pytest.param(
            [tcp(1_200, _SYN, begins=True), tcp(4_800, _ACK)], [], id="many short connections"
        ),
        pytest.param(
            [udp(2_000, destination=spread(500), destination_port=53, begins=True)],
            [udp(1_800, spread(500), _PUPIL, source_port=53)],
            id="a resolver",
        ),
        pytest.param(
            [
                tcp(300, _SYN, destination=spread(500), begins=True),
                tcp(3_000, _ACK, destination=spread(500)),
            ],
            [],
            id="a crawler",
        ),
        pytest.param(
            [
                udp(100, destination=spread(500), destination_port=port, begins=True, heads=25)
                for port in range(20_000, 20_020)
            ],
            [],
            id="a swarm of peers, each on a port of its own",
        ),
        pytest.param(
            [udp(6_000, destination=spread(500), destination_port=51_820)],
            [udp(100, spread(500), _PUPIL)],
            id="calls with many, of whom some answer",
        ),
        pytest.param([udp(9_000, destination=_network(3))], [], id="streams to few receivers"),
        pytest.param(
            [udp(8_000, destination=_network(200))],
            [udp(60, _network(200), _PUPIL)],
            id="calls with a network",
        ),
        pytest.param(
            [
                tcp(3_000, _SYN, destination=spread(500), begins=True),
                tcp(9_000, _ACK, destination=spread(500)),
            ],
            [],
            id="a busy crawler",
        ),
        pytest.param(
            [udp(8_000, "10.0.0.3", spread(500), source_port=53)],
            [udp(7_000, spread(500), "10.0.0.3", destination_port=53)],
            id="a name server",
        ),
    ],
)
def test_who_works_hard_does_not_attack(out: list[PacketArray], came: list[PacketArray]) -> None:
    assert found(out, came) == []


@pytest.mark.parametrize(
    ("out", "words"),
    [
        (
            udp(6_000, destination=_network(200)),
            "sends 6 k packets/s of udp to 200 or more addresses of 203.0.113.0/24, and nearly "
            "none comes back: it floods",
        ),
        (
            udp(6_000, destination=spread(250)),
            "sends 6 k packets/s of udp to 250 or more addresses, and nearly none comes back: it "
            "floods",
        ),
        (
            tcp(
                2_000,
                _SYN,
                destination=_network(200),
                destination_port=np.arange(500) + 1,
                begins=True,
            ),
            "begins 2 k connections/s to 200 or more addresses of 203.0.113.0/24, and completes "
            "nearly none: it floods",
        ),
    ],
    ids=["a network", "any", "SYNs"],
)
def test_a_flood_of_many_is_told_although_none_gets_much(out: PacketArray, words: str) -> None:
    (attack,) = found([out], [])
    assert (str(attack), attack.source) == (words, parse_prefix(_PUPIL))


def test_a_flood_of_an_ipv6_network_is_told() -> None:
    ours = parse_prefix("2001:db8:1::7").address
    out = as_six(udp(6_000), ours)
    raw = np.zeros((len(out), 16), np.uint8)
    raw[:] = np.frombuffer(parse_prefix("2001:db8:2::1").address, np.uint8)
    raw[:, 15] = np.arange(len(out)) % 200 + 1
    out["source"], out["destination"] = ours, raw.reshape(-1).view("S16")
    (attack,) = found([out], [as_six(NORMAL, ours)])
    assert (attack.destination, attack.seen) == (parse_prefix("2001:db8:2::/48"), 200)


def test_what_is_told_of_one_address_or_as_a_scan_is_not_told_again() -> None:
    beside = udp(6_000, destination=_network(200))
    (attack,) = found([udp(6_000), beside], [])
    assert attack.destination == parse_prefix(_VICTIM)
    (scan,) = found([tcp(2_000, _SYN, destination=_network(200), begins=True)], [])
    assert scan.does is Does.SCANS


def test_forged_sources_that_flood_a_network_are_told() -> None:
    forged = udp(6_000, spread(500), _network(200))
    (attack,) = found([forged], [])
    assert (attack.source, attack.destination) == (None, parse_prefix("203.0.113.0/24"))


def test_connections_that_are_never_completed_are_a_flood_although_they_are_answered() -> None:
    answers = tcp(1_500, _SYN | _ACK, **BACK)
    (attack,) = found([tcp(1_500, _SYN, begins=True)], [answers])
    assert str(attack) == (
        "begins 1.5 k connections/s to 203.0.113.9, and completes nearly none: it floods"
    )


@pytest.mark.parametrize(
    ("out", "port"),
    [
        (tcp(40, _SYN, destination=spread(200), destination_port=23, begins=True), 23),
        (udp(40, destination=spread(200), destination_port=161, begins=True), 161),
        (
            many(
                40, _PUPIL, spread(200), begins=True, protocol=_ICMP, icmp_type=8, packet_length=84
            ),
            None,
        ),
    ],
)
def test_a_scan_of_addresses_is_told(out: PacketArray, port: int | None) -> None:
    (attack,) = found([out], [])
    assert (attack.does, attack.port, attack.seen) == (Does.SCANS, port, 200)
    assert "200 or more addresses" in str(attack)


def test_a_scan_of_one_hosts_ports_is_told() -> None:
    ports = np.arange(500) + 1
    (attack,) = found([tcp(50, _SYN, destination_port=ports, begins=True)], [])
    assert str(attack) == "tries 500 or more ports of 203.0.113.9, 50 packets/s: it scans"


def test_forged_sources_are_told_by_the_mac_address() -> None:
    forged = tcp(5_000, _SYN, source=spread(500), begins=True)
    (attack,) = found([forged], [])
    assert (attack.source, attack.seen, attack.who) == (None, 500, "MAC 02:00:00:00:00:07")
    assert "they are forged" in str(attack)


def test_forged_sources_to_many_networks_are_told() -> None:
    forged = tcp(3_000, _SYN, source=spread(500), destination=spread(500), begins=True)
    (attack,) = found([forged], [])
    assert "packets/s of syn to many networks from 500 or more addresses" in str(attack)


def test_a_host_that_answers_forged_requests_is_told() -> None:
    answers = udp(400, "10.0.0.3", _VICTIM, source_port=11_211, packet_length=1_400)
    requests = udp(400, _VICTIM, "10.0.0.3", destination_port=11_211, packet_length=60)
    (attack,) = found([answers], [requests])
    assert (attack.does, attack.port) == (Does.REFLECTS, 11_211)
    assert "port 11211 (memcached), to 203.0.113.9: attackers" in str(attack)


def test_an_open_resolver_that_amplifies_is_told_and_a_busy_one_is_not() -> None:
    answers = udp(3_000, "10.0.0.3", _VICTIM, source_port=53, packet_length=1_400)
    requests = udp(3_000, _VICTIM, "10.0.0.3", destination_port=53, packet_length=60)
    (attack,) = found([answers], [requests])
    assert (attack.does, attack.port) == (Does.REFLECTS, 53)
    small = udp(3_000, "10.0.0.3", _VICTIM, source_port=53, packet_length=300)
    assert found([small], [requests]) == []


SCAN = tcp(40, _SYN, destination=spread(200), destination_port=23, begins=True)


@pytest.mark.parametrize("empty", range(5))
def test_nothing_is_said_if_nothing_known_came_in_for_a_while(empty: int) -> None:
    parts = in_parts([NORMAL])
    out = Seen(SCAN, 100.0, 110.0, 0)
    assert attacks(out, parts)
    parts[empty].packets["flow"] = FlowState.UNKNOWN
    assert attacks(out, parts) == [], "the link was down, or answers take another way"


def test_nothing_is_said_of_a_family_that_has_no_answers() -> None:
    victim, ours = bytes(range(16)), bytes(range(1, 17))
    six = as_six(SCAN, victim)
    six["source"] = ours
    six["destination"] = as_six(udp(1, source=spread(200)), victim)["source"]
    out = Seen(six, 100.0, 110.0, 0)
    assert attacks(out, in_parts([NORMAL])) == []
    (told,) = attacks(out, in_parts([as_six(NORMAL, ours)]))
    assert (told.does, told.source) == (Does.SCANS, Prefix(ours, 128))


def test_nothing_is_said_after_a_short_time() -> None:
    parts = in_parts([NORMAL])
    assert attacks(Seen(SCAN, 100.0, 110.0, 0), parts[:3]) == []
    assert attacks(Seen(SCAN, 100.0, 103.0, 0), parts) == []
    assert attacks(Seen(SCAN[:0], 0.0, 0.0, 0), []) == []


def test_answers_that_would_hardly_be_seen_are_not_missed() -> None:
    coarse = udp(100_000, "198.51.100.5", "10.0.0.4", heads=400)
    assert found([SCAN], [coarse]), "a connection would go on outward"
    question = udp(30, destination=spread(200), destination_port=53, begins=True)
    assert found([question], [NORMAL])
    assert found([question], [coarse]) == [], "60 answers, of which one in 2,500 is seen"
    further = tcp(100_000, _ACK, source="10.0.0.4", heads=400)
    back = tcp(50_000, _ACK, **BACK | {"destination": "10.0.0.4"}, heads=400)
    assert found([SCAN, further], [back]) == [], (
        "200 further packets, of which one in 2,500 is seen"
    )


def test_streams_to_many_receivers_are_no_floods() -> None:
    assert found([udp(20_000, destination="239.1.2.3")], []) == []


def test_hosts_that_retry_a_dead_service_are_not_forged() -> None:
    hosts = spread(500)
    retries = tcp(2_000, _SYN, source=hosts, begins=True)
    alive = udp(500, "198.51.100.4", hosts)
    alive["flow"] = FlowState.KNOWN
    assert [attack.source for attack in found([retries], [alive])] == []
    assert found([retries], [])


@pytest.mark.parametrize(
    ("port", "to"), [(1_194, 40_000), (4_500, 4_500), (37_810, 443), (37_810, 50_000)]
)
def test_downloads_and_calls_from_such_ports_are_no_reflections(port: int, to: int) -> None:
    sent = udp(
        2_500, "10.0.0.3", _VICTIM, source_port=port, destination_port=to, packet_length=1_400
    )
    back = udp(1_000, _VICTIM, "10.0.0.3", source_port=to, destination_port=port, packet_length=100)
    assert found([sent], [back]) == []


def test_each_attack_of_a_host_is_found_the_loudest_first() -> None:
    victims = [f"203.0.113.{number}" for number in range(1, 5)]
    told = found([udp(6_000 + 1_000 * n, destination=to) for n, to in enumerate(victims)], [])
    assert [attack.destination for attack in told] == [
        parse_prefix(victim) for victim in reversed(victims)
    ]


def test_packets_that_rules_dropped_count_as_answers() -> None:
    back = udp(3_000, _VICTIM, _PUPIL)
    back["reason"] = Reason.LIMITED
    assert found([udp(6_000)], [back]) == []


def test_an_attack_is_certain_if_the_address_is_in_use_and_its_frames_have_one_mac() -> None:
    in_use = udp(50, "198.51.100.4", _PUPIL)
    in_use["flow"] = FlowState.KNOWN
    (attack,) = found([udp(6_000)], [in_use])
    assert attack.certain
    (attack,) = found([udp(6_000)], [])
    assert not attack.certain, "nothing of a known flow comes in"
    other = udp(6_000)
    other["mac"] = np.frombuffer(bytes((2, 0, 0, 0, 0, 9)), np.uint8)
    (attack,) = found([udp(6_000), other], [in_use])
    assert not attack.certain, "two hosts send with this address"
    other["destination_port"] = 443
    other["weight"] = 1
    (attack,) = found([udp(6_000), other[:1]], [in_use])
    assert not attack.certain, "whatever the other one sends"
    bare = udp(6_000)
    bare["mac"] = 0
    (attack,) = found([bare], [in_use])
    assert attack.certain, "frames without MAC addresses show no other host"


def test_a_flood_of_syns_has_the_port_that_all_have() -> None:
    (attack,) = found([tcp(5_000, _SYN, begins=True)], [])
    assert attack.port == 443
    mixed = tcp(5_000, _SYN, begins=True)
    mixed["destination_port"][::2] = 80
    (attack,) = found([mixed], [])
    assert attack.port is None


def test_ports_that_are_not_seen_are_no_scan() -> None:
    hidden = udp(100, destination=spread(500), destination_port=-1, begins=True)
    assert found([hidden], []) == []
