# SPDX-License-Identifier: GPL-2.0-or-later
"""Suggested matches for attacks in legitimate traffic, with what they would have hit before."""

import random
import zlib

import numpy as np
import pytest

from bench.detection.made import ATTACKS as MADE
from bench.detection.made import balanced
from tests.support.packets import address, ethernet, ipv4, udp
from xdpctl.abi.constants import FlowState
from xdpctl.model.effect import Action
from xdpctl.traffic.baseline import Baseline, Before
from xdpctl.traffic.classify import heads
from xdpctl.traffic.packets import PACKET, PacketArray, joined, read
from xdpctl.traffic.proposal import Proposal, propose
from xdpctl.traffic.select import takes
from xdpctl.traffic.suggest import Suggestion, suggest

VICTIM = "198.51.100.7"
NOTHING = Before(np.empty(0, PACKET), 0.0)


def tcp(rng: random.Random, to: str, port: int, flags: int) -> bytes:
    ports = rng.randrange(1024, 65536).to_bytes(2) + port.to_bytes(2)
    header = ports + bytes(8) + bytes([0x50, flags]) + bytes(6)
    source = bytes([rng.randrange(1, 223), rng.randrange(256), rng.randrange(256), 9])
    return ethernet(0x0800, ipv4(source, address(to), header, 6, ttl=rng.choice((52, 57, 115))))


def datagram(rng: random.Random, to: str, source_port: int, port: int, size: int) -> bytes:
    source = bytes([rng.randrange(1, 223), rng.randrange(256), rng.randrange(256), 9])
    payload = udp(source_port, port, bytes(size))
    return ethernet(0x0800, ipv4(source, address(to), payload, ttl=rng.choice((52, 57, 115))))


def school(seed: int, number: int) -> list[bytes]:
    """Web, DNS answers and video to several hosts, the victim among them."""
    rng = random.Random(seed)
    found = []
    for _ in range(number):
        to = rng.choice((VICTIM, "198.51.100.8", "198.51.100.9"))
        kind = rng.random()
        if kind < 0.1:
            found.append(tcp(rng, to, 443, 2))
        elif kind < 0.7:
            found.append(tcp(rng, to, 443, rng.choice((0x10, 0x18))))
        elif kind < 0.8:
            found.append(datagram(rng, to, 53, rng.randrange(1024, 65536), rng.randrange(40, 300)))
        else:
            found.append(datagram(rng, to, 8801, 40000, rng.randrange(200, 1200)))
    return found


def before() -> Before:
    return Before(read(heads(school(1, 2_000))), 2.0)


def attacked(attack: list[bytes]) -> tuple[PacketArray, PacketArray]:
    """A window of two seconds with the attack, and the attack alone."""
    return read(heads(school(2, 2_000) + attack)), read(heads(attack))


def best(attack: list[bytes]) -> tuple[list[Suggestion], float]:
    """The suggestions, and the share of the attack that they match together."""
    window, alone = attacked(attack)
    found = suggest(window, 2.0, before())
    taken = np.zeros(len(alone), bool)
    for each in found:
        taken |= takes(each.match, alone)
    return found, float(taken.mean())


def _rng() -> random.Random:
    return random.Random(3)


ATTACKS = {
    "ntp": lambda rng: [datagram(rng, VICTIM, 123, 40000, 440) for _ in range(6_000)],
    "two services": lambda rng: [
        datagram(rng, VICTIM, rng.choice((389, 11211)), rng.randrange(65536), 900)
        for _ in range(6_000)
    ],
    "carpet": lambda rng: [
        datagram(rng, f"198.51.100.{rng.randrange(256)}", 1900, 7, 300) for _ in range(6_000)
    ],
    "rst": lambda rng: [tcp(rng, VICTIM, 443, 4) for _ in range(6_000)],
    "to a port": lambda rng: [
        datagram(rng, VICTIM, rng.randrange(1024, 65536), 3074, 20) for _ in range(6_000)
    ],
}


