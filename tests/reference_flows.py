# SPDX-License-Identifier: GPL-2.0-or-later
"""The reference model of the flow memory and of challenges.

It reads the bytes of frames, remembers exactly and for ever, and shares no code with the product;
only the list of services is the same.
"""

import struct
from typing import Any, NamedTuple

from tests import reference, reference_signatures
from xdpctl.model.services import LISTED, SERVICES_BELOW

Fields = Any  # a frame's fields by name, as reference_signatures has them

_ICMP, _TCP, _UDP, _ICMPV6, _SCTP = 1, 6, 17, 58, 132
_SYN, _RST, _ACK, _FIN = 2, 4, 16, 1
_QUIC = (b"\0\0\0\1", b"\x6b\x33\x43\xcf")  # versions 1 and 2
_SERVICES = {*range(SERVICES_BELOW), *LISTED}


class Flow(NamedTuple):
    """A conversation seen from inside; an echo has its identifier as the inner port."""

    protocol: int
    inside: bytes
    inside_port: int
    outside: bytes
    outside_port: int


class Fragments(NamedTuple):
    """The key of the fragments of one incoming packet."""

    protocol: int
    inside: bytes
    outside: bytes
    identification: bytes


class Memory:
    """Everything that was taught.

    Of flows that are not known, `proofs` has what went out last: the number that acknowledges our
    SYN-ACK, what was acknowledged, or the end of the connection ID that a QUIC server has chosen;
    before that, the one that its client has ("client"; 0: he has shown two).
    """

    def __init__(self) -> None:
        self.flows: set[Flow] = set()
        self.fragments: set[Fragments] = set()
        self.proofs: dict[Flow, tuple[str, int]] = {}

    def teach(self, frame: bytes) -> None:
        """Learn from an outgoing frame."""
        has, head = _read(frame)
        if opened := _opened(frame, has, head):
            self.flows.add(opened)
        elif _portless(has, frame):
            return
        elif head is not None and has["protocol"] == _TCP and has["tcp_flags"] is not None:
            self._teach_proof(_outgoing(has, head), has["tcp_flags"], head)
        elif head is not None and has["protocol"] == _UDP and has["source_port"] == 443:
            flow, own = _outgoing(has, head), _connection_ids(head)[1]
            kind, theirs = self.proofs.get(flow, ("", 0))
            if own and kind == "client" and theirs not in (0, own):
                self.proofs[flow] = "quic", own

    def begins(self, frame: bytes) -> bool:
        """Whether an outgoing frame opens a flow that is not known."""
        opened = _opened(frame, *_read(frame))
        return opened is not None and opened not in self.flows

    def let_in(self, frame: bytes) -> None:
        """Learn from an incoming frame that passes: a QUIC client chooses one connection ID."""
        has, head = _read(frame)
        if self.knows(frame) or head is None or has["protocol"] != _UDP:
            return
        flow, connection = _incoming(has), _connection_ids(head)[0]
        if has["destination_port"] == 443 and connection:
            kind, theirs = self.proofs.get(flow, ("client", connection))
            if kind == "client":
                self.proofs[flow] = "client", connection if theirs == connection else 0

    def _teach_proof(self, flow: Flow, flags: int, head: bytes) -> None:
        number, acknowledged = struct.unpack_from(">II", head, 4)
        opens = flags & (_SYN | _RST | _ACK)
        if opens == _SYN | _ACK:
            self.proofs[flow] = "shake", (number + 1) % (1 << 32)
        elif opens == _ACK and flow not in self.flows:
            kind, before = self.proofs.get(flow, ("", 0))
            if kind == "ack" and 0 < (acknowledged - before) % (1 << 32) < 1 << 31:
                self.flows.add(flow)
            else:
                self.proofs[flow] = "ack", acknowledged

    def knows(self, frame: bytes) -> bool:
        """Whether an incoming frame belongs to a known flow; remembers a frame that proves one."""
        has, head = _read(frame)
        if _portless(has, frame):
            return _incoming_pair(has) in self.flows
        if head is None:
            return _fragments(has, frame) in self.fragments
        protocol = has["protocol"]
        if protocol == _TCP:
            flags = has["tcp_flags"]
            if flags is None or flags & (_SYN | _ACK) == _SYN:
                return False
            flow, acknowledged = _incoming(has), int.from_bytes(head[8:12], "big")
            shakes = flags & (_SYN | _RST | _ACK) == _ACK
            if shakes and self.proofs.get(flow) == ("shake", acknowledged):
                self.flows.add(flow)
            return flow in self.flows
        if protocol == _UDP and len(head) >= 8:
            flow, connection = _incoming(has), 0
            if has["destination_port"] == 443:
                connection = _connection_ids(head)[0]
            if connection and self.proofs.get(flow) == ("quic", connection):
                self.flows.add(flow)
            return flow in self.flows
        if protocol == (_ICMP if len(has["source"]) == 4 else _ICMPV6) and len(head) >= 8:
            return self._knows_icmp(has, head)
        return False

    def _knows_icmp(self, has: Fields, head: bytes) -> bool:
        four = len(has["source"]) == 4
        if head[0] in ((3, 11, 12) if four else (1, 2, 3, 4)):
            cited = _cited(head[8:], four)
            return cited is not None and cited in self.flows and cited.inside == has["destination"]
        if head[0] == (0 if four else 129):
            (echo,) = struct.unpack_from(">H", head, 4)
            return Flow(has["protocol"], has["destination"], echo, has["source"], 0) in self.flows
        return False

    def expect(self, frame: bytes) -> None:
        """Expect the fragments after a known flow's first one, where matches are tested."""
        has, head = _read(frame)
        if head is not None and has["fragment"] & reference_signatures.FIRST and self.knows(frame):
            self.fragments.add(_fragments(has, frame))


