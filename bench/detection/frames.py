# SPDX-License-Identifier: GPL-2.0-or-later
"""Synthetic packets as Ethernet frames with correct checksums, and a sender for them."""

import errno
import socket
import struct
import threading
import time
from collections.abc import Sequence
from itertools import count, cycle, islice

import numpy as np

from xdpctl.base.net.packet_fields import DONT, FIRST, LAST, LATER
from xdpctl.traffic.packets import PacketArray

_LINK, _LINK6 = (bytes.fromhex(f"026600000002{kind}") for kind in ("0800", "86dd"))
_IDENTIFICATIONS = count()
_BATCH_SECONDS = 0.002
_TCP, _UDP, _ICMP = 6, 17, 1
_CHECKSUM = {_TCP: 16, _UDP: 6, _ICMP: 2}
_DNS, _QUERY_WITHOUT_NAME = 53, 18
_WHOLE = {_TCP: 20, _UDP: 8, _ICMP: 8}
_ICMPV6, _FRAGMENT, _HEADER6, _FRAGMENT_HEADER = 58, 44, 40, 8
_TYPES6 = {8: 128, 0: 129, 3: 1, 11: 3, 12: 4}  # of ICMP, in ICMPv6


def frames(packets: PacketArray, mac: str) -> list[bytes]:
    """A frame for each packet, addressed to this card."""
    to = bytes.fromhex(mac.replace(":", ""))
    return [
        to + (_LINK6 + _packet6(packet) if packet["family"] == 6 else _LINK + _packet(packet))
        for packet in packets
    ]


def _sum(data: bytes) -> int:
    padded = data + b"\0" * (len(data) % 2)
    total = int(np.frombuffer(padded, ">u2").astype(np.uint64).sum())
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def _packet(packet: np.void) -> bytes:
    source, destination = (bytes(packet[name]).ljust(4, b"\0")[:4]
                           for name in ("source", "destination"))  # fmt: skip
    protocol, bits = int(packet["protocol"]) % 256, int(packet["fragment"])
    word = 0x4000 if bits & DONT else 0
    if bits & LATER:
        word |= 185 | (0 if bits & LAST else 0x2000)
    elif bits & FIRST:
        word |= 0x2000
    room = max(
        int(packet["packet_length"]) - 20, _WHOLE.get(protocol, 0) if not bits & LATER else 0
    )
    body = bytes(room) if bits & LATER else _transport(packet, protocol, room)
    if protocol in _CHECKSUM and not bits & (LATER | FIRST):
        pseudo = source + destination + struct.pack(">BBH", 0, protocol, len(body))
        at = _CHECKSUM[protocol]
        checksum = _sum(body if protocol == _ICMP else pseudo + body)
        body = body[:at] + struct.pack(">H", checksum) + body[at + 2 :]
    head = struct.pack(">BBHHHBBH", 0x45, max(int(packet["dscp"]), 0) << 2, 20 + len(body),
                       next(_IDENTIFICATIONS) & 0xFFFF, word,
                       int(packet["ttl"]), protocol, 0)  # fmt: skip
    head += source + destination
    return head[:10] + struct.pack(">H", _sum(head)) + head[12:] + body


def _packet6(packet: np.void) -> bytes:
    """An IPv6 packet; a fragment has a fragment header (RFC 8200 section 4.5)."""
    source, destination = (bytes(packet[name]).ljust(16, b"\0")
                           for name in ("source", "destination"))  # fmt: skip
    protocol, bits = int(packet["protocol"]) % 256, int(packet["fragment"])
    later = bool(bits & LATER)
    header = _HEADER6 + (_FRAGMENT_HEADER if bits & (LATER | FIRST) else 0)
    room = max(int(packet["packet_length"]) - header, 0 if later else _WHOLE.get(protocol, 0))
    body = bytes(room) if later else _transport(packet, protocol, room)
    number = _ICMPV6 if protocol == _ICMP else protocol
    if protocol in _CHECKSUM and not bits & (LATER | FIRST):
        at = 2 if protocol == _ICMP else _CHECKSUM[protocol]
        pseudo = source + destination + struct.pack(">IHBB", len(body), 0, 0, number)
        body = body[:at] + struct.pack(">H", _sum(pseudo + body)) + body[at + 2 :]
    first, extension = number, b""
    if bits & (LATER | FIRST):
        word = (185 << 3 if later else 0) | (0 if bits & LAST else 1)
        extension = struct.pack(">BBHI", number, 0, word, next(_IDENTIFICATIONS) & 0xFFFFFFFF)
        first = _FRAGMENT
    head = struct.pack(">IHBB", 6 << 28 | (max(int(packet["dscp"]), 0) << 22),
                       len(extension) + len(body), first, int(packet["ttl"]))  # fmt: skip
    return head + source + destination + extension + body


def _transport(packet: np.void, protocol: int, room: int) -> bytes:
    ports = struct.pack(
        ">HH", *(max(int(packet[n]), 0) for n in ("source_port", "destination_port"))
    )
    if protocol == _TCP:
        head = ports + struct.pack(">IIHHHH", 1, 1, 5 << 12 | max(int(packet["tcp_flags"]), 0),
                                   64_240, 0, 0)  # fmt: skip
    elif protocol == _UDP:
        head = ports + struct.pack(">HH", room, 0)
        if packet["destination_port"] == _DNS:
            head += _query(next(_IDENTIFICATIONS), room - len(head))
    elif protocol == _ICMP:
        of_six = _TYPES6 if packet["family"] == 6 else {}
        kind = max(int(packet["icmp_type"]), 0)
        head = struct.pack(">BBHI", of_six.get(kind, kind),
                           max(int(packet["icmp_code"]), 0), 0, 1)  # fmt: skip
    else:
        head = b""
    return (head + bytes(max(room - len(head), 0)))[: max(room, len(head))]


def _query(number: int, length: int) -> bytes:
    """A DNS query for a name that was not used before; empty if there is no room."""
    label = length - _QUERY_WITHOUT_NAME
    if not 8 <= label <= 63:
        return b""
    head = struct.pack(">HHHHHH", number & 0xFFFF, 0x0100, 1, 0, 0, 0)
    return head + bytes([label]) + f"{number:0{label}x}"[:label].encode() + b"\0\0\1\0\1"


class Sender:
    """Sends frames in a loop from a card of the calling namespace, at a given rate."""

    def __init__(
        self, card: str, built: Sequence[bytes], per_second: float, seconds: float
    ) -> None:
        self._card, self._built = card, built
        self._rate, self._seconds = per_second, seconds
        self.stop = threading.Event()
        self.sent = 0

    def run(self) -> None:
        """Send until `stop` is set or the time is over."""
        began, endless, tried = time.monotonic(), cycle(self._built), 0
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as out:
            out.bind((self._card, 0))
            while not self.stop.is_set():
                elapsed = time.monotonic() - began
                if elapsed > self._seconds:
                    return
                due = int(elapsed * self._rate) - tried
                for frame in islice(endless, max(min(due, 1_000), 0)):
                    tried += 1
                    self.sent += _sends(out, frame)
                if due <= 0:
                    time.sleep(_BATCH_SECONDS)


def _sends(out: socket.socket, frame: bytes) -> bool:
    """Whether the card accepted the frame; on a busy machine its queue may be full."""
    try:
        out.send(frame)
    except OSError as error:
        if error.errno != errno.ENOBUFS:
            raise
        return False
    return True
