# SPDX-License-Identifier: GPL-2.0-or-later
"""Signatures that compare bytes of a payload: where they are read, and where there are none."""

import random
import struct

import pytest

from tests.kernel.listings import told
from tests.kernel.test_signatures import BEFORE, SOURCE, Armed, armed, behind_extensions
from tests.reference_signatures import Signature
from tests.support import packets
from xdpctl.abi.constants import Reason, SlotNumber
from xdpctl.model.match.match import build

__all__ = ["armed"]


def segment(payload: bytes, words: int = 5) -> bytes:
    """A TCP segment whose header has this many words."""
    return struct.pack(">HHIIBBHHH", 4000, 443, 1, 1, words << 4, 0x18, 64, 0, 0) + payload


def held(armed: Armed, written: str) -> None:
    """Drop packets with this payload alone."""
    armed.hold([(build({"payload": written}), Signature({}, "drop"))])


@pytest.mark.parametrize("before", BEFORE)
@pytest.mark.parametrize("size", [1, 7, 8, 63, 64, 65, 1400])
def test_a_payload_is_found_anywhere_in_a_frame(armed: Armed, before: int, size: int) -> None:
    """Also in a frame's second buffer, behind 8 extension headers, and at the frame's end."""
    data = random.Random(size).randbytes(size)
    last = min(size, 64) - 1
    for transport, protocol in ((packets.udp(4000, 53, data), 17), (segment(data), 6)):
        frame = behind_extensions(before, transport, protocol)
        held(armed, f"@0 {data[0]:02x} & @{last} {data[last]:02x}")
        assert armed.filter.run(frame) == "drop"
        assert armed.filter.run(frame[:-1]) == ("drop" if size > 64 else "pass"), "cut"
        held(armed, f"@{last} {data[last] ^ 1:02x}")
        assert armed.filter.run(frame) == "pass"
        if last < 63:
            held(armed, f"@{last + 1} 00/01")
            assert armed.filter.run(frame) == "pass", "a byte that the packet does not have"


def test_what_pads_a_frame_is_no_payload(armed: Armed) -> None:
    """Ethernet frames have at least 60 bytes; the IP header says where the packet ends."""
    held(armed, "@4 00")
    source, end = packets.address(SOURCE), packets.address(packets.SERVER)
    for data, wanted in ((b"abcd", "pass"), (b"abcde", "pass"), (b"abcd\0", "drop")):
        frame = packets.ethernet(0x0800, packets.ipv4(source, end, packets.udp(1, 53, data)))
        assert armed.filter.run(frame.ljust(60, b"\0")) == wanted


@pytest.mark.parametrize(
    ("words", "wanted"), [(5, "drop"), (6, "drop"), (15, "drop"), (4, "pass"), (0, "pass")]
)
def test_a_payload_of_tcp_begins_behind_its_options(armed: Armed, words: int, wanted: str) -> None:
    """A header of less than 20 bytes is none (RFC 9293 section 3.1)."""
    held(armed, "@0 474554")
    options = bytes(4 * max(words - 5, 0))
    assert armed.filter.run(packets.six(segment(options + b"GET /", words), 6)) == wanted


def test_a_later_fragment_and_icmp_have_no_payload(armed: Armed) -> None:
    held(armed, "@0 61")
    source, end = packets.address(SOURCE), packets.address(packets.SERVER)
    whole = packets.ipv4(source, end, packets.udp(1, 53, b"aaaa"))
    later = whole[:6] + struct.pack(">H", 185) + whole[8:]
    icmp = packets.ipv4(source, end, b"aaaaaaaaaaaaaaaa", 1)
    for packet, wanted in ((whole, "drop"), (later, "pass"), (icmp, "pass")):
        assert armed.filter.run(packets.ethernet(0x0800, packet)) == wanted


def test_rules_whose_payload_differs_let_a_packet_go_on(armed: Armed) -> None:
    """The first one with the payload decides."""
    others = [f"@0 {n:02x}" for n in range(40)]
    texts = [*others, "@0 61", "@0 6161"]
    armed.hold(
        [(build({"protocol": "udp", "payload": one}), Signature({}, "drop")) for one in texts]
    )
    source, end = packets.address(SOURCE), packets.address(packets.SERVER)
    frame = packets.ethernet(0x0800, packets.ipv4(source, end, packets.udp(1, 53, b"aaaa")))
    said = armed.filter.datapath.explain(frame)
    assert said.reason is Reason.MATCHED
    assert said.slots == told([SlotNumber.SIGNATURES + 40])