@pytest.mark.parametrize("name", ATTACKS)
def test_suggestions_cover_the_attack_and_hit_hardly_any_earlier_traffic(name: str) -> None:
    found, taken = best(ATTACKS[name](_rng()))
    assert taken >= 0.94, [str(each.match) for each in found]
    for each in found:
        assert each.before is not None
        assert each.before <= 0.01, str(each.match)
    assert found[0].share == pytest.approx(0.75, abs=0.06) or len(found) > 1
    assert 0 < found[0].error < 0.02


def test_a_match_names_the_attack() -> None:
    (one,), _ = best(ATTACKS["ntp"](_rng()))
    text = str(one.match)
    assert "src-port 123" in text
    assert "proto udp" in text
    assert f"dst {VICTIM}" in text
    (one,), _ = best(ATTACKS["carpet"](_rng()))
    assert str(one.match).startswith("dst 198.51.100.0/24 proto udp")


def test_a_suggestion_against_a_syn_flood_shows_its_cost() -> None:
    """SYNs look like new connections, so the suggestion shows its share of earlier traffic."""
    found, taken = best([tcp(_rng(), VICTIM, 443, 2) for _ in range(6_000)])
    assert taken >= 0.94
    assert found[0].before is not None


def test_without_earlier_traffic_ports_are_named_and_no_cost_is_claimed() -> None:
    rng, ports = _rng(), (53, 123, 389, 1900)
    mix = (rng.choice(ports) for _ in range(6_000))
    window, alone = attacked(
        [datagram(rng, VICTIM, port, rng.randrange(65536), 400) for port in mix]
    )
    found = suggest(window, 2.0, NOTHING)
    assert all(each.before is None and each.before_error is None for each in found)
    assert all("proto udp src-port" in str(each.match) for each in found)
    assert np.logical_or.reduce([takes(each.match, alone) for each in found]).mean() > 0.95


def test_without_earlier_traffic_a_syn_flood_is_named_by_its_flags() -> None:
    """So that it can be challenged: a match of the port would take connections that exist."""
    rng = random.Random(3)
    flood = [tcp(rng, VICTIM, 443, 2) for _ in range(12_000)]
    window, _ = attacked(flood)
    (found,) = suggest(window, 2.0, NOTHING)
    assert str(found.match).startswith(f"dst {VICTIM} proto tcp")
    assert propose(found, True) == Proposal(Action.CHALLENGE)
    calm = suggest(read(heads(school(2, 4_000))), 2.0, NOTHING)
    assert all(propose(each, True).action is not Action.CHALLENGE for each in calm)


def test_without_earlier_traffic_an_icmp_flood_is_named_by_type() -> None:
    ping = ethernet(0x0800, ipv4(address("203.0.113.9"), address(VICTIM), b"\x08" + bytes(400), 1))
    window, _ = attacked([ping] * 20_000)
    (one,) = suggest(window, 2.0, NOTHING)
    assert str(one.match) == f"dst {VICTIM} proto icmp icmp-type 8 icmp-code 0"


def known(packets: PacketArray) -> PacketArray:
    """The same packets, of flows that are known."""
    packets = packets.copy()
    packets["flow"] = FlowState.KNOWN
    return packets


@pytest.mark.parametrize("earlier", [before(), NOTHING], ids=["old box", "new box"])
def test_no_match_is_made_for_what_known_flows_send(earlier: Before) -> None:
    rng = random.Random(5)
    upload = known(read(heads([tcp(rng, VICTIM, 873, 0x10) for _ in range(9_000)])))
    people = known(read(heads(school(2, 2_000))))
    assert suggest(joined([people, upload]), 2.0, earlier) == []
    flood = read(heads([datagram(rng, VICTIM, 53, 4_000, 1_200) for _ in range(6_000)]))
    [found] = suggest(joined([people, upload, flood]), 2.0, earlier)
    assert "src-port 53" in str(found.match)
    assert found.share == pytest.approx(6_000 / 17_000, rel=0.05)


