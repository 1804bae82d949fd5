# SPDX-License-Identifier: GPL-2.0-or-later
"""The reference model of a packet's verdict, in plain and simple Python.

It follows the design's rules literally and shares no code with the product except the names of the
reasons. Random rules and packets are run through it and through the loaded program.
"""

import ipaddress
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

VLAN = {0x8100, 0x88A8, 0x9100}
PPPOE = 0x8864
PPP = {0x0021: 0x0800, 0x0057: 0x86DD}
EXTENSIONS = {0, 43, 44, 51, 60, 135, 139, 140}
Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True)
class Entry:
    """A prefix with what it does; `state` is live, expired or monitor.

    `owner` is the name of the set it is in, or "" for a rule's or protection's.
    """

    network: Network
    action: str  # drop, accept, protected, neighbour; of a set also out
    state: str = "live"
    owner: str = ""


class Port(NamedTuple):
    """The interface that a packet comes in by; if it is outside, with the sides of sources."""

    outside: bool = False
    sides: Mapping[Network, str] = {}  # inside or outside; the most specific one counts
    layer: str = "ethernet"  # or none: what is in front of the IP header


INSIDE = Port()


class Decided(Exception):
    """Ends the walk; carries the reason."""


def reason(frame: bytes, entries: list[Entry], bypass: bool = False, port: Port = INSIDE) -> str:
    """The name of the reason under which the frame leaves."""
    return trace(frame, entries, bypass, port)[0]


def trace(
    frame: bytes, entries: list[Entry], bypass: bool = False, port: Port = INSIDE
) -> tuple[str, list[Entry]]:
    """The reason, and the live or monitored entries met on the way to it."""
    link = LAYERS[port.layer]
    met: list[Entry] = []
    try:
        if bypass:
            raise Decided("BYPASS")
        kind, offset = link(frame)
        if port.outside:
            not_spoofed(kind, frame[offset:], port.sides)
        if kind == 0x0800:
            packet = ipv4(frame[offset:])
        elif kind == 0x86DD:
            packet = ipv6(frame[offset:])
        else:
            raise Decided("LINK")
        if port.outside and int(packet.source) == 0:
            raise Decided("SPOOFED")
        by_source(packet, entries, met, port)
    except Decided as decided:
        return str(decided), met
    return "NO_RULE", met


def not_spoofed(ethertype: int, data: bytes, sides: Mapping[Network, str]) -> None:
    """Drop a source that cannot be outside; this is checked before the rest of the packet."""
    if ethertype == 0x0800 and len(data) >= 20:
        source: Address = ipaddress.IPv4Address(data[12:16])
        whole = data[0] == 0x45 and not int.from_bytes(data[6:8]) & 0x3FFF
        if whole and data[9] == 1 and data[20:21] in (b"\3", b"\x0b", b"\x0c"):
            return  # an error, which a gateway sends from an address of ours
    elif ethertype == 0x86DD and len(data) >= 40:
        source = ipaddress.IPv6Address(data[8:24])
        kind = data[40] if data[6] == 58 and len(data) > 40 else 0
        if kind in range(1, 5) or (kind in range(133, 138) and data[7] == 255):
            return  # an error, or neighbour discovery, which is of the link
    else:
        return
    if side_of(source, sides) == "inside":
        raise Decided("SPOOFED")


def side_of(source: Address, sides: Mapping[Network, str]) -> str:
    around = [n for n in sides if n.version == source.version and source in n]
    return sides[max(around, key=lambda n: n.prefixlen)] if around else ""


def verdict(name: str) -> str:
    drops = {
        "DROPPED",
        "MATCHED",
        "LIMITED",
        "TRUNCATED",
        "MALFORMED",
        "VLAN_DEPTH",
        "EXTENSION_DEPTH",
        "TINY_FRAGMENT",
        "SPOOFED",
    }
    return "drop" if name in drops else "pass"


def ethernet(frame: bytes) -> tuple[int, int]:
    if len(frame) < 14:
        raise Decided("TRUNCATED")
    (kind,), offset = struct.unpack_from(">H", frame, 12), 14
    for _ in range(4):
        if kind not in VLAN:
            return session(frame, kind, offset)
        if len(frame) < offset + 4:
            raise Decided("TRUNCATED")
        (kind,) = struct.unpack_from(">H", frame, offset + 2)
        offset += 4
    if kind in VLAN:
        raise Decided("VLAN_DEPTH")
    return session(frame, kind, offset)


def session(frame: bytes, kind: int, offset: int) -> tuple[int, int]:
    """What a session of PPPoE carries (RFC 2516); a protocol may be one byte (RFC 1661)."""
    if kind != PPPOE:
        return kind, offset
    if len(frame) < offset + 8:
        raise Decided("TRUNCATED")
    size = 1 if frame[offset + 6] & 1 else 2
    protocol = int.from_bytes(frame[offset + 6 : offset + 6 + size])
    return PPP.get(protocol, kind), offset + 6 + size


