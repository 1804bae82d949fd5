# SPDX-License-Identifier: GPL-2.0-or-later
"""Evasion: which packets pass a rule that drops everything; no other packet does."""

import random
import struct
import time
from collections.abc import Iterator

import pytest

from tests.kernel.conftest import Filter
from tests.kernel.test_signatures import Armed, payloads, random_signatures
from tests.reference_signatures import Signature
from tests.support.packets import IPV4, IPV6, address, ethernet, ipv4, ipv6, random_frame, udp
from xdpctl.abi.constants import Side
from xdpctl.base.net.prefix import Prefix, parse_prefix
from xdpctl.datapath.loader import neighbours
from xdpctl.model import sides
from xdpctl.model.match.match import build
from xdpctl.model.protection import (
    CONFIGURED,
    GATEWAY,
    LOOPBACK,
    MEMBER,
    OWN_ADDRESS,
    PEER,
    RESOLVER,
    Protection,
)
from xdpctl.model.sides import Outside

OWN, GATE, NAMES, ROUTER, NET = (
    "198.51.100.7",
    "198.51.100.1",
    "192.0.2.53",
    "198.51.100.9",
    "10.0.0.0/8",
)
DROP_ALL = "drop 0.0.0.0/0; drop ::/0"
NEAR = f"neighbour {GATE}; neighbour {NAMES}; neighbour {ROUTER}; neighbour fe80::1"
SERVER, SERVER6 = OWN, "2001:db8:1::7"
PROTECTION = Protection(
    {
        parse_prefix(text): why
        for text, why in {
            OWN: OWN_ADDRESS,
            "2001:db8:1::7": OWN_ADDRESS,
            "127.0.0.0/8": LOOPBACK,
            "::1": LOOPBACK,
            GATE: GATEWAY,
            "fe80::1": GATEWAY,
            NAMES: RESOLVER,
            "10.0.0.53": RESOLVER,
            ROUTER: PEER,
            NET: CONFIGURED,
            "2a00:1::/32": CONFIGURED,
        }.items()
    }
)


def frame(source: str, payload: bytes = udp(), protocol: int = 17, **more: int) -> bytes:
    to = more.pop("to", None) or (SERVER6 if ":" in source else SERVER)
    if ":" in source:
        packet = ipv6(address(source), address(str(to)), payload, protocol, more.get("ttl", 64))
        return ethernet(IPV6, packet)
    ttl, fragment = more.get("ttl", 64), more.get("fragment", 0)
    return ethernet(
        IPV4, ipv4(address(source), address(str(to)), payload, protocol, ttl=ttl, fragment=fragment)
    )


@pytest.fixture
def outside(emptied: Filter) -> Iterator[Filter]:
    """A filter that drops everything, with the sides of the box described above."""
    on_link = [parse_prefix("198.51.100.0/24"), parse_prefix("2001:db8:1::/64")]
    emptied.hold(f"{DROP_ALL}; {NEAR}; protect {OWN}; protect {NET}; protect 127.0.0.0/8")
    emptied.datapath.sides.bring(sides.known(PROTECTION, Outside(), on_link, []))
    yield emptied
    emptied.datapath.sides.bring({})


SPOOFED = [
    *(OWN, "2001:db8:1::7", "127.0.0.1", "::1", "10.1.2.3", "10.0.0.53", "2a00:1::9"),
    *("0.0.0.0", "::", "224.0.0.9", "255.255.255.255", "ff02::1", "240.0.0.1", "192.168.3.4"),
    *("172.31.0.1", "100.64.0.9", "169.254.1.1", "203.0.113.5", "fc00::1", "100::1", "3fff::1"),
]


@pytest.mark.parametrize("source", SPOOFED)
def test_a_source_that_cannot_be_outside_is_dropped_outside(outside: Filter, source: str) -> None:
    outside.hold(NEAR)  # nothing else in force
    for one in (frame(source), frame(source, udp(68, 67)), frame(source, bytes(40), 6)):
        assert outside.judge(one, outside=True) == ("drop", "SPOOFED")
        assert outside.explain(one, outside=True) == "SPOOFED"
    assert outside.judge(frame("45.0.0.1"), outside=True) == ("pass", "NO_RULE")


