# SPDX-License-Identifier: GPL-2.0-or-later
"""Packets that keep the box connected to its link pass whatever the rules say; others do not."""

import struct
from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest

from tests.kernel.conftest import Filter, parse_rules
from tests.support.packets import IPV4, IPV6, address, ethernet, extended, ipv4, ipv6, tagged, udp
from xdpctl.base.net.prefix import parse_prefix

STACKS = ((), (0x8100,), (0x88A8, 0x8100), (0x9100,), (0x8100,) * 4)
LLC = {"spanning tree": "424203", "IS-IS": "fefe03", "SNAP of CDP": "aaaa0300000c2000"}
LINK_TYPES = {
    "ARP": 0x0806,
    "RARP": 0x8035,
    "LLDP": 0x88CC,
    "LACP": 0x8809,
    "EAPOL": 0x888E,
    "PPPoE discovery": 0x8863,
    "PPPoE session": 0x8864,
    "MPLS": 0x8847,
    "MPLS multicast": 0x8848,
    "MACsec": 0x88E5,
    "PTP": 0x88F7,
    "CFM": 0x8902,
    "loopback test": 0x9000,
}
CONFIGURATIONS = {
    "no rule": "",
    "drop exactly": "drop {one}",
    "drop around": "drop {near}",
    "drop everything": "drop 0.0.0.0/0; drop ::/0",
    "drop in every size": "drop {one}; drop {near}; drop 0.0.0.0/0; drop ::/0",
    "monitor": "monitor {one}; monitor {near}",
    "accept": "accept {one}",
    "protect": "protect {near}",
    "expired in drop": "expired {one}; drop {near}; drop 0.0.0.0/0; drop ::/0",
    "monitor in drop": "monitor {one}; drop 0.0.0.0/0; drop ::/0",
    "accept in drop": "accept {one}; drop {near}; drop 0.0.0.0/0; drop ::/0",
    "drop in accept": "drop {one}; accept {near}; drop 0.0.0.0/0; drop ::/0",
    "protect in drop": "protect {near}; drop 0.0.0.0/0; drop ::/0",
    "drop in protect": "drop {one}; protect {near}; drop 0.0.0.0/0; drop ::/0",
    "drop in protected everything": "drop {one}; protect 0.0.0.0/0; protect ::/0",
}


class Sample(NamedTuple):
    description: str
    source: str
    frame: bytes
    reason: str = "DROPPED"


def link_samples() -> Iterator[Sample]:
    for name, kind in LINK_TYPES.items():
        yield Sample(name, "192.0.2.7", ethernet(kind, bytes(46)), "LINK")
    for name, head in LLC.items():  # 802.3: a length where Ethernet II has a type
        body = bytes.fromhex(head).ljust(46, b"\0")
        for length in (3, 38, 1500):
            yield Sample(f"{name}, length {length}", "192.0.2.7", ethernet(length, body), "LINK")


def datagram(source: str, destination: str, transport: bytes, **more: int) -> bytes:
    """A frame of the addresses' family."""
    kind, packet = (IPV6, ipv6) if ":" in source else (IPV4, ipv4)
    make: Callable[..., bytes] = packet
    return ethernet(kind, make(address(source), address(destination), transport, **more))


def neighbour(kind: int, hop_limit: int = 255, headers: tuple[int, ...] = ()) -> bytes:
    first, body = extended(headers, 58, struct.pack(">BB", kind, 0) + bytes(22))
    pair = "2001:db8::9", "2001:db8:ffff::7"
    return datagram(*pair, body, next_header=first, hop_limit=hop_limit)


def neighbour_samples() -> Iterator[Sample]:
    source = "2001:db8::9"
    for kind in range(133, 138):
        yield Sample(f"ICMPv6 {kind}", source, neighbour(kind), "NEIGHBOUR")
        for headers in ((0,), (60,), (0, 60), (51,)):
            name = f"ICMPv6 {kind} behind {headers}"
            yield Sample(name, source, neighbour(kind, headers=headers), "NEIGHBOUR")
    local = datagram("fe80::9", "fe80::7", b"\x87" + bytes(23), next_header=58, hop_limit=255)
    yield Sample("ICMPv6 135 between link-local", "fe80::9", local, "NEIGHBOUR")
    unset = datagram("::", "ff02::1:ff00:7", b"\x87" + bytes(23), next_header=58, hop_limit=255)
    yield Sample("duplicate address detection", "::", unset, "NEVER_ROUTED")


