# SPDX-License-Identifier: GPL-2.0-or-later
"""What no client of a protocol sends: made packets that are hit, and real ones that are not.

Real programs are tried in tests/lab/detection/test_programs.py.
"""

import struct
from collections.abc import Iterator

import pytest

from xdpctl.base.net.packet_fields import Fields
from xdpctl.base.net.prefix import Prefix, parse_prefix
from xdpctl.model.match import evaluate
from xdpctl.model.protocols import PROTOCOLS

SERVERS = [parse_prefix("192.0.2.53"), parse_prefix("2001:db8::/64")]
_V1, _V2 = b"\0\0\0\1", b"\x6b\x33\x43\xcf"
RAKNET = bytes.fromhex("00ffff00fefefefefdfdfdfd12345678")
_QUESTION = b"\3www\6school\4test\0\0\1\0\1"


def dns(flags: int = 0x0100, counts: tuple[int, ...] = (1, 0, 0, 0)) -> bytes:
    return struct.pack(">HHHHHH", 7, flags, *counts) + _QUESTION


def quic(first: int, version: bytes, size: int) -> bytes:
    return bytes((first,)) + version + bytes(size - 5)


SENT = {
    "dns": [
        dns(),
        dns(0x0010, (1, 0, 0, 1)),
        dns(counts=(1, 0, 1, 0)),  # IXFR (RFC 1995)
        dns(0x2400, (1, 1, 0, 0)),  # NOTIFY with the new serial number (RFC 1996)
        dns(0x2800, (1, 2, 3, 1)),  # UPDATE (RFC 2136)
        dns(counts=(0, 0, 0, 1)),  # asks for a cookie alone (RFC 7873)
    ],
    "quic": [
        quic(0xC3, _V1, 1_200),
        quic(0xD0, _V2, 1_252),
        quic(0xE1, _V1, 60),  # Handshake
        quic(0xD0, _V1, 1_200),  # 0-RTT
        quic(0xF1, _V2, 60),
        b"\x43" + bytes(20),
        b"\x80\x60" + bytes(170),  # RTP
    ],
    "a2s": [
        b"\xff\xff\xff\xffTSource Engine Query\0",
        b"\xff\xff\xff\xffU\xff\xff\xff\xff",
        b"\xff\xff\xff\xffV1234",
        b"\xff\xff\xff\xffgetstatus",
        bytes(40),
    ],
    "ntp": [b"\x23" + bytes(47), b"\xdb" + bytes(67), b"\x24" + bytes(47), b"\x16\2" + bytes(58)],
    "sip": [
        b"OPTIONS sip:a@b SIP/2.0\r\n",
        b"\r\n\r\n",
        b"SIP/2.0 200 OK\r\n",
        b"\0\1\0\0",
        b"\xf9comp",
    ],
    "wireguard": [
        b"\1\0\0\0" + bytes(144),
        b"\1\0\0\0" + bytes(148),
        b"\2\0\0\0" + bytes(88),
        b"\4\0\0\0" + bytes(28),
    ],
    "stun": [  # by coturn's clients, aioice, and a client of RFC 3489
        bytes.fromhex("000100002112a4429d694a96c83155592e38436d"),
        bytes.fromhex("00010008016fec32e10edc530428c56b16c05b5b0003000400000000"),
        bytes.fromhex("000300102112a442532774f29db00d5ae9645ce2000d0004000003c0") + bytes(8),
        bytes.fromhex("000900582112a44221ba01ae13e43ab032f7e7c9") + bytes(88),
        bytes.fromhex("001600042112a442") + bytes(16),  # an indication with data to send
        b"\x40\0\0\3abc\0",  # a channel's data
        b"\x16\xfe\xff" + bytes(80),  # DTLS
        b"\x17\xfe\xfd" + bytes(40),
    ],
    "bedrock": [  # the first by mcstatus
        bytes.fromhex("01000000000000000000ffff00fefefefefdfdfdfd123456780000000000000000"),
        b"\2" + bytes(8) + RAKNET + bytes(8),
        b"\5" + RAKNET + b"\x0b" + bytes(1_400),
        b"\7" + RAKNET + bytes(17),
        b"\x84" + bytes(40),  # what a connection carries
        b"\xc0\0\1\1\0\0\0",
        b"\xfe\xfd\x09\0\0\0\1",  # a query by another protocol on the same port
    ],
    "teamspeak": [
        b"TS3INIT1\0\x65\0\0\x88" + bytes(21),
        bytes(8) + b"\0\1\0\7\x02" + bytes(40),  # a command
        bytes(8) + b"\0\1\0\7\x80" + bytes(100),  # voice
        bytes(8) + b"\0\1\0\7\x04",  # a ping
    ],
}
NEVER_SENT = {
    "dns": [
        dns()[:11],
        dns(0x8180),
        dns(0x4000),
        dns(0x3000),
        dns(counts=(2, 0, 0, 0)),
        dns(counts=(257, 0, 0, 0)),
        dns(counts=(1, 3, 0, 0)),
    ],
    "quic": [
        b"\x43" + bytes(19),
        quic(0xC0, b"\0\0\0\0", 1_200),
        quic(0xC0, b"Q046", 1_350),
        quic(0xC0, _V1, 1_199),
        quic(0xD0, _V2, 900),
        quic(0xF0, _V1, 100),
        quic(0xC0, _V2, 1_300),
    ],
    "a2s": [
        b"\xff\xff\xff\xffI" + bytes(60),
        b"\xff\xff\xff\xffD" + bytes(60),
        b"\xff\xff\xff\xffE" + bytes(60),
        b"\xff\xff\xff\xffA1234",
        b"\xff\xff\xff\xffT" + bytes(20),
    ],
    "ntp": [b"\x17\0\3\x2a" + bytes(44), b"\x23" + bytes(40)],
    "sip": [b"\x80" + bytes(40), b"\xf0" * 20],
    "wireguard": [
        b"\1\0\0\1" + bytes(144),
        bytes(80),
        *(bytes((kind, 0, 0, 0)) + bytes(60) for kind in (5, 6, 7, 8, 0x40, 0xFF)),
        b"\1\0\0\0" + bytes(143),
        b"\2\0\0\0" + bytes(87),
        b"\3\0\0\0" + bytes(59),
        b"\4\0\0\0" + bytes(27),
    ],
    "stun": [
        b"\0\1\0",
        b"\x80" + bytes(40),
        bytes.fromhex("010100002112a442") + bytes(12),
        bytes.fromhex("011300002112a442") + bytes(12),
        bytes.fromhex("000100032112a442") + bytes(15),
    ],
    "bedrock": [
        b"\x30" + bytes(40),
        b"A" * 200,
        b"\1" + bytes(32),
        b"\1" + bytes(8) + RAKNET[:15],
        b"\5" + bytes(1_400),
        b"\7" + bytes(40),
        b"\x1c" + bytes(8) + bytes(8) + RAKNET + b"MCPE",
        b"\6" + RAKNET + bytes(11),
        b"\x08" + RAKNET + bytes(19),
    ],
    "teamspeak": [
        b"TS3INIT1\0\x65\0\0",
        bytes(8) + b"\0\1\0\7\x09",
        bytes(8) + b"\0\1\0\7\x8f",
        b"TS3INIT2\0\x65\0\0\x88" + bytes(21),
    ],
}


