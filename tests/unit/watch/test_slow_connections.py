# SPDX-License-Identifier: GPL-2.0-or-later
"""Addresses that hold very many connections for long are named, and nothing is done to them."""

from xdpctl.base.net.prefix import Prefix, parse_prefix
from xdpctl.base.net.tcp_peers import Peers
from xdpctl.watch.slow_connections import SlowConnections

SLOW, BUSY, OURS = (parse_prefix(f"203.0.113.{n}") for n in (7, 8, 9))


class Box:
    """A box with a fake list of the kernel's connections."""

    def __init__(self) -> None:
        self.counts = dict[Prefix, int]()
        self.slow = SlowConnections(self.peers, lambda prefix: prefix == OURS)

    def peers(self) -> Peers:
        return Peers({prefix.address: count for prefix, count in self.counts.items()})

    def look(self, times: int) -> list[str]:
        for _ in range(times):
            self.slow.step()
        return self.slow.warnings()


def test_an_address_with_many_long_connections_is_named_with_a_proposal() -> None:
    box = Box()
    box.counts = {SLOW: 800, BUSY: 20, OURS: 900}
    assert box.look(2) == [], "a moment is no attack"
    (said,) = box.look(1)
    assert "203.0.113.7 has held 800 connections" in said
    assert "xdpctl block 203.0.113.7" in said


def test_an_address_that_closes_its_connections_is_forgotten() -> None:
    box = Box()
    box.counts = {SLOW: 800}
    box.look(3)
    box.counts = {SLOW: 5}
    assert box.look(1) == []
    box.counts = {SLOW: 800}
    assert box.look(2) == [], "it is counted anew"


def test_of_many_addresses_the_largest_are_named() -> None:
    box = Box()
    box.counts = {parse_prefix(f"203.0.113.{n}"): 100 + n for n in range(10, 30)}
    found = box.look(3)
    assert len(found) == 3
    assert "203.0.113.29" in found[0]