def multicast_samples() -> Iterator[Sample]:
    for last in (0, 1, 2, 5, 18, 22, 251, 255):
        to, v4 = f"224.0.0.{last}", "192.0.2.9"
        for protocol in (2, 17, 89, 112):
            frame = datagram(v4, to, udp(), protocol=protocol)
            yield Sample(f"protocol {protocol} to {to}", v4, frame, "NEVER_ROUTED")
        later = datagram(v4, to, udp(), fragment=3)
        yield Sample(f"a later fragment to {to}", v4, later, "NEVER_ROUTED")
    for to in ("ff02::1", "ff02::2", "ff02::5", "ff02::16", "ff02::fb", "ff02::1:2"):
        for v6 in ("fe80::9", "2001:db8::9"):
            frame = datagram(v6, to, udp())
            yield Sample(f"{v6} to {to}", v6, frame, "NEVER_ROUTED")
    first, body = extended((0,), 58, b"\x8f" + bytes(23))
    report = datagram("fe80::9", "ff02::16", body, next_header=first, hop_limit=1)
    yield Sample("a multicast listener's report", "fe80::9", report, "NEVER_ROUTED")


def dhcp_samples() -> Iterator[Sample]:
    pairs4 = [("0.0.0.0", "255.255.255.255"), ("192.0.2.9", "255.255.255.255")]
    pairs6 = [("fe80::9", "fe80::7"), ("2001:db8::9", "fe80::7"), ("fe80::9", "2001:db8::7")]
    pairs6 += [("febf::9", "2001:db8::7")]
    for pairs, ports in ((pairs4, (67, 68)), (pairs6, (546, 547))):
        for (source, to), port in ((pair, port) for pair in pairs for port in ports):
            frame = datagram(source, to, udp(40000, port))
            yield Sample(f"port {port}, {source} to {to}", source, frame, "DHCP")
    first = datagram("0.0.0.0", "255.255.255.255", udp(68, 67), fragment=0x2000)
    yield Sample("a first fragment of DHCP", "0.0.0.0", first, "DHCP")
    head = bytes((17, 0, 0, 7)) + bytes(4)  # offset 0, reserved bits, more to come
    first = datagram("fe80::9", "fe80::7", head + udp(546, 547), next_header=44)
    yield Sample("a first fragment of DHCPv6", "fe80::9", first, "DHCP")


PASSING = [
    *(s for make in (link_samples, neighbour_samples) for s in make()),
    *(s for make in (multicast_samples, dhcp_samples) for s in make()),
]


@pytest.mark.parametrize("rules", CONFIGURATIONS.values(), ids=CONFIGURATIONS)
def test_packets_that_keep_the_link_up_pass_whatever_the_rules(
    filtered: Filter, rules: str
) -> None:
    for source in dict.fromkeys(sample.source for sample in PASSING):
        exact = parse_prefix(source)
        near = exact.widened(exact.length - 8)
        filtered.hold(parse_rules(rules.format(one=exact, near=near)))
        for sample in PASSING:
            if sample.source != source:
                continue
            for stack in STACKS:
                frame, where = tagged(sample.frame, stack), (sample.description, stack)
                assert filtered.judge(frame) == ("pass", sample.reason), where
                assert filtered.explain(frame) == sample.reason, where
        if "protect" not in rules:  # protected prefixes share a slot, which counts on
            hits = [filtered.hits(str(prefix)) for prefix in filtered.rules]
            assert hits == [(0, 0)] * len(hits), "no rule was even looked at"