def hits(name: str, server: Prefix, data: bytes, port: int | None = None) -> Iterator[str]:
    """What a packet with this payload to the server is, if no client sends it."""
    protocol = PROTOCOLS[name]
    packet: Fields = {
        "family": server.family,
        "destination": Prefix(server.address, 8 * len(server.address)),
        "protocol": 17,
        "destination_port": port or protocol.port,
        "packet_length": len(data) + (28 if server.family == 4 else 48),
        "payload": data[:64],
    }
    for what, match in protocol.matches(server, port):
        if evaluate.takes(match, packet):
            yield what


def test_each_protocol_is_tried() -> None:
    assert SENT.keys() == NEVER_SENT.keys() == PROTOCOLS.keys()


@pytest.mark.parametrize("server", SERVERS, ids=str)
@pytest.mark.parametrize("name", PROTOCOLS)
def test_what_clients_send_is_not_hit(name: str, server: Prefix) -> None:
    for data in SENT[name]:
        assert list(hits(name, server, data)) == [], data


@pytest.mark.parametrize("server", SERVERS, ids=str)
@pytest.mark.parametrize("name", PROTOCOLS)
def test_what_no_client_sends_is_hit_and_each_rule_is_needed(name: str, server: Prefix) -> None:
    found = set[str]()
    for data in NEVER_SENT[name]:
        said = list(hits(name, server, data))
        assert said, data
        found |= set(said) if len(said) == 1 else set()
    assert found == {what for what, _ in PROTOCOLS[name].matches(server)}


def test_another_port_can_be_given() -> None:
    server = SERVERS[0]
    assert list(hits("dns", server, dns(0x8180), port=5353)) == ["dns: a response"]
    assert all(
        match.get("destination_port") == ((53, 53),)
        for _, match in PROTOCOLS["dns"].matches(server)
    )
