# SPDX-License-Identifier: GPL-2.0-or-later
"""The vectors of an attack, from what a detector counted and sampled."""

import pytest

from tests.support.detector_formats import called, read
from xdpctl.detectors.breakdown import Sampled, attacks
from xdpctl.model.event import Attack


def _udp(port: int, count: int = 10) -> list[Sampled]:
    return [Sampled("udp", port, "", False)] * count


def _tcp(flags: str, count: int = 10) -> list[Sampled]:
    return [Sampled("tcp", 40_000, flags, False)] * count


@pytest.mark.parametrize(
    ("rates", "packets", "wanted"),
    [
        ({}, [], [(Attack.SYN_FLOOD, None)]),
        ({"udp ": 9e4}, _udp(53), [(Attack.AMPLIFICATION, 53)]),
        ({"udp ": 9e4}, _udp(40_000), [(Attack.UDP_FLOOD, None)]),
        ({"udp ": 9e4}, _udp(53, 6) + _udp(123, 4),
         [(Attack.AMPLIFICATION, 53), (Attack.AMPLIFICATION, 123)]),
        ({"udp ": 9e4}, _udp(53, 5) + _udp(40_000, 5), [(Attack.UDP_FLOOD, None)]),
        ({"udp ": 9e4, "ip fragmented ": 5e4}, _udp(389),
         [(Attack.AMPLIFICATION, 389), (Attack.IP_FRAGMENTATION, None)]),
        ({"udp ": 5e4, "tcp ": 5e4, "syn tcp ": 5e4}, _udp(500) + _tcp("syn"),
         [(Attack.AMPLIFICATION, 500), (Attack.SYN_FLOOD, None)]),
        ({"tcp ": 5e4, "syn tcp ": 5e4}, _tcp("syn,ack"), [(Attack.SYN_ACK_FLOOD, None)]),
        ({"tcp ": 5e4, "syn tcp ": 5e4}, [], [(Attack.SYN_FLOOD, None)]),
        ({"tcp ": 5e4}, _tcp("rst"), [(Attack.RST_FLOOD, None)]),
        ({"tcp ": 5e4}, _tcp("ack"), [(Attack.TCP_FLOOD, None)]),
        ({"icmp ": 5e4, "udp ": 100}, _udp(53, 1), [(Attack.ICMP_FLOOD, None)]),
        ({"ip fragmented ": 5e4}, [], [(Attack.IP_FRAGMENTATION, None)]),
        ({}, _tcp("ack"), [(Attack.TCP_FLOOD, None)]),
        ({}, [Sampled("icmp", 0, "", False)] * 4, [(Attack.ICMP_FLOOD, None)]),
    ],
)  # fmt: skip
def test_an_attack_is_split_into_its_vectors(
    rates: dict[str, float], packets: list[Sampled], wanted: list[tuple[Attack, int | None]]
) -> None:
    assert attacks(Attack.SYN_FLOOD, rates, packets) == wanted


@pytest.mark.parametrize("port", [500, 47808, 1434, 3478, 5683, 27015, 37810])
def test_every_amplification_protocol_is_known(port: int) -> None:
    assert attacks(Attack.UDP_FLOOD, {"udp ": 9e4}, _udp(port)) == [(Attack.AMPLIFICATION, port)]


def test_a_report_of_fastnetmon_is_read_completely() -> None:
    counted = (
        "Incoming tcp pps: 20000 packets per second\n"
        "Incoming syn tcp pps: 20000 packets per second\n"
        "Incoming udp pps: 30000 packets per second\n"
        "Incoming icmp pps: 5 packets per second\n"
    )
    line = "2026-11-24 22:35:50.1 127.1.2.3:{} > 198.51.100.2:80 protocol: {} frag: 0  packets: 1\n"
    dump = line.format(443, "tcp flags: syn,ack") * 5 + line.format(1900, "udp") * 5
    argv = ("198.51.100.2", "incoming", "50000", "ban")
    first, second = read(
        "fastnetmon", called(*argv, stdin="Attack type: syn_flood\n" + counted + dump)
    )
    assert (first.attack, first.port) == (Attack.AMPLIFICATION, 1900)
    assert (second.attack, second.port) == (Attack.SYN_ACK_FLOOD, None)
    assert first.id == second.id, "the end of the attack ends both"