def icmp(source: str, kinds: tuple[int, int], ttl: int = 64) -> bytes:
    """An ICMP message of the first type, or an ICMPv6 message of the second type."""
    of_six = ":" in source
    return frame(source, bytes((kinds[of_six], 1)) + bytes(46), 58 if of_six else 1, ttl=ttl)


@pytest.mark.parametrize("source", [each for each in SPOOFED if each not in ("0.0.0.0", "::")])
def test_an_icmp_error_from_an_inside_source_meets_drops_but_no_accept(
    outside: Filter, source: str
) -> None:
    """Gateways on a protected network and routers with private addresses send such errors."""
    for kinds in ((3, 1), (11, 3), (12, 4)):
        assert outside.judge(icmp(source, kinds), outside=True) == ("drop", "DROPPED")
    within = f"{source}/{128 if ':' in source else 32}"
    outside.hold(f"accept {within}; {DROP_ALL}")
    assert outside.judge(icmp(source, (3, 2)), outside=True) == ("drop", "DROPPED")
    outside.hold(f"accept {within}")
    assert outside.judge(icmp(source, (3, 2)), outside=True) == ("pass", "NO_RULE")
    assert outside.explain(icmp(source, (3, 2)), outside=True) == "NO_RULE"
    for kinds in ((8, 128), (5, 129), (0, 138)):  # echoes, a redirect of IPv4
        assert outside.judge(icmp(source, kinds), outside=True) == ("drop", "SPOOFED")


@pytest.mark.parametrize("source", ["2a00:1::9", "2001:db8:1::7", "fc00::1"])
def test_neighbour_discovery_passes_with_any_source_but_only_from_the_link(
    outside: Filter, source: str
) -> None:
    for kind in range(133, 138):
        found = outside.judge(icmp(source, (0, kind), ttl=255), outside=True)
        assert found == ("pass", "NEIGHBOUR")
        found = outside.judge(icmp(source, (0, kind), ttl=254), outside=True)
        assert found == ("drop", "SPOOFED")


def test_an_accept_of_an_inside_address_lets_no_spoofed_one_in(outside: Filter) -> None:
    outside.hold("accept 10.1.2.3")
    assert outside.judge(frame("10.1.2.3"), outside=True) == ("drop", "SPOOFED")
    assert outside.judge(frame("10.1.2.3")) == ("pass", "ACCEPTED")


SAID_BY_NEIGHBOURS: dict[str, tuple[int, bytes]] = {
    "DNS": (17, udp(53, 40000)),
    "DNS over TCP": (6, struct.pack(">HH", 53, 40000) + bytes(16)),
    "DNS over TLS": (6, struct.pack(">HH", 853, 40000) + bytes(16)),
    "BGP to us": (6, struct.pack(">HH", 40000, 179) + bytes(16)),
    "BGP from us": (6, struct.pack(">HH", 179, 40000) + bytes(16)),
    "BFD": (17, udp(49152, 3784)),
    "BFD echo": (17, udp(49152, 3785)),
    "BFD multihop": (17, udp(49152, 4784)),
    "DHCP": (17, udp(67, 68)),
    "VRRP": (112, bytes(20)),
    "OSPF": (89, bytes(24)),
    "IGMP": (2, bytes(8)),
    "unreachable": (1, bytes((3, 1)) + bytes(30)),
    "time exceeded": (1, bytes((11, 0)) + bytes(30)),
}
ONLY_FROM_ANYBODY = {
    "UDP": (17, udp(40000, 443)),
    "TCP": (6, struct.pack(">HH", 40000, 443) + bytes(16)),
    "ping": (1, bytes((8, 0)) + bytes(30)),
    "GRE": (47, bytes(30)),
}