def is_syn(frame: bytes) -> bool:
    """Whether a challenge is for this frame."""
    flags = reference_signatures.fields(frame)["tcp_flags"]
    return isinstance(flags, int) and flags & (_SYN | _ACK | _RST | _FIN) == _SYN


def is_query(frame: bytes) -> bool:
    """Whether a challenge of DNS queries is for this frame: RFC 1035, no response, opcode 0."""
    has = reference_signatures.fields(frame)
    payload = has["payload"]
    if has["protocol"] != 17 or has["destination_port"] != 53 or has["fragment"] not in (0, 1):
        return False
    return isinstance(payload, bytes) and len(payload) >= 12 and not payload[2] & 0xF8


def opens_quic(frame: bytes) -> bool:
    """Whether it opens a QUIC connection (RFC 9000, RFC 9369), or has an unknown version."""
    has = reference_signatures.fields(frame)
    data = has["payload"]
    if has["protocol"] != 17 or has["destination_port"] != 443 or has["fragment"] not in (0, 1):
        return False
    if not isinstance(data, bytes) or len(data) < 5 or data[0] < 0xC0:
        return False
    later = {b"\0\0\0\1": 2, b"\x6b\x33\x43\xcf": 3}.get(data[1:5])
    return data[0] >> 4 & 3 != later


def is_game_query(frame: bytes) -> bool:
    """Whether it is a query of A2S that a server answers with a number first."""
    has = reference_signatures.fields(frame)
    payload, port = has["payload"], has["destination_port"]
    if has["protocol"] != 17 or port in (53, 443) or has["fragment"] not in (0, 1):
        return False
    if not isinstance(payload, bytes) or len(payload) < 9 or payload[:4] != b"\xff" * 4:
        return False
    return payload[4] in (0x55, 0x56) or (payload[4] == 0x54 and len(payload) >= 25)


def _read(frame: bytes) -> tuple[Fields, bytes | None]:
    """The fields, and the bytes from the transport header on; None for a later fragment."""
    has: Fields = reference_signatures.fields(frame)
    return has, None if has["fragment"] & reference_signatures.LATER else transport(frame)


def transport(frame: bytes) -> bytes:
    """The bytes from the transport header on."""
    kind, offset = reference.ethernet(frame)
    data = frame[offset:]
    if kind == 0x0800:
        return data[(data[0] & 15) * 4 :]
    protocol, rest = data[6], data[40:]
    while protocol in reference.EXTENSIONS:
        size = (rest[1] + 2) * 4 if protocol == 51 else 8 if protocol == 44 else (rest[1] + 1) * 8
        protocol, rest = rest[0], rest[size:]
    return rest


def _connection_ids(head: bytes) -> tuple[int, int]:
    """The ends of the destination's and the source's connection ID behind a UDP header.

    Four bytes of each (RFC 8999 section 5.1); 0 if it is shorter, or there is none.
    """
    data = head[8:]
    form = data[:1] and data[0] & 0xC0 == 0xC0
    if len(data) < 6 or not form or data[1:5] not in _QUIC or data[5] > 20:
        return 0, 0
    to, rest = data[6 : 6 + data[5]], data[6 + data[5] :]
    whole = len(to) == data[5] and bool(rest)
    by = rest[1 : 1 + rest[0]] if whole and 4 <= rest[0] <= 20 else b""
    ends = [int.from_bytes(each[-4:], "big") if len(each) >= 4 else 0 for each in (to, by)]
    return (ends[0] if len(to) == data[5] else 0), (ends[1] if whole and len(by) == rest[0] else 0)


