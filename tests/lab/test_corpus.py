# SPDX-License-Identifier: GPL-2.0-or-later
"""Public captures and feeds, replayed frame by frame, compared with counts made by dpkt."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import dpkt
import pytest

from tests.conftest import CORPUS
from tests.kernel.conftest import RULES, Filter, filter_for
from xdpctl.abi.constants import Reason
from xdpctl.base.net.prefix import Prefix, parse_prefix
from xdpctl.datapath import readback
from xdpctl.datapath.bpf.pins import Pins
from xdpctl.datapath.loader.loader import Loader
from xdpctl.datapath.loader.take_down import take_down
from xdpctl.model.capacity import Capacity

CAPACITY = Capacity(60_000, 60_000, 60_000)
VLAN = (0x8100, 0x88A8, 0x9100)
ETHERNET = 1  # LINKTYPE_ETHERNET; raw IP packets get an Ethernet header
IN_SESSION = {0x0021: 0x0800, 0x0057: 0x86DD}  # protocols of PPP
RAW_IP = {12: None, 14: None, 101: None, 228: 0x0800, 229: 0x86DD}
NEVER_DROPPED = {"LINK", "NEVER_ROUTED", "NEIGHBOUR", "DHCP", "CONTROL"}
BGP, BFD, VRRP, IGMP, OSPF = 179, 3784, 112, 2, 89
MLD = {130, 131, 132, 143}
CAPTURES = sorted(f"{path.parent.name}/{path.name}" for path in CORPUS.glob("*/*.pcap*"))
ATTACKS = sorted(path.name for path in CORPUS.glob("attack/*.pcap*"))
FROM_THE_LINK = {"icmpv6-rsmurf.pcap"}  # to ff02::1, which no router forwards: it all passes
Listed = Callable[[bytes], bool]


class Packet(NamedTuple):
    """A packet as dpkt reads it: the reason if it is never dropped, else "", and the source."""

    never_dropped: str
    source: bytes


@pytest.fixture(scope="module")
def filtered(_able: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Filter]:
    """A filter with room for the feeds."""
    pins = Pins(tmp_path_factory.mktemp("corpus") / "bpf")
    try:
        with closing(Filter(Loader(pins, filter_for(CAPACITY)))) as made:
            yield made
    finally:
        take_down(pins)


def frames(path: Path) -> list[bytes]:
    """The frames as captured; the format is detected from the content, not from the name."""
    with path.open("rb") as file:
        reader = dpkt.pcap.UniversalReader(file)
        kind = reader.datalink()
        captured = [bytes(data) for _, data in reader]
    if kind in RAW_IP:
        return [with_ethernet(data, RAW_IP[kind]) for data in captured]
    if kind != ETHERNET:
        pytest.skip(f"{path.name} is of link type {kind}, which no Ethernet frame stands for")
    return captured


def with_ethernet(packet: bytes, kind: int | None) -> bytes:
    kind = kind or {4: 0x0800, 6: 0x86DD}[packet[0] >> 4]
    return bytes(12) + kind.to_bytes(2, "big") + packet


def read(frame: bytes) -> Packet:
    """The reason and source of a frame with complete headers, read by dpkt."""
    ethernet = dpkt.ethernet.Ethernet(frame)
    packet = ethernet.data
    tags = getattr(ethernet, "vlan_tags", [])
    kind = tags[-1].type if tags else ethernet.type  # MPLS stays what it is
    if kind == dpkt.ethernet.ETH_TYPE_PPPoE and isinstance(packet, dpkt.pppoe.PPPoE):
        session = packet.data
        kind, packet = IN_SESSION.get(session.p, kind), session.data
    assert kind not in VLAN, "dpkt reads two tags"
    if kind == dpkt.ethernet.ETH_TYPE_IP:
        assert isinstance(packet, dpkt.ip.IP), f"not what dpkt can read: {frame.hex()}"
        return Packet(class_of_ipv4(packet), packet.src)
    if kind == dpkt.ethernet.ETH_TYPE_IP6:
        assert isinstance(packet, dpkt.ip6.IP6), f"not what dpkt can read: {frame.hex()}"
        return Packet(class_of_ipv6(packet), packet.src)
    return Packet("LINK", b"")


def class_of_ipv4(packet: dpkt.ip.IP) -> str:
    if packet.dst[:3] == b"\xe0\0\0":
        return "NEVER_ROUTED"
    igmp = packet.p == IGMP and packet.dst[0] & 0xF0 == 0xE0
    if igmp or (packet.ttl == 255 and is_routing(packet.p, packet.data)):
        return "CONTROL"
    from_nobody_or_to_all = packet.src == bytes(4) or packet.dst == b"\xff" * 4
    udp = packet.data
    if from_nobody_or_to_all and isinstance(udp, dpkt.udp.UDP) and udp.dport in (67, 68):
        return "DHCP"
    return ""


def is_routing(protocol: int, upper: object) -> bool:
    """Whether a packet with a TTL of 255 is VRRP, BFD or BGP."""
    if isinstance(upper, dpkt.udp.UDP):
        return bool(upper.dport == BFD)
    if isinstance(upper, dpkt.tcp.TCP):
        return BGP in (upper.sport, upper.dport)
    return protocol == VRRP


def is_link_local(address: bytes) -> bool:
    return address[0] == 0xFE and address[1] & 0xC0 == 0x80


def class_of_ipv6(packet: dpkt.ip6.IP6) -> str:
    if packet.dst[:2] == b"\xff\x02":
        return "NEVER_ROUTED"
    upper, fragmented = packet.data, 44 in packet.extension_hdrs
    whole = isinstance(upper, dpkt.icmp6.ICMP6) and not fragmented
    if whole and packet.hlim == 255 and 133 <= upper.type <= 137:
        return "NEIGHBOUR"
    if packet.hlim == 255 and is_routing(packet.p, upper):
        return "CONTROL"
    mld = whole and upper.type in MLD
    if is_link_local(packet.src) and (mld or packet.p == OSPF):
        return "CONTROL"
    if (
        (is_link_local(packet.src) or is_link_local(packet.dst))
        and isinstance(upper, dpkt.udp.UDP)
        and upper.dport in (546, 547)
    ):
        return "DHCP"
    return ""


def feed(path: Path) -> set[Prefix]:
    return {parse_prefix(line) for line in path.read_text().split()}


def lookup(prefixes: Iterable[Prefix]) -> Listed:
    """A function that tells whether any prefix covers an address, by sets of numbers."""
    networks = {(len(p.address), p.length, int.from_bytes(p.address, "big")) for p in prefixes}
    lengths = {(size, length) for size, length, _ in networks}

    def listed(source: bytes) -> bool:
        number, bits = int.from_bytes(source, "big"), len(source) * 8
        return any(
            (size, n, number >> (bits - n) << (bits - n)) in networks
            for size, n in lengths
            if size == len(source)
        )

    return listed


def replay(filtered: Filter, captured: list[bytes], listed: Listed) -> Counter[str]:
    """Run every frame; verdicts, packets and bytes must agree with dpkt."""
    expected: Counter[str] = Counter()
    octets: Counter[str] = Counter()
    before = filtered.counters()
    for number, frame in enumerate(captured, 1):
        packet = read(frame)
        reason = packet.never_dropped or ("DROPPED" if listed(packet.source) else "NO_RULE")
        verdict = "drop" if reason == "DROPPED" else "pass"
        assert filtered.run(frame) == verdict, f"packet {number}: {reason}"
        expected[reason] += 1
        octets[reason] += len(frame)
    after = filtered.counters()
    grown = {why.name: after[why].packets - before[why].packets for why in after}
    assert grown == {name: expected[name] for name in grown}
    grown = {why.name: after[why].bytes - before[why].bytes for why in after}
    assert grown == {name: octets[name] for name in grown}
    return expected


def in_kernel(filtered: Filter) -> set[Prefix]:
    image, wrong = readback.read(filtered.datapath.source, 0)
    assert not wrong
    return set(image.entries)


@pytest.fixture(scope="module")
def feeds(corpus: Path) -> set[Prefix]:
    prefixes = set().union(*(feed(path) for path in corpus.glob("feeds/*.txt")))
    assert len(prefixes) > 25_000
    return prefixes


def test_every_line_of_the_feeds_is_in_the_kernel(filtered: Filter, feeds: set[Prefix]) -> None:
    filtered.hold(dict.fromkeys(feeds, RULES["drop"]))
    assert in_kernel(filtered) == feeds


@pytest.mark.parametrize("name", CAPTURES)
def test_all_traffic_passes_except_that_of_listed_sources(
    filtered: Filter, feeds: set[Prefix], corpus: Path, name: str
) -> None:
    filtered.hold(dict.fromkeys(feeds, RULES["drop"]))
    captured = frames(corpus / name)
    assert replay(filtered, captured, lookup(feeds)).total() == len(captured) > 0


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_is_dropped_to_the_last_packet_once_its_sources_are_rules(
    filtered: Filter, corpus: Path, name: str
) -> None:
    captured = frames(corpus / "attack" / name)
    sources = {p.source for p in map(read, captured) if not p.never_dropped}
    prefixes = {Prefix(source, len(source) * 8) for source in sources}
    filtered.hold(dict.fromkeys(prefixes, RULES["drop"]))
    counts = replay(filtered, captured, lambda source: source in sources)
    spared = sum(counts[reason] for reason in NEVER_DROPPED)
    assert counts["DROPPED"] == len(captured) - spared
    assert (spared == len(captured)) == (name in FROM_THE_LINK)
    hits = filtered.datapath.hits(filtered.image.entries.values())
    assert sum(hit.packets for hit in hits) == counts["DROPPED"]
    assert all(hit.packets for hit in hits), "each source was seen"


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_is_dropped_by_prefixes_around_half_of_its_sources(
    filtered: Filter, corpus: Path, name: str
) -> None:
    captured = frames(corpus / "attack" / name)
    sources = sorted({packet.source for packet in map(read, captured) if packet.source})
    prefixes = {Prefix(s, len(s) * 8).widened(len(s) * 8 - 9) for s in sources[::2]}
    filtered.hold(dict.fromkeys(prefixes, RULES["drop"]))
    dropped = replay(filtered, captured, lookup(prefixes))["DROPPED"]
    assert (dropped > 0) == (name not in FROM_THE_LINK)
    assert filtered.counters()[Reason.FAULT].packets == 0