def lookalikes() -> Iterator[Sample]:
    """Packets of outsiders that are as close to the exceptions as possible."""
    v4, v6, to6 = "203.0.113.9", "2001:db8::9", "2001:db8:ffff::7"
    for kind in range(133, 138):
        for hops in (0, 1, 64, 254):
            yield Sample(f"ICMPv6 {kind}, hop limit {hops}", v6, neighbour(kind, hops))
        for headers in ((44,), (0, 44), (44, 60)):
            yield Sample(f"ICMPv6 {kind} behind {headers}", v6, neighbour(kind, 255, headers))
        first, body = extended((44,), 58, bytes((kind,)) + bytes(23), offset=2)
        later = datagram(v6, to6, body, next_header=first, hop_limit=255)
        yield Sample(f"ICMPv6 {kind} in a later fragment", v6, later)
    for kind in (1, 128, 129, 130, 132, 138, 143, 255):
        yield Sample(f"ICMPv6 {kind}", v6, neighbour(kind))
    udp_133 = datagram(v6, to6, bytes((135,)) + bytes(23), hop_limit=255)
    yield Sample("UDP that begins with 135", v6, udp_133)
    for to in ("224.0.1.0", "224.0.1.1", "224.1.0.0", "225.0.0.1", "223.0.0.1", "239.255.255.250"):
        yield Sample(f"to {to}", v4, datagram(v4, to, udp()))
    for to in ("ff05::1:3", "ff01::1", "ff03::1", "ff0e::1", "ff12::1", "fe02::1", "fd02::1"):
        yield Sample(f"to {to}", v6, datagram(v6, to, udp(546, 547)))
    yield from false_dhcp(v4, v6, to6)


def false_dhcp(v4: str, v6: str, to6: str) -> Iterator[Sample]:
    everyone, to4 = "255.255.255.255", "198.51.100.7"
    for port in (67, 68):
        yield Sample(f"port {port} between", v4, datagram(v4, to4, udp(port, port)))
        yield Sample(
            f"port {port} from 0.0.0.1", "0.0.0.1", datagram("0.0.0.1", to4, udp(68, port))
        )
        subnet = datagram(v4, "198.51.100.255", udp(68, port))
        yield Sample(f"port {port} to a subnet's broadcast", v4, subnet)
        yield Sample(f"TCP {port}", v4, datagram(v4, everyone, udp(68, port), protocol=6))
        yield Sample(f"only from {port}", v4, datagram(v4, everyone, udp(port, 53)))
        for offset in (1 << bit for bit in range(13)):
            later = datagram(v4, everyone, udp(68, port), fragment=offset)
            yield Sample(f"port {port} in a fragment at {offset}", v4, later)
    for port in (66, 69, 0x4300, 0x4400):
        yield Sample(f"port {port}", v4, datagram(v4, everyone, udp(68, port)))
    yield Sample("UDP cut short", v4, datagram(v4, everyone, b"\0\x44\0"))
    for port in (546, 547):
        yield Sample(f"port {port} between", v6, datagram(v6, to6, udp(port, port)))
        for near in ("fec0::9", "fe7f::9", "fd00::9"):
            yield Sample(f"port {port} from {near}", near, datagram(near, to6, udp(546, port)))
        yield Sample(f"only from {port}", v6, datagram(v6, "fe80::7", udp(port, 53)))
        for offset in (1 << bit for bit in range(13)):
            first, body = extended((44,), 17, udp(546, port), offset=offset)
            later = datagram(v6, "fe80::7", body, next_header=first)
            yield Sample(f"port {port} in a fragment at {offset}", v6, later)
    for port in (545, 548):
        yield Sample(f"port {port}", v6, datagram(v6, "fe80::7", udp(546, port)))


LOOKALIKES = list(lookalikes())


@pytest.mark.parametrize("sample", LOOKALIKES, ids=lambda s: f"{s.description}, {s.source}")
def test_packets_that_only_resemble_them_are_dropped(filtered: Filter, sample: Sample) -> None:
    filtered.hold("drop 0.0.0.0/0; drop ::/0")
    for stack in STACKS:
        frame = tagged(sample.frame, stack)
        assert filtered.judge(frame) == ("drop", "DROPPED"), stack
        assert filtered.explain(frame) == "DROPPED", stack
