# SPDX-License-Identifier: GPL-2.0-or-later
"""Which class a packet is of."""

import pytest

from tests.support.heads import heads
from tests.support.packets import address, ethernet, ipv4, ipv6, udp
from xdpctl.traffic.classes import Class, classes, rates
from xdpctl.traffic.packets import read

ENDS = address("192.0.2.1"), address("198.51.100.7")


def tcp(flags: int) -> bytes:
    return ethernet(0x0800, ipv4(*ENDS, bytes(12) + bytes([0x50, flags]) + bytes(6), 6))


CASES = [
    (tcp(2), Class.SYN),
    (tcp(0xC2), Class.SYN),
    (tcp(0x12), Class.SYN_ACK),
    (tcp(4), Class.RST),
    (tcp(0x14), Class.RST),
    (tcp(0x10), Class.TCP),
    (tcp(0), Class.TCP),
    (ethernet(0x0800, ipv4(*ENDS, bytes(6), 6)), Class.TCP),
    (ethernet(0x0800, ipv4(*ENDS, udp(53, 4000))), Class.UDP_SERVICE),
    (ethernet(0x0800, ipv4(*ENDS, udp(11211, 4000))), Class.UDP_SERVICE),
    (ethernet(0x0800, ipv4(*ENDS, udp(40000, 53))), Class.UDP),
    (ethernet(0x0800, ipv4(*ENDS, bytes(8), 1)), Class.ICMP),
    (ethernet(0x86DD, ipv6(address("2001:db8::1"), address("::2"), bytes(8), 58)), Class.ICMP),
    (ethernet(0x0800, ipv4(*ENDS, bytes(40), 17, fragment=100)), Class.FRAGMENT),
    (ethernet(0x0800, ipv4(*ENDS, bytes(40), 47)), Class.OTHER),
    (ethernet(0x0806, bytes(46)), Class.OTHER),
]


@pytest.mark.parametrize(("frame", "wanted"), CASES)
def test_each_packet_has_one_class(frame: bytes, wanted: Class) -> None:
    assert classes(read(heads([frame]))).tolist() == [wanted]


def test_rates_of_classes() -> None:
    packets = read(heads([frame for frame, _ in CASES], weight=4))
    counts, bits = rates(packets, 2.0)
    assert counts.sum() == len(CASES) * 2
    assert counts[Class.SYN] == 4
    assert bits.sum() == sum(len(frame) for frame, _ in CASES) * 8 * 2
    assert not rates(read(heads([])), 0.0).any()