def bare(frame: bytes) -> tuple[int, int]:
    """A packet without anything in front of its IP header."""
    if not frame:
        raise Decided("TRUNCATED")
    return {4: 0x0800, 6: 0x86DD}.get(frame[0] >> 4, 0), 0


LAYERS = {"ethernet": ethernet, "none": bare}


class Packet(NamedTuple):
    """The fields that matter besides the rules; `head` is the transport header on, or None."""

    source: Address
    protocol: int
    ttl: int
    head: bytes | None


def ports(packet: Packet) -> tuple[int, int] | None:
    """The ports of UDP and TCP."""
    if packet.protocol not in (6, 17) or packet.head is None or len(packet.head) < 4:
        return None
    return struct.unpack_from(">HH", packet.head)


def dhcp_port(packet: Packet, known: tuple[int, ...]) -> bool:
    pair = ports(packet)
    return packet.protocol == 17 and pair is not None and pair[1] in known


def control(packet: Packet) -> bool:
    """Whether a packet is VRRP, single-hop BFD or BGP with a TTL of 255 (RFC 5082)."""
    pair = ports(packet)
    if packet.head is None or packet.ttl != 255:
        return False
    if packet.protocol == 112:
        return True
    bgp = packet.protocol == 6 and pair is not None and 179 in pair
    return bgp or (packet.protocol == 17 and pair is not None and pair[1] == 3784)


def no_tiny_fragment(protocol: int, offset: int, more: bool, left: int) -> None:
    """RFC 1858 and 3128; `left` are the bytes from the TCP header on, by the packet's length."""
    if protocol == 6 and (offset == 8 or (offset == 0 and more and left < 14)):
        raise Decided("TINY_FRAGMENT")


def ipv4(data: bytes) -> Packet:
    if len(data) < 20:
        raise Decided("TRUNCATED")
    version, header = data[0] >> 4, (data[0] & 15) * 4
    if version != 4 or header < 20:
        raise Decided("MALFORMED")
    if len(data) < header:
        raise Decided("TRUNCATED")
    source, destination = ipaddress.IPv4Address(data[12:16]), ipaddress.IPv4Address(data[16:20])
    length, word = struct.unpack_from(">H", data, 2)[0], struct.unpack_from(">H", data, 6)[0]
    offset, more = (word & 0x1FFF) * 8, bool(word & 0x2000)
    no_tiny_fragment(data[9], offset, more, length - header)
    packet = Packet(source, data[9], data[8], None if offset else data[header:])
    if destination in ipaddress.ip_network("224.0.0.0/24"):
        raise Decided("NEVER_ROUTED")
    igmp = packet.protocol == 2 and offset == 0
    if control(packet) or (igmp and destination.is_multicast):
        raise Decided("CONTROL")
    if int(destination) == 0xFFFFFFFF and dhcp_port(packet, (67, 68)):
        raise Decided("DHCP")
    return packet


def ipv6(data: bytes) -> Packet:
    if len(data) < 40:
        raise Decided("TRUNCATED")
    if data[0] >> 4 != 6:
        raise Decided("MALFORMED")
    source, destination = ipaddress.IPv6Address(data[8:24]), ipaddress.IPv6Address(data[24:40])
    protocol, hop_limit, rest = data[6], data[7], data[40:]
    left = int.from_bytes(data[4:6], "big")
    offset, more, fragmented = 0, False, False
    for _ in range(8):
        if protocol not in EXTENSIONS or offset:
            break
        if len(rest) < 4:
            raise Decided("TRUNCATED")
        if protocol == 44:
            fragmented = True
            word = int.from_bytes(rest[2:4], "big")
            offset, more, size = word & 0xFFF8, bool(word & 1), 8
        elif protocol == 51:
            size = (rest[1] + 2) * 4
        else:
            size = (rest[1] + 1) * 8
        protocol, rest, left = rest[0], rest[size:], left - size
    if protocol in EXTENSIONS and not offset:
        raise Decided("EXTENSION_DEPTH")
    no_tiny_fragment(protocol, offset, more, left)
    packet = Packet(source, protocol, hop_limit, None if offset else rest)
    if destination in ipaddress.ip_network("ff02::/16"):
        raise Decided("NEVER_ROUTED")
    if offset:
        return packet
    kind = rest[0] if protocol == 58 and rest and not fragmented else -1
    if hop_limit == 255 and 133 <= kind <= 137:
        raise Decided("NEIGHBOUR")
    if control(packet):
        raise Decided("CONTROL")
    local = ipaddress.ip_network("fe80::/10")
    if source in local and (protocol == 89 or kind in (130, 131, 132, 143)):
        raise Decided("CONTROL")
    if (source in local or destination in local) and dhcp_port(packet, (546, 547)):
        raise Decided("DHCP")
    return packet


