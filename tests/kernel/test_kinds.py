# SPDX-License-Identifier: GPL-2.0-or-later
"""Classes and strata: program and reference agree, and each stratum has enough heads."""

import random
from collections.abc import Iterator

import numpy as np
import pytest

from tests.kernel.conftest import Filter, one_cpu
from tests.support.packets import address, ethernet, ipv4, ipv6, random_frame, udp
from xdpctl.abi.constants import Reason, Traffic
from xdpctl.abi.sizes import HEAD_BYTES, STRATUM_LOG2
from xdpctl.datapath.heads import no_masks
from xdpctl.traffic.classify import classify, heads
from xdpctl.traffic.packets import read

ENDS = address("192.0.2.1"), address("198.51.100.7")
ENDS6 = address("2001:db8::1"), address("2001:db8:1::7")


def tcp(flags: int) -> bytes:
    return ethernet(0x0800, ipv4(*ENDS, bytes(12) + bytes([0x50, flags]) + bytes(6), 6))


def observe(filtered: Filter, every: int) -> None:
    masks = no_masks()
    masks[[reason for reason in Reason if reason is not Reason.NONE]] = every - 1
    filtered.datapath.heads.observe(masks)


@pytest.fixture
def filtered(emptied: Filter) -> Iterator[Filter]:
    """A filter without rules that observes every packet."""
    emptied.datapath.heads.read()
    observe(emptied, 1)
    with one_cpu():
        yield emptied
    emptied.datapath.heads.observe(no_masks())


CASES = [
    (tcp(2), Traffic.SYN),
    (tcp(0xC2), Traffic.SYN),
    (tcp(0x12), Traffic.SYN_ACK),
    (tcp(4), Traffic.RST),
    (tcp(0x14), Traffic.RST),
    (tcp(0x10), Traffic.TCP),
    (tcp(0), Traffic.TCP),
    (ethernet(0x0800, ipv4(*ENDS, bytes(6), 6)), Traffic.TCP),
    (ethernet(0x0800, ipv4(*ENDS, udp(53, 4000))), Traffic.UDP_SERVICE),
    (ethernet(0x0800, ipv4(*ENDS, udp(11211, 4000))), Traffic.UDP_SERVICE),
    (ethernet(0x0800, ipv4(*ENDS, udp(10001, 4000))), Traffic.UDP_SERVICE),
    (ethernet(0x0800, ipv4(*ENDS, udp(47808, 4000))), Traffic.UDP),
    (ethernet(0x0800, ipv4(*ENDS, udp(40000, 4000))), Traffic.UDP),
    (ethernet(0x0800, ipv4(*ENDS, bytes(3), 17)), Traffic.UDP),
    (ethernet(0x0800, ipv4(*ENDS, udp(40000, 53))), Traffic.DNS_QUERY),
    (ethernet(0x0800, ipv4(*ENDS, udp(123, 53))), Traffic.UDP_SERVICE),
    (ethernet(0x0800, ipv4(*ENDS, udp(40000, 443, bytes(1200)))), Traffic.QUIC_INITIAL),
    (ethernet(0x0800, ipv4(*ENDS, udp(40000, 443, bytes(1199)))), Traffic.UDP),
    (ethernet(0x86DD, ipv6(*ENDS6, udp(40000, 443, bytes(1200)), 17)), Traffic.QUIC_INITIAL),
    (ethernet(0x0800, ipv4(*ENDS, bytes(8), 1)), Traffic.ICMP),
    (ethernet(0x86DD, ipv6(address("2001:db8::1"), address("::2"), bytes(8), 58)), Traffic.ICMP),
    (ethernet(0x0800, ipv4(*ENDS, bytes(40), 17, fragment=100)), Traffic.FRAGMENT),
    (ethernet(0x0800, ipv4(*ENDS, bytes(40), 47)), Traffic.GRE),
    (ethernet(0x86DD, ipv6(*ENDS6, bytes(40), 50)), Traffic.ESP),
    (ethernet(0x0800, ipv4(*ENDS, bytes(40), 132)), Traffic.OTHER),
    (ethernet(0x0806, bytes(46)), Traffic.OTHER),
]


