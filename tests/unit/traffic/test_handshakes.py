# SPDX-License-Identifier: GPL-2.0-or-later
"""Completed handshakes by service: forged packets do not count, and a fall is noticed."""

import numpy as np

from xdpctl.base.net.prefix import parse_prefix
from xdpctl.traffic.handshakes import Handshakes, completed
from xdpctl.traffic.packets import PACKET, PacketArray

WEB = (parse_prefix("192.0.2.1"), 443)


def seen(count: int, shaken: int = 1) -> PacketArray:
    found = np.zeros(count, PACKET)
    found["destination"], found["destination_port"] = bytes((192, 0, 2, 1)), 443
    found["family"], found["weight"], found["shaken"] = 4, 1, shaken
    return found


def play(rates: list[int], forged: int = 0) -> Handshakes:
    """So many handshakes a second, for 20 s each."""
    handshakes, now = Handshakes(), 1_000.0
    handshakes.add(now, seen(0))
    for rate in rates:
        for _ in range(20):
            now += 1.0
            handshakes.add(now, np.concatenate([seen(rate), seen(forged, 0)]))
    handshakes.add(now + 1.0, seen(0))
    return handshakes


def test_what_falls_below_half_is_told() -> None:
    (fallen,) = play([10] * 10 + [4, 4]).fallen()
    assert fallen.service == WEB
    assert (round(fallen.now), round(fallen.usual)) == (4, 10)
    assert "192.0.2.1 port 443" in str(fallen)
    assert play([10] * 10 + [6, 6]).fallen() == []


def test_of_a_host_no_more_are_believed_than_a_busy_one_gets() -> None:
    """One ACK may be sent again and again, and a sampled one stands for many."""
    one, other = seen(100), seen(100)
    other["destination"] = bytes((192, 0, 2, 2))
    both = np.concatenate([one, other])
    assert completed(both, 0.5) == 200
    both["weight"] = 1_000
    assert completed(both, 0.5) == 2 * 2_500
    assert completed(seen(0), 0.5) == 0


def test_forged_packets_are_no_handshakes() -> None:
    assert play([10] * 10 + [0, 0], forged=500).fallen()


def test_of_little_nothing_is_said() -> None:
    assert play([1] * 10 + [0, 0]).fallen() == []
    assert play([10] * 3 + [0]).fallen() == [], "nobody knows what is usual"
    assert Handshakes().fallen() == []