@pytest.mark.parametrize("neighbour", [GATE, NAMES, ROUTER])
def test_a_neighbour_may_send_only_the_protocols_of_neighbours(
    outside: Filter, neighbour: str
) -> None:
    for name, (protocol, payload) in SAID_BY_NEIGHBOURS.items():
        found = outside.judge(frame(neighbour, payload, protocol), outside=True)
        assert found == ("pass", "NO_RULE"), name
    for name, (protocol, payload) in ONLY_FROM_ANYBODY.items():
        found = outside.judge(frame(neighbour, payload, protocol), outside=True)
        assert found == ("drop", "DROPPED"), name
    for name, (protocol, payload) in (SAID_BY_NEIGHBOURS | ONLY_FROM_ANYBODY).items():
        one = frame(neighbour, payload, protocol)
        assert outside.judge(one) == ("pass", "PROTECTED"), f"{name}, on a plain interface"


def test_only_nodes_reach_the_ports_of_a_fleet(armed: Armed) -> None:
    """A packet with the forged address of a gateway or public resolver does not reach them."""
    held, node, near = armed.filter, "198.51.100.9", "198.51.100.8"
    held.hold(f"neighbour {node}; neighbour {GATE}; protect {near}; drop 0.0.0.0/0")
    armed.hold([(build({"protocol": "tcp"}), Signature({}, "drop"))])
    held.loader._maps.set_fleet_ports((2379, 2380, 8461))
    known = {parse_prefix(node): MEMBER, parse_prefix(GATE): GATEWAY}
    network = {parse_prefix("198.51.100.0/24"): CONFIGURED}
    held.datapath.sides.bring(sides.known(Protection(known | network), Outside(), [], []))

    def found(source: str, *ports: int) -> tuple[str, str]:
        payload = struct.pack(">HH", *ports) + bytes(16)
        return held.judge(frame(source, payload, 6), outside=True)

    for port in (2379, 2380, 8461):
        assert found(node, 40_000, port) == ("pass", "PROTECTED")
        assert found(node, port, 40_000) == ("pass", "PROTECTED")
        assert found(node, port, 443) == ("drop", "DROPPED"), "no answer goes there"
        for pair in ((40_000, port), (port, 40_000)):
            assert found(GATE, *pair) == ("drop", "DROPPED")
            assert found(near, *pair) == ("drop", "SPOOFED")
    assert found(node, 40_000, 443) == ("drop", "DROPPED")
    assert found(node, 40_000, 179) == ("drop", "MATCHED"), "a node may be a routing peer, too"
    held.datapath.sides.bring({})
    held.loader._maps.set_fleet_ports(())


def test_rules_on_matches_hit_protected_sources_on_an_outside_interface(armed: Armed) -> None:
    held = armed.filter
    held.hold(f"protect 198.51.100.0/24; neighbour {GATE}")
    armed.hold([(build({"protocol": "udp"}), Signature({}, "drop"))])
    for source in (GATE, "198.51.100.77"):
        one = frame(source, udp(53, 40000))
        assert held.judge(one, outside=True) == ("drop", "MATCHED")
        assert held.judge(one) == ("pass", "PROTECTED")


FROM_NEARBY: dict[str, tuple[bytes, str]] = {
    "VRRP": (frame("45.0.0.1", bytes(20), 112, ttl=255), "CONTROL"),
    "BFD": (frame("45.0.0.1", udp(49152, 3784), ttl=255), "CONTROL"),
    "BGP with TTL security": (
        frame("45.0.0.1", struct.pack(">HH", 179, 4) + bytes(16), 6, ttl=255),
        "CONTROL",
    ),
    "BGP over IPv6": (
        frame("2a00::1", struct.pack(">HH", 4, 179) + bytes(16), 6, ttl=255),
        "CONTROL",
    ),
    "MLD report": (frame("fe80::9", bytes((131, 0)) + bytes(22), 58, ttl=1), "CONTROL"),
    "OSPFv3": (frame("fe80::9", bytes(24), 89, ttl=1), "CONTROL"),
}
FROM_BEYOND: dict[str, bytes] = {
    "VRRP": frame("45.0.0.1", bytes(20), 112, ttl=254),
    "BFD": frame("45.0.0.1", udp(49152, 3784), ttl=254),
    "BGP": frame("45.0.0.1", struct.pack(">HH", 179, 4) + bytes(16), 6, ttl=64),
    "UDP with TTL 255": frame("45.0.0.1", udp(), ttl=255),
    "DHCP from nobody to one host": frame("0.0.0.0", udp(68, 67)),
    "DHCP from anybody": frame("45.0.0.1", udp(67, 67)),
    "OSPF": frame("45.0.0.1", bytes(24), 89, ttl=1),
    "IGMP to one host": frame("45.0.0.1", bytes(8), 2, ttl=1),
    "too large, about nobody's connection": frame("45.0.0.1", bytes((3, 4)) + bytes(40), 1),
    "MLD report of a global address": frame("2a00::1", bytes((131, 0)) + bytes(22), 58, ttl=1),
}