def test_little_traffic_without_earlier_traffic_needs_no_match() -> None:
    packets = read(heads([tcp(_rng(), VICTIM, 80, 0x10)] * 100))
    assert suggest(packets, 2.0, NOTHING) == []


def test_a_new_attack_is_found_although_an_earlier_flood_was_larger() -> None:
    """The attacker changes the vector: the comparison is with a larger flood."""
    rng = _rng()
    earlier = [datagram(rng, VICTIM, rng.randrange(65536), 27015, 100) for _ in range(20_000)]
    window, alone = attacked(ATTACKS["ntp"](_rng()))
    found = suggest(window, 2.0, Before(read(heads(school(1, 2_000) + earlier)), 2.0))
    assert takes(found[0].match, alone).mean() > 0.9
    assert "src-port 123" in str(found[0].match)


@pytest.mark.parametrize("times", [20, 60, 100, 1_000, 10_000])
def test_floods_of_different_sizes_are_named(times: int) -> None:
    """The flood comes from one port or from random ports, among usual traffic."""
    rng = _rng()
    for ports in (range(53, 54), range(1024, 65536)):
        attack = [
            datagram(rng, VICTIM, rng.choice(ports), rng.randrange(65536), 40) for _ in range(500)
        ]
        usual = read(heads(school(5, 100)))
        flood = read(heads(attack, weight=max(1, 100 * times // 500)))
        was = Before(read(heads(school(4, 1_000))), 10.0)
        found = suggest(np.concatenate([usual, flood]), 1.0, was)
        assert found, times
        assert f"dst {VICTIM} proto udp" in str(found[0].match)
        assert found[0].is_more


def test_usual_traffic_needs_no_match() -> None:
    found = suggest(read(heads(school(5, 2_000))), 2.0, before())
    assert all(each.packets < 0.25 * 1_000 for each in found), [str(f.match) for f in found]


def test_a_few_packets_give_no_suggestion() -> None:
    assert suggest(read(heads(school(5, 20))), 2.0, NOTHING) == []
    assert suggest(np.empty(0, PACKET), 0.0, NOTHING) == []


def test_a_baseline_keeps_a_fair_sample_of_each_part() -> None:
    kept = Baseline(seed=1)
    rare, often = read(heads(school(1, 1), weight=1)), read(heads(school(2, 1), weight=9))
    rare["protocol"], often["protocol"] = 1, 2
    for second in range(3_600):
        kept.add(second, second + 1, np.concatenate([rare] * 5 + [often] * 5))
    hour_ago = kept.ago(3_600 + 1_800, 3_600)
    assert hour_ago.seconds == pytest.approx(3_600, rel=0.1)
    shares = np.bincount(hour_ago.packets["protocol"], hour_ago.packets["weight"])
    assert shares[2] / shares.sum() == pytest.approx(0.9, abs=0.02)
    assert shares.sum() == pytest.approx(50 * hour_ago.seconds, rel=0.05)
    assert kept.ago(400, 3_600).seconds == 0, "what is now is not before"


def test_suggestions_cover_synthetic_attacks_and_little_earlier_traffic() -> None:
    """25,000 packets a second beside 2,000 of normal traffic with equal shares of its kinds."""
    normal = np.random.default_rng(1).permutation(balanced(np.random.default_rng(1), 300))
    was, usual = Before(normal, len(normal) / 2_000), normal[:320]
    hit = []
    for name, make in MADE.items():
        attack = make(np.random.default_rng(zlib.crc32(name.encode())), 4_000)
        found = suggest(np.concatenate([usual, attack]), 0.16, was)
        taken = np.logical_or.reduce([takes(each.match, attack) for each in found])
        assert taken.mean() >= 0.9, name
        hit.append(np.logical_or.reduce([takes(each.match, normal) for each in found]).mean())
        assert hit[-1] <= 0.2, name
    assert np.mean(hit) <= 0.03
