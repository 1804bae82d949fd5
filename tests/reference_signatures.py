# SPDX-License-Identifier: GPL-2.0-or-later
"""The reference model of signatures: a packet's fields, and the signatures that match it.

It follows RFC 8955 and 8956 literally, on the bytes of the frame, and shares no code with the
product.
"""

import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from ipaddress import IPv4Network, IPv6Network, ip_address

from tests import reference

Network = IPv4Network | IPv6Network
Tests = Sequence[Sequence[tuple[str, int]]]  # or-ed groups of and-ed (operator, value)
Windows = Mapping[int, tuple[int, int]]  # by offset in the payload: a byte, and the bits compared
Fields = dict[str, object]
_OPERATORS: Mapping[str, Callable[[int, int], bool]] = {
    "=": lambda has, value: has == value,
    "!=": lambda has, value: has != value,
    "<": lambda has, value: has < value,
    "<=": lambda has, value: has <= value,
    ">": lambda has, value: has > value,
    ">=": lambda has, value: has >= value,
    "all": lambda has, value: has & value == value,
    "!all": lambda has, value: has & value != value,
}
DONT, LATER, FIRST, LAST = 1, 2, 4, 8


@dataclass(frozen=True)
class Payload:
    """The bytes that a payload must have, and windows in each of which it must have others."""

    same: Windows
    others: Sequence[Windows] = ()


@dataclass(frozen=True)
class Signature:
    """A match: components by name. `state` is live, monitor, expired.

    `over`: whether the packets of a limit come too fast. `final`: those that do not are not matched
    against later signatures.
    """

    components: Mapping[str, Network | Tests | Payload]
    action: str  # drop, accept, limit
    state: str = "live"
    over: bool = False
    final: bool = False
    slot: int = 0


class Bucket:
    """The state of a limit (GCRA, ITU-T I.371); `cost` is in ns per packet or byte."""

    def __init__(self, cost: Fraction, burst_ns: int) -> None:
        self.cost, self.burst_ns, self.time_ns = cost, burst_ns, 0

    def over(self, now_ns: int, units: int = 1) -> bool:
        """Whether a packet exceeds the limit; if not, it is counted."""
        if self.time_ns > now_ns + self.burst_ns:
            return True
        self.time_ns = max(self.time_ns, now_ns) + int(self.cost * units)
        return False


def trace(frame: bytes, ordered: Sequence[Signature]) -> tuple[str, list[Signature]]:
    """The reason of a packet that no source entry decides, and the signatures met on the way,
    limits that it is within among them.
    """
    met: list[Signature] = []
    has = fields(frame)
    for signature in ordered:
        if signature.state == "expired" or not takes(signature.components, has):
            continue
        met.append(signature)
        if signature.action == "limit" and not signature.over:
            if signature.final and signature.state == "live":
                break
            continue
        if signature.state == "live":
            names = {"drop": "MATCHED", "accept": "ACCEPTED", "limit": "LIMITED"}
            return names[signature.action], met
    return "NO_RULE", met


def takes(components: Mapping[str, Network | Tests | Payload], has: Fields) -> bool:
    return all(_takes(name, wanted, has) for name, wanted in components.items())


def _takes(name: str, wanted: Network | Tests | Payload, has: Fields) -> bool:
    if isinstance(wanted, IPv4Network | IPv6Network):
        address = ip_address(has[name])  # type: ignore[arg-type]
        return address.version == wanted.version and address in wanted
    if isinstance(wanted, Payload):
        return _compare(wanted, has[name])
    if name == "port":
        return any(_holds(wanted, has[end]) for end in ("source_port", "destination_port"))
    return _holds(wanted, has[name])


def _holds(wanted: Tests, has: object) -> bool:
    if not isinstance(has, int):
        return False
    return any(all(_OPERATORS[op](has, value) for op, value in group) for group in wanted)