@pytest.mark.parametrize("name", FROM_NEARBY)
def test_a_control_protocol_passes_from_the_link(outside: Filter, name: str) -> None:
    one, reason = FROM_NEARBY[name]
    for side in (False, True):
        assert outside.judge(one, side) == ("pass", reason)


@pytest.mark.parametrize("name", FROM_BEYOND)
def test_a_control_protocol_does_not_pass_from_beyond_the_link(outside: Filter, name: str) -> None:
    assert outside.judge(FROM_BEYOND[name])[0] == "drop"
    assert outside.judge(FROM_BEYOND[name], outside=True)[0] == "drop"


def test_an_igmp_report_to_its_group_passes(outside: Filter) -> None:
    packet = ipv4(address("45.0.0.1"), address("239.1.2.3"), bytes(8), 2, ttl=1)
    assert outside.judge(ethernet(IPV4, packet)) == ("pass", "CONTROL")


def test_dhcp_offers_pass_at_a_bounded_rate(outside: Filter) -> None:
    body = bytes((2,)) + bytes(235) + bytes.fromhex("63825363") + bytes(60)
    offer = frame("45.0.0.1", udp(67, 68, body))
    assert outside.judge(offer) == ("pass", "DHCP")
    verdicts = [outside.run(offer) for _ in range(1_000)]
    assert 10 < verdicts.count("pass") < 300, "what is beyond it is dropped"
    for wrong in (body[:200], bytes((1,)) + body[1:], body.replace(b"cSc", b"xxx")):
        time.sleep(0.05)
        packet = frame("45.0.0.1", udp(67, 68, wrong[:236] + bytes(70)))
        assert outside.judge(packet) == ("drop", "DROPPED")


def test_packets_that_pass_all_the_same_are_no_hits(outside: Filter) -> None:
    body = bytes((2,)) + bytes(235) + bytes.fromhex("63825363") + bytes(60)
    time.sleep(0.6)
    before = outside.hits("0.0.0.0/0")
    assert outside.judge(frame("45.0.0.1", udp(67, 68, body))) == ("pass", "DHCP")
    assert outside.hits("0.0.0.0/0") == before


@pytest.mark.parametrize("length", [8, 13])
def test_a_tiny_first_fragment_hides_nothing(armed: Armed, length: int) -> None:
    armed.hold([(build({"protocol": "tcp", "tcp_flags": "syn"}), Signature({}, "drop"))])
    head = struct.pack(">HHIIHHHH", 40000, 80, 1, 0, 5 << 12 | 2, 1000, 0, 0)
    first = frame("45.0.0.1", head[:length], 6, fragment=0x2000)
    assert armed.filter.judge(first) == ("drop", "TINY_FRAGMENT")
    assert armed.filter.explain(first) == "TINY_FRAGMENT"
    rest = frame("45.0.0.1", head[8:], 6, fragment=1)
    assert armed.filter.judge(rest) == ("drop", "TINY_FRAGMENT")
    whole = frame("45.0.0.1", head, 6, fragment=0x2000)
    assert armed.filter.judge(whole) == ("drop", "MATCHED")


def test_a_tiny_first_fragment_of_ipv6_hides_nothing(filtered: Filter) -> None:
    head = struct.pack(">HHIIHHHH", 40000, 80, 1, 0, 5 << 12 | 2, 1000, 0, 0)
    first = struct.pack(">BBHI", 6, 0, 1, 9) + head[:8]
    rest = struct.pack(">BBHI", 6, 0, 1 << 3, 9) + head[8:]
    for payload in (first, rest):
        assert filtered.judge(frame("2a00::1", payload, 44)) == ("drop", "TINY_FRAGMENT")


