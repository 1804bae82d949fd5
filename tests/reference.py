"""The reference model: what a packet's verdict is, in plain Python and with no cleverness.

It reads DESIGN's rules literally and shares no code with the product beyond the names of the
reasons; random rules and packets are run through it and through the loaded program.
"""

import ipaddress
import struct
from dataclasses import dataclass

VLAN = {0x8100, 0x88A8, 0x9100}
EXTENSIONS = {0, 43, 44, 51, 60, 135, 139, 140}


@dataclass(frozen=True)
class Entry:
    """A prefix with what it does; `state` is live, expired or monitor.

    `owner` is the name of the set it is in, or "" for a rule's or protection's.
    """

    network: ipaddress.IPv4Network | ipaddress.IPv6Network
    action: str  # drop, accept, protected
    state: str = "live"
    owner: str = ""


class Decided(Exception):
    """Carries the reason; the walk ends here."""


def reason(frame: bytes, entries: list[Entry], bypass: bool = False) -> str:
    """The name of the reason under which the frame leaves."""
    return trace(frame, entries, bypass)[0]


def trace(frame: bytes, entries: list[Entry], bypass: bool = False) -> tuple[str, list[Entry]]:
    """The reason, and the live or monitored entries met on the way to it."""
    met: list[Entry] = []
    try:
        if bypass:
            raise Decided("BYPASS")
        kind, offset = link(frame)
        if kind == 0x0800:
            source = ipv4(frame[offset:])
        elif kind == 0x86DD:
            source = ipv6(frame[offset:])
        else:
            raise Decided("LINK")
        by_source(source, entries, met)
    except Decided as decided:
        return str(decided), met
    return "NO_RULE", met


def verdict(name: str) -> str:
    drops = {
        "DROPPED",
        "SIGNATURE",
        "LIMITED",
        "TRUNCATED",
        "MALFORMED",
        "VLAN_DEPTH",
        "EXTENSION_DEPTH",
    }
    return "drop" if name in drops else "pass"


def link(frame: bytes) -> tuple[int, int]:
    if len(frame) < 14:
        raise Decided("TRUNCATED")
    (kind,), offset = struct.unpack_from(">H", frame, 12), 14
    for _ in range(4):
        if kind not in VLAN:
            return kind, offset
        if len(frame) < offset + 4:
            raise Decided("TRUNCATED")
        (kind,) = struct.unpack_from(">H", frame, offset + 2)
        offset += 4
    if kind in VLAN:
        raise Decided("VLAN_DEPTH")
    return kind, offset


def udp_port(protocol: int, payload: bytes) -> int | None:
    if protocol != 17 or len(payload) < 4:
        return None
    return int.from_bytes(payload[2:4], "big")


def ipv4(data: bytes) -> ipaddress.IPv4Address:
    if len(data) < 20:
        raise Decided("TRUNCATED")
    version, header = data[0] >> 4, (data[0] & 15) * 4
    if version != 4 or header < 20:
        raise Decided("MALFORMED")
    if len(data) < header:
        raise Decided("TRUNCATED")
    source, destination = ipaddress.IPv4Address(data[12:16]), ipaddress.IPv4Address(data[16:20])
    if destination in ipaddress.ip_network("224.0.0.0/24"):
        raise Decided("NEVER_ROUTED")
    first_fragment = struct.unpack_from(">H", data, 6)[0] & 0x1FFF == 0
    if int(source) == 0 or int(destination) == 0xFFFFFFFF:
        if first_fragment and udp_port(data[9], data[header:]) in (67, 68):
            raise Decided("DHCP")
    return source


def ipv6(data: bytes) -> ipaddress.IPv6Address:
    if len(data) < 40:
        raise Decided("TRUNCATED")
    if data[0] >> 4 != 6:
        raise Decided("MALFORMED")
    source, destination = ipaddress.IPv6Address(data[8:24]), ipaddress.IPv6Address(data[24:40])
    protocol, hop_limit, rest = data[6], data[7], data[40:]
    fragmented = later_fragment = False
    for _ in range(8):
        if protocol not in EXTENSIONS or later_fragment:
            break
        if len(rest) < 4:
            raise Decided("TRUNCATED")
        if protocol == 44:
            fragmented = True
            later_fragment = int.from_bytes(rest[2:4], "big") >> 3 != 0
            size = 8
        elif protocol == 51:
            size = (rest[1] + 2) * 4
        else:
            size = (rest[1] + 1) * 8
        protocol, rest = rest[0], rest[size:]
    if protocol in EXTENSIONS and not later_fragment:
        raise Decided("EXTENSION_DEPTH")
    if destination in ipaddress.ip_network("ff02::/16"):
        raise Decided("NEVER_ROUTED")
    if later_fragment:
        return source
    if protocol == 58 and hop_limit == 255 and not fragmented and rest and 133 <= rest[0] <= 137:
        raise Decided("NEIGHBOUR")
    local = ipaddress.ip_network("fe80::/10")
    if (source in local or destination in local) and udp_port(protocol, rest) in (546, 547):
        raise Decided("DHCP")
    return source


def by_source(
    source: ipaddress.IPv4Address | ipaddress.IPv6Address,
    entries: list[Entry],
    met: list[Entry],
) -> None:
    covering = [e for e in entries if e.network.version == source.version and source in e.network]
    counted = set()
    for entry in sorted(covering, key=precedence):
        if entry.state == "expired" or entry.owner in counted:
            continue
        counted |= {entry.owner} - {""}
        met.append(entry)
        if entry.state == "live":
            names = {"drop": "DROPPED", "accept": "ACCEPTED", "protected": "PROTECTED"}
            raise Decided(names[entry.action])


def precedence(entry: Entry) -> tuple[int, int, str]:
    """Most specific first; on one prefix protection, the rule, sets that accept, sets that drop."""
    kind = ("protected", "", "accept", "drop")
    what = entry.action if entry.owner or entry.action == "protected" else ""
    return -entry.network.prefixlen, kind.index(what), entry.owner
