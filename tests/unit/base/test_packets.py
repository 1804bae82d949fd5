# SPDX-License-Identifier: GPL-2.0-or-later
"""The frame that explain uses: well-formed, and with the requested fields."""

import struct

import pytest

from tests import reference
from tests.support import packets
from xdpctl.base.net.packets import PROTOCOLS, build, protocol_number
from xdpctl.base.net.prefix import parse_address
from xdpctl.errors import RuleError


@pytest.mark.parametrize(
    ("source", "destination", "kind", "offset"),
    [("203.0.113.7", "192.0.2.1", 0x0800, 34), ("2001:db8::7", "2001:db8::1", 0x86DD, 54)],
)
def test_the_frame_has_the_addresses_protocol_and_ports(
    source: str, destination: str, kind: int, offset: int
) -> None:
    ends = parse_address(source, "source"), parse_address(destination, "destination")
    frame = build(*ends, 6, 40000, 443)
    assert frame[12:14] == struct.pack(">H", kind)
    assert packets.address(source) + packets.address(destination) in frame[:offset]
    assert frame[23 if kind == 0x0800 else 20] == 6
    assert struct.unpack_from(">HH", frame, offset) == (40000, 443)
    assert reference.reason(frame, []) == "NO_RULE"


def test_lengths_are_what_the_headers_say() -> None:
    host = parse_address("203.0.113.7", "source")
    frame = build(host, host, 17, 1, 2)
    assert struct.unpack_from(">H", frame, 16) == (len(frame) - 14,)
    host = parse_address("2001:db8::7", "source")
    frame = build(host, host, 17, 1, 2)
    assert struct.unpack_from(">H", frame, 18) == (len(frame) - 54,)


def test_two_families_do_not_mix() -> None:
    with pytest.raises(RuleError) as caught:
        build(parse_address("203.0.113.7", ""), parse_address("::1", ""), 17, 1, 2)
    assert caught.value.field == "destination"


def test_protocols_go_by_name_or_number() -> None:
    assert {name: protocol_number(name) for name in PROTOCOLS} == PROTOCOLS
    assert protocol_number("0") == 0
    assert protocol_number("255") == 255


@pytest.mark.parametrize("text", ["", "256", "-1", "TCP", "²", "udp6", "1.0"])
def test_an_unknown_protocol_is_refused(text: str) -> None:
    with pytest.raises(RuleError, match="not a protocol") as caught:
        protocol_number(text)
    assert caught.value.field == "protocol"
