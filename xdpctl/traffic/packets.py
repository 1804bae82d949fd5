# SPDX-License-Identifier: GPL-2.0-or-later
"""Heads of packets, read into columns: one array element for each packet. Pure.

The fields are those of a match (xdpctl/base/net/packet_fields.py reads them from one frame).
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xdpctl.abi.constants import FlowState
from xdpctl.abi.sizes import PAYLOAD_BYTES
from xdpctl.base.net.packet_fields import (
    DONT,
    EXTENSIONS,
    FIRST,
    LAST,
    LATER,
    TCP_HEADER,
    UDP_HEADER,
)
from xdpctl.base.net.prefix import Prefix
from xdpctl.datapath.heads import HeadArray

NONE = -1  # a field that the packet does not have
NUMBERS = (
    *("protocol", "source_port", "destination_port", "icmp_type", "icmp_code", "tcp_flags"),
    *("packet_length", "dscp", "fragment", "flow_label", "ttl", "vlan"),
)
# An IPv4 address is in the first four bytes. `weight`: how many packets this one stands for.
# `payload` has the first bytes of what TCP or UDP carries, `payload_bytes` how many there are.
# `payload_cut`: the packet has more of them, which are not known.
# `shaken`: the packet completes a handshake, and its flow is known from then on.
# `mac`, `came_by`: of what goes out, the source of its frame, and the interface where it came in.
PACKET = np.dtype(
    [
        *((name, "u4") for name in ("weight", "length", "slot", "interface", "came_by")),
        *((name, "S16") for name in ("source", "destination")),
        *((name, "i4") for name in NUMBERS),
        ("ethertype", "u2"),
        ("reason", "u1"),
        ("family", "u1"),
        ("flow", "u1"),
        ("shaken", "u1"),
        ("traffic", "u1"),
        ("payload_bytes", "u1"),
        ("payload_cut", "u1"),
        ("payload", "u1", PAYLOAD_BYTES),
        ("mac", "u1", 6),
    ]
)
PacketArray = NDArray[np.void]
_Column = NDArray[np.int64]
_VLANS = 4096
_FRAGMENT_HEADER, _AH = 44, 51
_EXTENSIONS_MAX = 8
_ICMP, _TCP, _UDP, _ICMPV6 = 1, 6, 17, 58
_EXTENSION = np.isin(np.arange(256), list(EXTENSIONS))


def joined(parts: Iterable[PacketArray]) -> PacketArray:
    """All parts as one array; `np.concatenate` is slow for arrays with fields."""
    filled = [part for part in parts if len(part)]
    array = np.empty(sum(map(len, filled)), PACKET)
    at = 0
    for part in filled:
        array[at : at + len(part)] = part
        at += len(part)
    return array


def kinds(packets: PacketArray) -> NDArray[np.uint8]:
    """The kind of each packet, as a number of Traffic."""
    numbers: NDArray[np.uint8] = packets["traffic"]
    return numbers


def source(packet: np.void) -> Prefix:
    """The source of a packet."""
    return _host(packet, "source")


def destination(packet: np.void) -> Prefix:
    """The destination of a packet."""
    return _host(packet, "destination")


def _host(packet: np.void, field: str) -> Prefix:
    size = 4 if packet["family"] == 4 else 16
    return Prefix(bytes(packet[field]).ljust(size, b"\0")[:size], size * 8)


class _Heads:
    """The bytes of heads, read at a position that may differ from head to head."""

    def __init__(self, heads: HeadArray) -> None:
        self._bytes: NDArray[np.uint8] = heads["bytes"]
        self._held = heads["bytes_held"].astype(np.int64)
        self._rows = np.arange(len(heads))

    def has(self, end: Any) -> NDArray[np.bool_]:
        """Whether the head reaches this position."""
        return np.asarray(self._held >= end)

    def byte(self, at: Any) -> _Column:
        """The byte at a position; any value where the head ends before it."""
        places = np.minimum(at, self._bytes.shape[1] - 1)
        return np.asarray(self._bytes[self._rows, places], np.int64)

    def word(self, at: Any) -> _Column:
        """The two bytes at a position."""
        return self.byte(at) << 8 | self.byte(at + 1)

    def held(self, at: _Column, end: _Column) -> _Column:
        """How many first bytes of a payload between two positions the head has.

        None if the frame ends before them, as for the filter.
        """
        wanted, there = np.clip(end - at, 0, PAYLOAD_BYTES), np.maximum(self._held - at, 0)
        return np.where(there >= wanted, wanted, np.where(self.full, there, 0))

    @property
    def full(self) -> NDArray[np.bool_]:
        """Whether the frame may go on behind the head."""
        return np.asarray(self._held == self._bytes.shape[1])

    def cut(self, rows: NDArray[np.int64], at: int) -> NDArray[np.uint8]:
        """The bytes of some heads from a position on, as many as a payload has."""
        part = self._bytes[rows, at : at + PAYLOAD_BYTES]
        return np.pad(part, ((0, 0), (0, PAYLOAD_BYTES - part.shape[1])))

    def addresses(self, at: int, size: int) -> NDArray[Any]:
        """The addresses at a position."""
        padded = np.zeros((len(self._rows), 16), np.uint8)
        padded[:, :size] = self._bytes[:, at : at + size]
        return padded.reshape(-1).view("S16")


def read(heads: HeadArray) -> PacketArray:
    """The packets of these heads, in the same order."""
    packets = np.zeros(len(heads), PACKET)
    for name in (
        "weight",
        "length",
        "slot",
        "interface",
        "ethertype",
        "reason",
        "flow",
        "traffic",
        "mac",
        "came_by",
    ):
        packets[name] = heads[name]
    packets["shaken"] = heads["flow"] == FlowState.SHAKEN
    packets["flow"][packets["shaken"] != 0] = FlowState.KNOWN
    for name in NUMBERS:
        packets[name] = NONE
    packets["vlan"] = np.where(heads["vlan"] < _VLANS, heads["vlan"].astype("i4"), NONE)
    for family, header, fill in ((4, 20, _ipv4), (6, 40, _ipv6)):
        rows = np.flatnonzero((heads["family"] == family) & (heads["bytes_held"] >= header))
        if len(rows):
            part = packets[rows]
            part["family"] = family
            fill(part, _Heads(heads[rows]))
            packets[rows] = part
    return packets


def _ipv4(packets: PacketArray, heads: _Heads) -> None:
    word = heads.word(6)
    fragment = _fragment(word & 0x1FFF, word & 0x2000) | np.where(word & 0x4000, DONT, 0)
    packets["source"], packets["destination"] = heads.addresses(12, 4), heads.addresses(16, 4)
    packets["protocol"] = heads.byte(9)
    packets["packet_length"] = heads.word(2)
    packets["dscp"] = heads.byte(1) >> 2
    packets["fragment"] = fragment
    packets["ttl"] = heads.byte(8)
    _transport(packets, heads, (heads.byte(0) & 15) * 4, _ICMP, heads.word(2))


def _ipv6(packets: PacketArray, heads: _Heads) -> None:
    protocol, at, fragment = _behind_extensions(heads)
    packets["source"], packets["destination"] = heads.addresses(8, 16), heads.addresses(24, 16)
    packets["protocol"] = protocol
    packets["packet_length"] = np.minimum(heads.word(4) + 40, 65535)
    packets["dscp"] = (heads.word(0) >> 6) & 63
    packets["fragment"] = fragment
    packets["flow_label"] = (heads.byte(1) & 15) << 16 | heads.word(2)
    packets["ttl"] = heads.byte(7)
    _transport(packets, heads, at, _ICMPV6, heads.word(4) + 40)


def _behind_extensions(heads: _Heads) -> tuple[_Column, _Column, _Column]:
    """The upper layer's protocol, the position of its header, and the bits of `fragment`."""
    protocol = heads.byte(6)
    at, fragment = np.full(len(protocol), 40), np.zeros(len(protocol), np.int64)
    for _ in range(_EXTENSIONS_MAX):
        more = _EXTENSION[protocol] & heads.has(at + 8) & (fragment & LATER == 0)
        if not more.any():
            break
        units = heads.byte(at + 1)
        is_fragment = protocol == _FRAGMENT_HEADER
        word = heads.word(at + 2)
        bits = np.where(is_fragment, _fragment(word >> 3, word & 1), fragment)
        sizes = (is_fragment, protocol == _AH), (np.int64(8), (units + 2) * 4)
        size = np.select(*sizes, (units + 1) * 8)
        fragment = np.where(more, bits, fragment)
        protocol = np.where(more, heads.byte(at), protocol)
        at = np.where(more, at + size, at)
    return protocol, at, fragment