def neighbourly(packet: Packet) -> bool:
    """Whether a gateway, a resolver or a routing peer sends such a packet."""
    if packet.head is None:
        return False
    version = packet.source.version
    if packet.protocol in (2, 89, 112):
        return True
    if packet.protocol == (1 if version == 4 else 58):
        errors = (3, 11, 12) if version == 4 else (1, 2, 3, 4)
        return bool(packet.head) and packet.head[0] in errors
    pair = ports(packet)
    if pair is None:
        return False
    if pair[0] in (53, 853):
        return True
    if packet.protocol == 6:
        return 179 in pair
    return pair in ((67, 68), (547, 546)) or pair[1] in (3784, 3785, 4784)


def leaves(
    frame: bytes, entries: list[Entry], bypass: bool = False, layer: str = "ethernet"
) -> tuple[bool, list[Entry]]:
    """Whether a frame may go out, and the entries of out sets that it meets.

    The fixed header of IP is enough to know.
    """
    met: list[Entry] = []
    try:
        kind, offset = LAYERS[layer](frame)
    except Decided:
        return True, met
    data = frame[offset:]
    if bypass or len(data) < {0x0800: 20, 0x86DD: 40}.get(kind, 1 << 16):
        return True, met
    if kind == 0x0800:
        destination: Address = ipaddress.IPv4Address(data[16:20])
    else:
        destination = ipaddress.IPv6Address(data[24:40])
    for entry in covering(destination, entries):
        if entry.state == "expired" or entry.action == "drop" or entry.owner in owners(met):
            continue
        if entry.action == "out":
            met.append(entry)
        if entry.state == "live":
            return entry.action != "out", met
    return True, met


def is_forged(frame: bytes, sided: Iterable[Network], layer: str = "ethernet") -> bool:
    """Whether what comes from inside has a source that cannot be there, by networks with a side.

    Source address validation, RFC 2827. What a router sends from any of its addresses is not
    forged: control protocols of the link, and ICMP errors.
    """
    try:
        kind, offset = LAYERS[layer](frame)
    except Decided:
        return False
    data = frame[offset:]
    if len(data) < {0x0800: 20, 0x86DD: 40}.get(kind, 1 << 16):
        return False
    source = ipaddress.ip_address(data[12:16] if kind == 0x0800 else data[8:24])
    if any(source.version == each.version and source in each for each in sided):
        return False
    try:
        packet = ipv4(data) if kind == 0x0800 else ipv6(data)
    except Decided as decided:
        igmp = kind == 0x0800 and data[9] == 2
        return verdict(str(decided)) == "drop" or (str(decided) == "CONTROL" and not igmp)
    errors = {1: (3, 11, 12), 58: (1, 2, 3, 4)}.get(packet.protocol, ())
    of_family = packet.protocol == (1 if kind == 0x0800 else 58)
    return not (of_family and packet.head and packet.head[0] in errors)


def owners(met: list[Entry]) -> set[str]:
    return {entry.owner for entry in met} - {""}


def covering(address: Address, entries: list[Entry]) -> list[Entry]:
    """The entries around an address, in their order of precedence."""
    around = (e for e in entries if e.network.version == address.version and address in e.network)
    return sorted(around, key=precedence)


def by_source(packet: Packet, entries: list[Entry], met: list[Entry], port: Port) -> None:
    source, outside = packet.source, port.outside
    of_error = outside and side_of(source, port.sides) == "inside"  # nothing else gets here
    counted = set()
    for entry in covering(source, entries):
        if entry.state == "expired" or entry.owner in counted or entry.action == "out":
            continue
        if outside and entry.action == "neighbour" and not neighbourly(packet):
            continue
        if of_error and entry.action != "drop":
            continue
        counted |= {entry.owner} - {""}
        met.append(entry)
        if entry.state == "live":
            names = {"drop": "DROPPED", "accept": "ACCEPTED"}
            protected = "NO_RULE" if outside else "PROTECTED"
            raise Decided(names.get(entry.action, protected))


def precedence(entry: Entry) -> tuple[int, int, str]:
    """Most specific first; on one prefix protection, the rule, sets that accept, sets that drop."""
    kind = ("protected", "neighbour", "", "accept", "drop")
    what = entry.action if entry.owner or entry.action in kind[:2] else ""
    return -entry.network.prefixlen, kind.index("drop" if what == "out" else what), entry.owner
