# SPDX-License-Identifier: GPL-2.0-or-later
"""The fields of a packet that a match can ask for, read from its frame. Pure.

Lengths are those of the IP packet. Behind IPv6 extension headers the protocol is that of the upper
layer (RFC 8956). If a frame is cut short, only its complete fields are read.
"""

from xdpctl.abi.sizes import PAYLOAD_BYTES
from xdpctl.base.net.link_header import IPV4, IPV6, link_header
from xdpctl.base.net.prefix import Prefix

Fields = dict[str, int | Prefix | bytes]
DONT, LATER, FIRST, LAST = 1, 2, 4, 8  # of `fragment` (RFC 8955 section 4.2.2.12)
EXTENSIONS = frozenset((0, 43, 44, 51, 60, 135, 139, 140))
_FRAGMENT_HEADER, _AH = 44, 51
_EXTENSIONS_MAX = 8
IP_HEADER = {4: 20, 6: 40}  # bytes without options, by family
UDP_HEADER, TCP_HEADER = 8, 20
_ICMP, _TCP, _UDP, _ICMPV6 = 1, 6, 17, 58


def fields(frame: bytes) -> Fields | None:
    """The fields by the names of a match's components; None if the frame is not whole IP."""
    kind, end, tag, _ = link_header(frame)
    packet = frame[end:]
    if kind == IPV4 and len(packet) >= 20:
        values = _ipv4(packet)
    elif kind == IPV6 and len(packet) >= 40:
        values = _ipv6(packet)
    else:
        return None
    return values if tag is None else values | {"vlan": tag}


def _number(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 2], "big")


def _ipv4(packet: bytes) -> Fields:
    word = _number(packet, 6)
    fragment = _fragment(word & 0x1FFF, bool(word & 0x2000)) | (DONT if word & 0x4000 else 0)
    values: Fields = {
        "source": Prefix(packet[12:16], 32),
        "destination": Prefix(packet[16:20], 32),
        "protocol": packet[9],
        "packet_length": _number(packet, 2),
        "dscp": packet[1] >> 2,
        "fragment": fragment,
        "ttl": packet[8],
    }
    header = (packet[0] & 15) * 4
    rest = b"" if fragment & LATER else packet[header:]
    return values | _transport(packet[9], rest, _ICMP, _number(packet, 2) - header)


def _ipv6(packet: bytes) -> Fields:
    protocol, rest, fragment = packet[6], packet[40:], 0
    for _ in range(_EXTENSIONS_MAX):
        if protocol not in EXTENSIONS or len(rest) < 8 or fragment & LATER:
            break
        size = (rest[1] + 1) * 8
        if protocol == _FRAGMENT_HEADER:
            word = _number(rest, 2)
            fragment, size = _fragment(word >> 3, bool(word & 1)), 8
        elif protocol == _AH:
            size = (rest[1] + 2) * 4
        protocol, rest = rest[0], rest[size:]
    first = int.from_bytes(packet[:4], "big")
    values: Fields = {
        "source": Prefix(packet[8:24], 128),
        "destination": Prefix(packet[24:40], 128),
        "protocol": protocol,
        "packet_length": min(_number(packet, 4) + 40, 65535),
        "dscp": first >> 22 & 63,
        "fragment": fragment,
        "flow_label": first & 0xFFFFF,
        "ttl": packet[7],
    }
    inside = _number(packet, 4) + 40 - (len(packet) - len(rest))
    return values | _transport(protocol, b"" if fragment & LATER else rest, _ICMPV6, inside)


def _fragment(offset: int, more: bool) -> int:
    if offset:
        return LATER if more else LATER | LAST
    return FIRST if more else 0


def _transport(protocol: int, data: bytes, icmp: int, inside: int) -> Fields:
    """The fields of a transport header; `inside`: how much of the data the IP packet has."""
    if len(data) < (14 if protocol == _TCP else 4):
        return {}
    if protocol == icmp:
        return {"icmp_type": data[0], "icmp_code": data[1]}
    if protocol not in (_TCP, _UDP):
        return {}
    ports: Fields = {"source_port": _number(data, 0), "destination_port": _number(data, 2)}
    header, least = UDP_HEADER, UDP_HEADER
    if protocol == _TCP:
        ports["tcp_flags"] = _number(data, 12) & 0xFFF
        header, least = (data[12] >> 4) * 4, TCP_HEADER
    end = min(inside, header + PAYLOAD_BYTES)
    if least <= header < end <= len(data):
        ports["payload"] = data[header:end]
    return ports