def _fragment(offset: _Column, more: _Column) -> _Column:
    later = np.where(more, LATER, LATER | LAST)
    return np.where(offset, later, np.where(more, FIRST, 0))


def _transport(packets: PacketArray, heads: _Heads, at: _Column, icmp: int, end: _Column) -> None:
    protocol = packets["protocol"]
    first = packets["fragment"] & LATER == 0
    whole = first & heads.has(at + np.where(protocol == _TCP, 14, 4))
    ports = whole & ((protocol == _TCP) | (protocol == _UDP))
    flags, types = whole & (protocol == _TCP), whole & (protocol == icmp)
    for name, where, values in (
        ("source_port", ports, heads.word(at)),
        ("destination_port", ports, heads.word(at + 2)),
        ("tcp_flags", flags, heads.word(at + 12) & 0xFFF),
        ("icmp_type", types, heads.byte(at)),
        ("icmp_code", types, heads.byte(at + 1)),
    ):
        packets[name] = np.where(where, values, NONE)
    options = np.where(flags, (heads.byte(at + 12) >> 4) * 4, UDP_HEADER)
    carries = ports & (~flags | (options >= TCP_HEADER))
    _payload(packets, heads, np.where(carries, at + options, 0), end)


def _payload(packets: PacketArray, heads: _Heads, at: _Column, end: _Column) -> None:
    """The first bytes from a position on, before the packet's end; none where the position is 0."""
    packets["payload_bytes"] = np.where(at > 0, heads.held(at, end), 0)
    short = packets["payload_bytes"] < np.clip(end - at, 0, PAYLOAD_BYTES)
    packets["payload_cut"] = (at > 0) & heads.full & short
    for place in np.unique(at[packets["payload_bytes"] > 0]).tolist():
        rows = np.flatnonzero(at == place)
        packets["payload"][rows] = heads.cut(rows, place)
    beyond = np.arange(PAYLOAD_BYTES) >= packets["payload_bytes"][:, np.newaxis]
    packets["payload"][beyond] = 0
