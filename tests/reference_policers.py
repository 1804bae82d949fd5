# SPDX-License-Identifier: GPL-2.0-or-later
"""The reference model of limits of hosts inside: which policers a packet that goes out meets."""

from typing import NamedTuple

from tests import reference, reference_signatures
from tests.reference_flows import Fields, Memory, transport

_TCP, _UDP = 6, 17
_SYN, _ACK = 2, 16
_REFUSED = {"TRUNCATED", "TINY_FRAGMENT", "EXTENSION_DEPTH"}
_FIXED = {0x0800: (12, 4, 20), 0x86DD: (8, 16, 40)}  # where addresses begin, their size, the end


class Policer(NamedTuple):
    """What a policer is about; an empty destination or MAC address and a port of 0 are any."""

    protocol: int
    destination: bytes = b""
    source_port: int = 0
    destination_port: int = 0
    only: str = "all"  # or syn, or unknown
    mac: bytes = b""


def sender(frame: bytes) -> bytes | None:
    """The source address of a frame, if its IP header is there."""
    found = _addresses(frame)
    return found[0] if found else None


def meets(policer: Policer, frame: bytes, memory: Memory) -> bool:
    """Whether a frame that its host sends counts for the policer."""
    found = _addresses(frame)
    if not found or (policer.mac and policer.mac != frame[6:12]):
        return False
    if policer.destination and policer.destination != found[1]:
        return False
    if is_refused(frame):
        return True  # what nobody can parse may be anything
    has: Fields = reference_signatures.fields(frame)
    if has["protocol"] != policer.protocol:
        return False
    ports = _ports(frame, has)
    for wanted, port in zip((policer.source_port, policer.destination_port), ports, strict=True):
        if wanted not in (0, port):
            return False
    if policer.only == "syn":
        whole = ports != (None, None) and policer.protocol == _TCP
        return whole and has["tcp_flags"] & (_SYN | _ACK) == _SYN
    return policer.only == "all" or memory.begins(frame)


def _addresses(frame: bytes) -> tuple[bytes, bytes] | None:
    try:
        kind, offset = reference.ethernet(frame)
    except reference.Decided:
        return None
    first, size, end = _FIXED.get(kind, (0, 0, 1 << 16))
    data = frame[offset:]
    if len(data) < end or data[0] >> 4 != (4 if size == 4 else 6):
        return None
    if size == 4 and not 20 <= (data[0] & 15) * 4 <= len(data):
        return None
    return data[first : first + size], data[first + size : first + 2 * size]


def is_refused(frame: bytes) -> bool:
    """Whether the parser does not read the frame to its end."""
    kind, offset = reference.ethernet(frame)
    read = reference.ipv4 if kind == 0x0800 else reference.ipv6
    try:
        read(frame[offset:])
    except reference.Decided as decided:
        return str(decided) in _REFUSED
    return False


def _ports(frame: bytes, has: Fields) -> tuple[int | None, int | None]:
    least = {_TCP: 14, _UDP: 8}.get(has["protocol"])
    later = has["fragment"] & reference_signatures.LATER
    if least is None or later or len(transport(frame)) < least:
        return None, None
    return has["source_port"], has["destination_port"]
