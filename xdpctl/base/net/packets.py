# SPDX-License-Identifier: GPL-2.0-or-later
"""Builds a frame for a 5-tuple, and summarises frames. Pure."""

import struct
from socket import AF_INET, AF_INET6, inet_ntop
from typing import NamedTuple

from xdpctl.base.net.link_header import IPV4, IPV6, link_header
from xdpctl.base.net.prefix import Prefix
from xdpctl.errors import RuleError

PROTOCOLS = {"icmp": 1, "tcp": 6, "udp": 17, "gre": 47, "esp": 50, "icmpv6": 58, "sctp": 132}
_ETHERTYPES = {4: IPV4, 6: IPV6}
_LINK = 14
_ROOM = 64  # bytes of transport header and payload, enough to read ports, types and flags
_LEAST = 14  # bytes up to the flags of a TCP header
LENGTH_MAX = 2900  # bytes of an IP packet that BPF_PROG_TEST_RUN takes in one buffer
SYN = 0x02


def protocol_number(text: str) -> int:
    """The protocol number of a name or number such as `tcp` or `17`; RuleError for others."""
    if len(text) <= 3 and text.isascii() and text.isdigit() and int(text) <= 255:
        return int(text)
    if text in PROTOCOLS:
        return PROTOCOLS[text]
    names = ", ".join(PROTOCOLS)
    raise RuleError(f"{text[:40]!r} is not a protocol", "protocol", f"write 0..255 or {names}")


def build(
    source: Prefix,
    destination: Prefix,
    protocol: int,
    source_port: int,
    destination_port: int,
    *,
    tcp_flags: int = SYN,
    icmp_type: int = 8,
    packet_length: int | None = None,
) -> bytes:
    """Build an untagged, unfragmented Ethernet frame; each address is a /32 or /128.

    `packet_length` is the length of the IP packet in bytes, or None for the default. RuleError if
    the families differ or the length is out of range.
    """
    if source.family != destination.family:
        raise RuleError(
            "source and destination are of different families", "destination", "make them the same"
        )
    header = 20 if source.family == 4 else 40
    room = _ROOM if packet_length is None else packet_length - header
    if not _LEAST <= room <= LENGTH_MAX - header:
        raise RuleError(
            f"a packet length of {packet_length} bytes is out of range",
            "packet_length",
            f"give {header + _LEAST} to {LENGTH_MAX}",
        )
    transport = _transport(protocol, source_port, destination_port, tcp_flags, icmp_type)
    transport = transport.ljust(room, b"\0")
    if source.family == 4:
        total = header + len(transport)
        head = struct.pack(">BBHHHBBH", 0x45, 0, total, 0, 0, 64, protocol, 0)
    else:
        head = struct.pack(">IHBB", 6 << 28, len(transport), protocol, 64)
    link = bytes(12) + struct.pack(">H", _ETHERTYPES[source.family])
    return link + head + source.address + destination.address + transport


def _transport(
    protocol: int, source_port: int, destination_port: int, flags: int, icmp_type: int
) -> bytes:
    if protocol in (PROTOCOLS["icmp"], PROTOCOLS["icmpv6"]):
        return struct.pack(">BB", icmp_type, 0)
    ports = struct.pack(">HH", source_port, destination_port)
    if protocol == PROTOCOLS["tcp"]:
        return ports + struct.pack(">IIH", 1, 0, 5 << 12 | flags)
    return ports


class _Header(NamedTuple):
    """Addresses and protocol of an IP header, and the bytes of the transport header, if any."""

    source: bytes
    destination: bytes
    protocol: int
    transport: bytes


def _read(frame: bytes) -> tuple[int, _Header | None]:
    """The EtherType of what the link carries, and the IP header if it is complete."""
    kind, end, _, _ = link_header(frame)
    packet = frame[end:]
    if kind == IPV4 and len(packet) >= 20:
        later = int.from_bytes(packet[6:8], "big") & 0x1FFF
        transport = b"" if later else packet[(packet[0] & 15) * 4 :]
        return kind, _Header(packet[12:16], packet[16:20], packet[9], transport)
    if kind == IPV6 and len(packet) >= 40:
        return kind, _Header(packet[8:24], packet[24:40], packet[6], packet[40:])
    return kind, None


def source_of(frame: bytes) -> Prefix | None:
    """The source address of a frame, or None if the frame is not IP."""
    header = _read(frame)[1]
    return Prefix(header.source, len(header.source) * 8) if header else None


def destination_of(frame: bytes) -> Prefix | None:
    """The destination address of a frame, or None if the frame is not IP."""
    header = _read(frame)[1]
    return Prefix(header.destination, len(header.destination) * 8) if header else None


def service(frame: bytes) -> str:
    """The protocol and the lower port of a packet: `udp from 53`, `tcp to 443`, `icmp`."""
    kind, header = _read(frame)
    if header is None:
        return f"ethertype {kind:#06x}"
    names = {number: name for name, number in PROTOCOLS.items()}
    protocol = names.get(header.protocol, f"protocol {header.protocol}")
    if header.protocol not in (PROTOCOLS["tcp"], PROTOCOLS["udp"]):
        return protocol
    if len(header.transport) < 4:
        return f"{protocol} later fragment"
    source, destination = struct.unpack(">HH", header.transport[:4])
    return f"{protocol} from {source}" if source < destination else f"{protocol} to {destination}"


def summary(frame: bytes) -> str:
    """`203.0.113.7:53 > 198.51.100.7:4000 udp`, or the EtherType of a frame that is not IP."""
    kind, header = _read(frame)
    if header is None:
        return f"ethertype {kind:#06x}"
    six = len(header.source) == 16
    ends = [inet_ntop(AF_INET6 if six else AF_INET, a) for a in (header.source, header.destination)]
    ports = header.transport[:4]
    if len(ports) == 4 and header.protocol in (PROTOCOLS["tcp"], PROTOCOLS["udp"]):
        template = "[{}]:{}" if six else "{}:{}"
        pairs = zip(ends, struct.unpack(">HH", ports), strict=True)
        ends = [template.format(end, port) for end, port in pairs]
    names = {number: name for name, number in PROTOCOLS.items()}
    return f"{ends[0]} > {ends[1]} {names.get(header.protocol, header.protocol)}"