def _portless(has: Fields, frame: bytes) -> bool:
    """Whether the flow of a packet is identified by its addresses alone."""
    extensions = reference.EXTENSIONS if len(has["source"]) == 16 else ()
    return has["protocol"] not in (_TCP, _UDP, _ICMP, _ICMPV6, *extensions)


def _begins_sctp(head: bytes) -> bool:
    """Whether this chunk is never a reply to a forged packet (RFC 9260 section 8.4)."""
    return len(head) > 12 and head[12] not in (2, 6, 9, 14)


def _incoming_pair(has: Fields) -> Flow:
    return Flow(has["protocol"], has["destination"], 0, has["source"], 0)


def _opened(frame: bytes, has: Fields, head: bytes | None) -> Flow | None:
    """The flow that an outgoing frame opens, or goes on with; None if an outsider can cause it."""
    if _portless(has, frame):
        begins = has["protocol"] != _SCTP or head is None or _begins_sctp(head)
        return _outgoing(has, b"") if begins else None
    return _outgoing(has, head) if head is not None and _opens(has, head) else None


def _opens(has: Fields, head: bytes) -> bool:
    protocol = has["protocol"]
    if protocol == _TCP:
        flags = has["tcp_flags"]
        if flags is None:
            return False
        opens, data = flags & (_SYN | _RST | _ACK), len(head) - (head[12] >> 4) * 4
        return opens == _SYN or (opens == _ACK and data > 0)
    if len(head) < 8:
        return False
    if protocol == _UDP:
        port = has["source_port"]
        if port not in _SERVICES:
            return True
        if port == 53:
            return len(head) > 10 and not head[10] & 0x80
        if port == 123:
            return len(head) > 8 and head[8] & 7 in (1, 3)
        return port == 4500 and len(head) >= 12 and head[8:12] != bytes(4)
    echo = {4: (_ICMP, 8), 16: (_ICMPV6, 128)}[len(has["source"])]
    return (protocol, head[0]) == echo


def _outgoing(has: Fields, head: bytes) -> Flow:
    protocol, ends = has["protocol"], (has["source"], has["destination"])
    if protocol in (_TCP, _UDP):
        return Flow(protocol, ends[0], has["source_port"], ends[1], has["destination_port"])
    if protocol not in (_ICMP, _ICMPV6):
        return Flow(protocol, ends[0], 0, ends[1], 0)
    return Flow(protocol, ends[0], int.from_bytes(head[4:6], "big"), ends[1], 0)


def _incoming(has: Fields) -> Flow:
    ends = has["destination"], has["destination_port"], has["source"], has["source_port"]
    return Flow(has["protocol"], *ends)


def _cited(data: bytes, four: bool) -> Flow | None:
    if len(data) < (20 if four else 40):
        return None
    if four:
        (word,) = struct.unpack_from(">H", data, 6)
        if data[0] >> 4 != 4 or word & 0x1FFF:
            return None
        protocol, source, destination = data[9], data[12:16], data[16:20]
        head = data[(data[0] & 15) * 4 :]
    else:
        protocol, source, destination, head = data[6], data[8:24], data[24:40], data[40:]
    if protocol in (_ICMP, _ICMPV6):
        if len(head) < 8:
            return None
        return Flow(protocol, source, int.from_bytes(head[4:6], "big"), destination, 0)
    if protocol not in (_TCP, _UDP) or len(head) < 4:
        return None
    ports = struct.unpack_from(">HH", head)
    return Flow(protocol, source, ports[0], destination, ports[1])


def _fragments(has: Fields, frame: bytes) -> Fragments:
    kind, offset = reference.ethernet(frame)
    data = frame[offset:]
    if kind == 0x0800:
        identification = data[4:6]
    else:
        protocol, rest, identification = data[6], data[40:], b""
        while protocol in reference.EXTENSIONS and not identification:
            if protocol == 44:
                # the header before the last one does not count, because its end is no longer known
                identification = rest[4:8] if rest[0] == has["protocol"] else bytes(4)
            size = (rest[1] + 2) * 4 if protocol == 51 else (rest[1] + 1) * 8
            protocol, rest = rest[0], rest[size:]
    return Fragments(has["protocol"], has["destination"], has["source"], identification)