def test_explain_reports_what_is_counted_for_the_packet(armed: Armed) -> None:
    """Explain agrees with the counters for monitored sources, dropping matches, limits and sets."""
    seed = random.SystemRandom().getrandbits(32)
    rng, held, seen = random.Random(seed), armed.filter, set()
    for _ in range(12):
        four, six = [rng.randbytes(4) for _ in range(3)], [rng.randbytes(16) for _ in range(3)]
        words = rng.choices(("monitor", "monitor", "accept", "drop", "expired"), k=6)
        prefixes = [Prefix(one, len(one) * 8).widened(len(one) * 6) for one in (*four, *six)]
        held.hold("; ".join(f"{w} {p}" for w, p in zip(words, prefixes, strict=True)))
        frames = [random_frame(rng, four, six) for _ in range(120)]
        lengths = [len(frame) - 14 for frame in frames[:8]]
        chosen = random_signatures(rng, [*four, *six], lengths, payloads(frames))
        armed.hold(chosen[:20])
        for one in frames:
            for side in (False, True):
                said = held.explain(one, side)
                assert held.judge(one, side)[1] == said, f"seed {seed}: {one.hex()}"
                seen.add(said)
    assert {"MATCHED", "NO_RULE", "DROPPED"} <= seen, f"seed {seed}"


def test_each_network_of_a_box_has_its_side() -> None:
    on_link = [parse_prefix("192.168.1.0/24"), parse_prefix(NET)]
    session = parse_prefix("172.16.9.9")
    found = sides.known(
        PROTECTION, Outside(allow=(parse_prefix("100.64.0.0/10"),)), on_link, [session]
    )
    for text, side in {
        OWN: Side.INSIDE,
        GATE: Side.OUTSIDE,
        NAMES: Side.OUTSIDE,
        "192.168.1.0/24": Side.OUTSIDE,
        "192.168.0.0/16": Side.INSIDE,
        NET: Side.OUTSIDE,  # on the outside link itself, where such sources are not spoofed
        "100.64.0.0/10": Side.OUTSIDE,
        "172.16.9.9": Side.OUTSIDE,
        "fe80::/10": Side.OUTSIDE,
    }.items():
        assert found[parse_prefix(text)] is side, text
    assert parse_prefix("10.0.0.53") not in PROTECTION.neighbours, "a resolver of ours is inside"
    assert sides.hidden(found, [session, parse_prefix("45.0.0.1")]) == [session]


def test_next_hops_of_every_route_are_found() -> None:
    listing = """default via 192.0.2.1 dev eth0 proto dhcp metric 100
default proto static metric 200
\tnexthop via 192.0.2.2 dev eth0 weight 1
\tnexthop via inet6 fe80::2 dev eth1 weight 1
blackhole 10.0.0.0/8 metric 4278198272
198.51.100.0/24 via 192.0.2.4 dev eth0 table backup
2001:db8::/32 via fe80::1 dev eth0 proto ra metric 1024 pref medium
local 127.0.0.1 dev lo table local proto kernel
broken via
broken via nonsense dev eth0
"""
    found = {str(one).split("/")[0] for one in neighbours.next_hops(listing)}
    assert found == {"192.0.2.1", "192.0.2.2", "192.0.2.4", "fe80::1", "fe80::2"}


def test_the_kernel_holds_the_sides_that_a_box_computes(outside: Filter) -> None:
    """The tests of the program use the same table as a box."""
    on_link = [parse_prefix("198.51.100.0/24"), parse_prefix("2001:db8:1::/64")]
    held = outside.datapath.sides.held()
    assert held[parse_prefix("127.0.0.0/8")] == Side.INSIDE
    assert held == sides.known(PROTECTION, Outside(), on_link, [])


def test_a_side_of_half_the_address_space_holds_for_each_source(outside: Filter) -> None:
    outside.datapath.sides.bring({parse_prefix("::/1"): Side.INSIDE})
    for source in ("200c:7727::1", "2001:4860::8888", "::2"):
        assert outside.judge(frame(source), outside=True) == ("drop", "SPOOFED")
    outside.datapath.sides.bring(sides.known(PROTECTION, Outside(), [], []))
