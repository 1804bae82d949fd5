# SPDX-License-Identifier: GPL-2.0-or-later
"""Columns of many packets say the same as the fields of one; so does what a match takes of them."""

import random

import pytest

from tests.support.packets import random_frame
from xdpctl.abi.sizes import HEAD_BYTES
from xdpctl.base.net.packet_fields import fields
from xdpctl.base.net.prefix import Prefix
from xdpctl.model.match import evaluate, text
from xdpctl.traffic.classify import heads
from xdpctl.traffic.packets import NONE, NUMBERS, read
from xdpctl.traffic.select import takes

_FOUR = [bytes([192, 0, 2, n]) for n in range(4)]
_SIX = [b"\x20\x01\x0d\xb8" + bytes(11) + bytes([n]) for n in range(4)]
_LINK = 14 + 4 * 4  # bytes of Ethernet and four tags
MATCHES = (
    "udp src-port 53",
    "proto tcp,icmp length 40-100,>=1000",
    "port 53,179,3784",
    "dst 198.51.100.0/24",
    "src 192.0.2.2/31",
    "src 192.0.2.3",
    "src 2001:db8::/127",
    "flags syn&!ack",
    "tcp flags !rst,fin+ack",
    "fragment later",
    "fragment !dont&!later",
    "icmp icmp-type 8",
    "ttl <=64 dscp 0-10",
    "vlan 7",
    "flow-label 0-1000000",
    "payload @0 00/80",
    "udp payload @20 40/40 & @1 00/11",
    "udp payload !@0 00/80 & @3 00/01",
)


def _frames() -> list[bytes]:
    rng = random.Random(6)
    frames = (random_frame(rng, _FOUR, _SIX) for _ in range(4000))
    # where the head ends within the headers, it knows less than the whole frame
    return [frame for frame in frames if len(frame) <= HEAD_BYTES]


def test_columns_agree_with_the_fields_of_each_packet() -> None:
    frames = _frames()
    seen = 0
    for packet, frame in zip(read(heads(frames)), frames, strict=True):
        known = fields(frame) or {}
        assert bool(packet["family"]) == bool(known)
        for name in NUMBERS:
            if name != "vlan" or known:
                assert packet[name] == known.get(name, NONE), (name, frame.hex())
        carried = bytes(packet["payload"][: packet["payload_bytes"]])
        assert carried == known.get("payload", b"")
        assert not packet["payload"][packet["payload_bytes"] :].any()
        for name in ("source", "destination"):
            if known:
                size = 4 if packet["family"] == 4 else 16
                address = bytes(packet[name]).ljust(size, b"\0")
                assert Prefix(address, size * 8) == known[name]
                seen += 1
    assert seen > 3000


@pytest.mark.parametrize("match", MATCHES)
def test_a_match_selects_the_same_from_many_packets_as_one_by_one(match: str) -> None:
    frames, wanted = _frames(), text.parse(match)
    one_by_one = [evaluate.takes(wanted, fields(frame) or {}) for frame in frames]
    packets = read(heads(frames))
    assert takes(wanted, packets).tolist() == one_by_one
    assert any(one_by_one), "a match that takes nothing tests nothing"


def test_no_heads_give_no_packets() -> None:
    packets = read(heads([]))
    assert not len(packets)
    assert not len(takes(text.parse("udp src-port 53"), packets))
