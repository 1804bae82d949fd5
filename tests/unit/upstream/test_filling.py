# SPDX-License-Identifier: GPL-2.0-or-later
"""What fills a link, and towards whom: addresses, prefixes, and nobody if it is people."""

import pytest

from tests.support.flooded import INTERFACE, amplified, earlier, filled, packets, people
from xdpctl.abi.constants import FlowState, Reason
from xdpctl.base.net.prefix import parse_prefix
from xdpctl.traffic.packets import PacketArray, joined
from xdpctl.upstream.filling import NOTHING, victims

OWN = [parse_prefix(text, "own") for text in ("198.51.100.0/24", "192.0.2.0/23", "2001:db8::/32")]
LINK = 50_000_000


def named(*parts: PacketArray, before: PacketArray | None = None) -> list[str]:
    found = filled(*parts, before=earlier(*([] if before is None else [before])))
    return [str(prefix) for prefix in victims(found, OWN, LINK)]


def spread(count: int, network: str, hosts: int) -> PacketArray:
    return joined([amplified(count // hosts, f"{network}.{host}") for host in range(hosts)])


@pytest.mark.parametrize("victim", ["198.51.100.7", "2001:db8::7"])
def test_an_attack_on_one_address_is_found_beside_people(victim: str) -> None:
    assert named(people(to=victim), amplified(to=victim)) == [str(parse_prefix(victim, "x"))]


def test_an_attack_on_many_addresses_is_one_on_their_prefix() -> None:
    assert named(people(), spread(1_000, "198.51.100", 200)) == ["198.51.100.0/24"]
    both = joined([spread(500, "192.0.2", 100), spread(500, "192.0.3", 100)])
    assert sorted(named(both)) == ["192.0.2.0/24", "192.0.3.0/24"]


def test_two_victims_are_told_apart() -> None:
    found = named(amplified(900, "198.51.100.7"), amplified(600, "198.51.100.8"))
    assert found == ["198.51.100.7/32", "198.51.100.8/32"]


def test_people_who_fill_a_link_are_no_attack() -> None:
    assert named(people(weight=100)) == []


def test_what_an_operator_accepts_is_no_attack() -> None:
    trusted = amplified()
    trusted["reason"] = Reason.ACCEPTED
    assert named(trusted) == []


def test_what_came_earlier_is_no_attack_and_more_of_it_is() -> None:
    usual = packets(500, flow=FlowState.NOT_ASKED, weight=12_000, source_port=5_000)
    same = packets(500, flow=FlowState.NOT_ASKED, weight=40, source_port=5_000)
    assert named(same, before=usual) == []
    assert named(same, amplified(), before=usual) == ["198.51.100.7/32"]


def test_foreign_addresses_and_little_traffic_are_no_attack() -> None:
    assert named(amplified(to="203.0.113.7")) == []
    assert named(amplified(weight=1)) == []


def test_other_interfaces_do_not_count() -> None:
    flood = amplified()
    flood["interface"] = INTERFACE + 1
    assert named(flood) == []


def test_nothing_is_claimed_without_packets() -> None:
    assert victims(NOTHING, OWN, LINK) == []
    assert not NOTHING.judged
    assert not filled(packets(9, flow=FlowState.NOT_ASKED)).judged


def test_bits_are_those_on_the_wire() -> None:
    flood = packets(100, weight=10, packet_length=986)  # 1,000 bytes of frame, and 24 more
    assert filled(flood).others.total == pytest.approx(100 * 10 * 1_024 * 8 / 5)
