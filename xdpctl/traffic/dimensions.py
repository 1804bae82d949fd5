# SPDX-License-Identifier: GPL-2.0-or-later
"""The dimensions by which packets are counted: their values, names and matches. Pure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xdpctl.abi.constants import Reason
from xdpctl.base.net.prefix import Prefix
from xdpctl.errors import RuleError
from xdpctl.model.match import bits, payload, ranges
from xdpctl.model.match.bits import Bits, BitTest
from xdpctl.model.match.components import BY_WORD, COMPONENTS, FRAGMENT, TCP_FLAGS
from xdpctl.model.match.match import Value
from xdpctl.model.match.payload import MAGIC_BYTES
from xdpctl.traffic.packets import PacketArray

Keys = NDArray[Any]
_NETWORKS = {4: 24, 6: 64}
_SIZES = {4: 4, 6: 16}
_MAPPED = bytes(10) + b"\xff\xff"  # RFC 4291 section 2.5.5.2
_FLAGS = (1 << len(TCP_FLAGS)) - 1


@dataclass(frozen=True, slots=True)
class Dimension:
    """A property of packets.

    `keys` gives a value for each packet, equal for packets that are counted together. `name` gives
    the text of a key. `components` gives the components of a match that takes the packets of a key;
    None if no match can.
    """

    keys: Callable[[PacketArray], Keys]
    name: Callable[[Any], str]
    components: Callable[[Any], dict[str, Value] | None]


def stand(keys: Keys) -> NDArray[np.bool_]:
    """Which keys stand for a property, and not for its absence (empty, or less than 0)."""
    return np.asarray(keys != b"" if keys.dtype.kind == "S" else keys >= 0)


def _addresses(column: str, lengths: dict[int, int] | None) -> Dimension:
    def keys(packets: PacketArray) -> Keys:
        """The family, and then the address: 17 bytes."""
        raw = np.zeros((len(packets), 17), np.uint8)
        raw[:, 0] = packets["family"]
        raw[:, 1:] = np.ascontiguousarray(packets[column]).view(np.uint8).reshape(-1, 16)
        if lengths:
            raw[packets["family"] == 4, 1 + lengths[4] // 8 :] = 0
            raw[packets["family"] == 6, 1 + lengths[6] // 8 :] = 0
        return raw.reshape(-1).view("S17")

    def prefix(key: bytes) -> Prefix:
        size = _SIZES[key[0]]
        length = lengths[key[0]] if lengths else size * 8
        return Prefix(key[1:].ljust(size, b"\0"), length)

    def name(key: bytes) -> str:
        network = prefix(key)
        return str(network).split("/")[0] if network.exact else str(network)

    def components(key: bytes) -> dict[str, Value] | None:
        """None for an IPv4-mapped address, which no host has; a match would read it as IPv4."""
        network = prefix(key)
        mapped = network.family == 6 and network.address.startswith(_MAPPED)
        return None if mapped else {column: network}

    return Dimension(keys, name, components)


def _number(column: str) -> Dimension:
    component = COMPONENTS[column]

    def name(key: int) -> str:
        return ranges.show(((key, key),), component)

    return Dimension(lambda p: p[column], name, lambda key: {column: ((key, key),)})


def exactly(mask: int, all_bits: int) -> Bits:
    """Bit tests that are true for exactly this value."""
    unset = (BitTest(True, 1 << bit) for bit in range(all_bits.bit_length()) if not mask >> bit & 1)
    return (tuple(sorted([*([BitTest(False, mask)] if mask else []), *unset])),)


def _bits(column: str, all_bits: int, nothing: str) -> Dimension:
    component = COMPONENTS[column]

    def keys(packets: PacketArray) -> Keys:
        values = packets[column]
        return np.where(values < 0, values, values & all_bits)

    def name(key: int) -> str:
        return bits.show(((BitTest(False, key),),), component) if key else nothing

    return Dimension(keys, name, lambda key: {column: exactly(key, all_bits)})


def _icmp() -> Dimension:
    def keys(packets: PacketArray) -> Keys:
        both = packets["icmp_type"] << 16 | packets["icmp_code"] << 8 | packets["protocol"]
        return np.where(packets["icmp_type"] < 0, -1, both)

    def components(key: int) -> dict[str, Value]:
        values = {"protocol": key & 255, "icmp_type": key >> 16, "icmp_code": key >> 8 & 255}
        return {name: ((value, value),) for name, value in values.items()}

    return Dimension(keys, lambda key: f"{key >> 16}/{key >> 8 & 255}", components)


def _payload() -> Dimension:
    def keys(packets: PacketArray) -> Keys:
        """The first bytes as a number; -1 if there are fewer."""
        starts = np.ascontiguousarray(packets["payload"][:, :MAGIC_BYTES])
        numbers = starts.view(">u4").reshape(-1).astype(np.int64)
        return np.where(packets["payload_bytes"] >= MAGIC_BYTES, numbers, -1)

    def components(key: int) -> dict[str, Value]:
        return {"payload": payload.start(key.to_bytes(MAGIC_BYTES, "big"))}

    return Dimension(keys, lambda key: f"{key:0{2 * MAGIC_BYTES}x}", components)


def _plain(column: str, name: Callable[[Any], str]) -> Dimension:
    return Dimension(lambda packets: packets[column].astype(np.int64), name, lambda _: None)


def _ethertype() -> Dimension:
    def keys(packets: PacketArray) -> Keys:
        return np.where(packets["family"] == 0, packets["ethertype"].astype(np.int64), -1)

    return Dimension(keys, lambda key: f"{key:#06x}", lambda _: None)


_REASON = _plain("reason", lambda key: Reason(key).name.lower())
DIMENSIONS = {
    "source": _addresses("source", None),
    "source_network": _addresses("source", _NETWORKS),
    "destination": _addresses("destination", None),
    "destination_network": _addresses("destination", _NETWORKS),
    "protocol": _number("protocol"),
    "source_port": _number("source_port"),
    "destination_port": _number("destination_port"),
    "packet_length": _number("packet_length"),
    "ttl": _number("ttl"),
    "dscp": _number("dscp"),
    "vlan": _number("vlan"),
    "tcp_flags": _bits("tcp_flags", _FLAGS, "none"),
    "fragment": _bits("fragment", sum(FRAGMENT.values()), "whole"),
    "icmp": _icmp(),
    "payload": _payload(),
    "ethertype": _ethertype(),
    "reason": _REASON,
    "interface": _plain("interface", str),
    "rule": _plain("slot", str),
}


def dimension(name: str, known: Mapping[str, Dimension] = DIMENSIONS) -> Dimension:
    """The dimension with this name, or the word of a match; RuleError lists the known ones."""
    component = BY_WORD.get(name)
    chosen = known.get(name) or known.get(component.name if component else "")
    if chosen is None:
        fix = f"use some of {', '.join(known)}"
        raise RuleError(f"{name[:40]!r} is not a dimension", "by", fix)
    return chosen


def named(by: Dimension, name: Callable[[Any], str]) -> Dimension:
    """The dimension `by`, where packets whose keys have the same name are counted together."""
    names: dict[str, int] = {}

    def keys(packets: PacketArray) -> Keys:
        values, places = np.unique(by.keys(packets), return_inverse=True)
        numbers = [names.setdefault(name(value), len(names)) for value in values.tolist()]
        return np.array(numbers, np.int64)[places]

    return replace(by, keys=keys, name=lambda number: list(names)[number])