@pytest.mark.parametrize(("frame", "wanted"), CASES)
def test_each_packet_has_one_class(filtered: Filter, frame: bytes, wanted: Traffic) -> None:
    assert classify(read(heads([frame]))).tolist() == [wanted], "the reference has another class"
    before = filtered.datapath.heads.volumes()
    filtered.run(frame)
    (head,) = filtered.datapath.heads.read()
    assert head["traffic"] == wanted, "the program has another class"
    counted = filtered.datapath.heads.volumes() - before
    assert counted[wanted].tolist() == [1, len(frame)]
    assert counted.sum() == 1 + len(frame)


def test_random_packets_are_of_the_same_class_in_both(filtered: Filter) -> None:
    rng = random.Random(7)
    sources = [address("203.0.113.5")], [address("2001:db8::5")]
    seen = 0
    for _ in range(2_000):
        frame = random_frame(rng, *sources)
        filtered.run(frame)
        found = filtered.datapath.heads.read()
        whole = (found["bytes_held"] < HEAD_BYTES).all()  # else the reference sees only a part
        if whole and (found["reason"] == Reason.NO_RULE).all():
            seen += len(found)
            assert found["traffic"].tolist() == classify(read(found)).tolist(), frame.hex()
    assert seen > 500


def test_volumes_are_what_the_observed_packets_stand_for(filtered: Filter) -> None:
    observe(filtered, 16)
    before = filtered.datapath.heads.volumes()
    filtered.run(tcp(2), 16_000)
    packets, octets = (filtered.datapath.heads.volumes() - before)[Traffic.SYN]
    assert packets == pytest.approx(16_000, rel=0.2)
    assert octets == packets * len(tcp(2))


def flood(port: int = 4000, to: str = "198.51.100.7") -> bytes:
    source = address("203.0.113.5"), address(to)
    return ethernet(0x0800, ipv4(*source, udp(port, 4000)))


def test_a_smaller_share_of_a_large_stratum_is_copied(filtered: Filter) -> None:
    first = 1 << STRATUM_LOG2
    filtered.run(flood(), first * 64)
    found = filtered.datapath.heads.read()
    assert found["weight"][:first].tolist() == [1] * first
    assert len(found) < first * 8
    assert int(found["weight"].sum()) == pytest.approx(first * 64, rel=0.6)
    assert found["stratum"].max() <= first * 64
    assert (np.diff(found["stratum"].astype(np.int64)) > 0).all()


def test_a_small_attack_is_seen_beside_a_large_one(filtered: Filter) -> None:
    """The small attack has 2 % of the packets; in a plain sample it would also have 2 %."""
    observe(filtered, 4)
    for _ in range(40):
        filtered.run(flood(), 500)
        filtered.run(flood(to="198.51.100.9"), 10)
    found = read(filtered.datapath.heads.read())
    small = found[found["destination"] == address("198.51.100.9").ljust(16, b"\0")]
    assert len(small) / len(found) > 0.1
    assert int(small["weight"].sum()) == pytest.approx(400, rel=0.5)
    assert int(found["weight"].sum()) == pytest.approx(20_400, rel=0.6)


def test_weights_are_right_on_average(filtered: Filter) -> None:
    total = 0
    for _ in range(40):
        filtered.run(flood(), 5_000)
        total += int(filtered.datapath.heads.read()["weight"].sum())
    assert total == pytest.approx(200_000, rel=0.08)  # six standard errors


def test_an_epoch_begins_anew(filtered: Filter) -> None:
    for _ in range(3):
        filtered.run(flood(), 50)
        assert filtered.datapath.heads.read()["weight"].tolist() == [1] * 50