def _compare(wanted: Payload, payload: object) -> bool:
    """Whether a payload has every byte of which a bit is compared, and those bits, or others."""
    if not isinstance(payload, bytes):
        return False
    if any(max(windows, default=-1) >= len(payload) for windows in (wanted.same, *wanted.others)):
        return False

    def has(windows: Windows) -> bool:
        return all(payload[at] & mask == byte & mask for at, (byte, mask) in windows.items())

    return has(wanted.same) and not any(map(has, wanted.others))


def fields(frame: bytes) -> Fields:
    """The fields of an IP packet; None for those that it does not have."""
    kind, offset = reference.ethernet(frame)
    first = struct.unpack_from(">H", frame, 12)[0]
    tagged = first in reference.VLAN
    found = _ipv4(frame[offset:]) if kind == 0x0800 else _ipv6(frame[offset:])
    vlan = struct.unpack_from(">H", frame, 14)[0] & 0xFFF if tagged else None
    return {**found, "vlan": vlan}


def _ipv4(data: bytes) -> Fields:
    length, _, word = struct.unpack_from(">HHH", data, 2)
    bits = (DONT if word & 0x4000 else 0) | _fragment(word & 0x1FFF, bool(word & 0x2000))
    header = (data[0] & 15) * 4
    rest = None if bits & LATER else data[header:]
    return {
        **_transport(data[9], rest, 1),
        "payload": _payload(data[9], rest, length - header),
        "source": data[12:16],
        "destination": data[16:20],
        "protocol": data[9],
        "packet_length": length,
        "dscp": data[1] >> 2,
        "fragment": bits,
        "flow_label": None,
        "ttl": data[8],
    }


def _ipv6(data: bytes) -> Fields:
    word, length = struct.unpack_from(">IH", data)
    protocol, rest, bits = data[6], data[40:], 0
    while protocol in reference.EXTENSIONS and not bits & LATER:
        if protocol == 44:
            offset_flags = int.from_bytes(rest[2:4], "big")
            bits, size = _fragment(offset_flags >> 3, bool(offset_flags & 1)), 8
        else:
            size = (rest[1] + 2) * 4 if protocol == 51 else (rest[1] + 1) * 8
        protocol, rest = rest[0], rest[size:]
    first = None if bits & LATER else rest
    return {
        **_transport(protocol, first, 58),
        "payload": _payload(protocol, first, length + 40 - (len(data) - len(rest))),
        "source": data[8:24],
        "destination": data[24:40],
        "protocol": protocol,
        "packet_length": min(length + 40, 65535),
        "dscp": word >> 22 & 63,
        "fragment": bits,
        "flow_label": word & 0xFFFFF,
        "ttl": data[7],
    }


def _fragment(offset: int, more: bool) -> int:
    if offset:
        return LATER if more else LATER | LAST
    return FIRST if more else 0


def _payload(protocol: int, data: bytes | None, inside: int) -> bytes | None:
    """The first 64 bytes behind a TCP or UDP header that are in the IP packet.

    `inside`: how many bytes of the data are in the IP packet; the others fill the frame. None if
    the frame ends before the packet does.
    """
    sizes = {17: 8, 6: data[12] >> 4 << 2 if data and len(data) > 13 else 0}
    header = sizes.get(protocol, 0)
    if data is None or header < (20 if protocol == 6 else 8):
        return None
    end = min(inside, header + 64)
    return data[header:end] if header < end <= len(data) else None


def _transport(protocol: int, data: bytes | None, icmp: int) -> Fields:
    names = ("source_port", "destination_port", "icmp_type", "icmp_code", "tcp_flags")
    found: Fields = dict.fromkeys(names)
    enough = 14 if protocol == 6 else 4
    if data is None or len(data) < enough:
        return found
    if protocol in (6, 17):
        found["source_port"], found["destination_port"] = struct.unpack_from(">HH", data)
    if protocol == 6:
        found["tcp_flags"] = int.from_bytes(data[12:14], "big") & 0xFFF
    if protocol == icmp:
        found["icmp_type"], found["icmp_code"] = data[0], data[1]
    return found
