# SPDX-License-Identifier: GPL-2.0-or-later
"""The smallest set of routes: 90 % of the attack, 1 % of people at most, in short forms."""

from typing import Any

import pytest

from tests.support.flooded import amplified, any_of, filled, packets, people
from xdpctl.abi.constants import FlowState
from xdpctl.base.net.prefix import parse_prefix
from xdpctl.model.match.match import Match
from xdpctl.model.match.text import parse
from xdpctl.traffic.packets import PacketArray, joined
from xdpctl.upstream.costs import spares, weigh
from xdpctl.upstream.peers import FLOWSPEC
from xdpctl.upstream.routes import smallest

VICTIM = parse_prefix("198.51.100.7", "x")
WIDE = parse_prefix("198.51.100.0/24", "x")
PORTS: dict[str, Any] = {
    "source_port": any_of(1_024, 65_536),
    "destination_port": any_of(1, 65_536),
}
SYN: dict[str, Any] = {"protocol": 6, "tcp_flags": 2, "packet_length": 60, "destination_port": 443}


def quic() -> PacketArray:
    """Known flows of HTTP/3, which a flood of UDP must not take along."""
    return packets(
        200, flow=FlowState.KNOWN, destination_port=443, source_port=any_of(2_000, 65_000)
    )


def few(count: int) -> PacketArray:
    flood = (packets(1_000 // count, by=f"203.0.113.{n}", weight=20, **PORTS) for n in range(count))
    return joined(flood)


def carpet() -> PacketArray:
    return joined([amplified(10, f"198.51.100.{host}") for host in range(100)])


@pytest.mark.parametrize(
    ("flood", "victim", "wanted"),
    [
        (amplified(), VICTIM, ["dst 198.51.100.7 proto udp src-port 53"]),
        (
            amplified(source_port=lambda: 53 if any_of(0, 2)() else 123),
            VICTIM,
            ["dst 198.51.100.7 proto udp src-port 53,123"],
        ),
        (few(1), VICTIM, ["dst 198.51.100.7 src 203.0.113.0 proto udp"]),
        (few(3), VICTIM, [f"dst 198.51.100.7 src 203.0.113.{n} proto udp" for n in range(3)]),
        (
            packets(1_000, weight=20, **PORTS),
            VICTIM,
            ["dst 198.51.100.7 proto udp dst-port 0-442,>=444"],
        ),
        (packets(1_000, weight=400, **SYN), VICTIM, ["dst 198.51.100.7 proto tcp dst-port 443"]),
        (
            packets(1_000, weight=20, fragment=2, source_port=-1, destination_port=-1),
            VICTIM,
            ["dst 198.51.100.7 proto udp fragment later"],
        ),
        (carpet(), WIDE, ["dst 198.51.100.0/24 proto udp src-port 53"]),
        (
            packets(1_000, weight=20, protocol=1, icmp_type=8, icmp_code=0),
            VICTIM,
            ["dst 198.51.100.7 proto icmp icmp-type 8"],
        ),
        (packets(1_000, weight=20, protocol=47), VICTIM, ["dst 198.51.100.7 proto gre"]),
    ],
)
def test_the_set_takes_the_attack_and_spares_people(
    flood: PacketArray, victim: object, wanted: list[str]
) -> None:
    found = filled(people(), quic(), flood)
    matches = smallest(found, victim, FLOWSPEC, 10)  # type: ignore[arg-type]
    for text in wanted:
        assert any(_within(match, parse(text)) for match in matches), matches
    assert len(matches) == len(wanted)
    cost = weigh(found, victim, matches)  # type: ignore[arg-type]
    assert cost.share >= 0.9
    assert cost.people is not None
    assert cost.people <= 0.01


def _within(match: Match, wide: Match) -> bool:
    """Whether a match has the components of another, and maybe more."""
    return dict(wide.components).items() <= dict(match.components).items()


def test_only_the_components_that_a_router_takes_are_used() -> None:
    found = filled(people(), amplified())
    (match,) = smallest(found, VICTIM, ("destination", "protocol", "source_port"), 10)
    assert str(match) == "dst 198.51.100.7 proto udp src-port 53"
    (match,) = smallest(found, VICTIM, ("destination", "protocol"), 10)
    assert str(match) == "dst 198.51.100.7 proto udp"


def test_there_are_not_more_routes_than_a_router_takes() -> None:
    found = filled(people(), few(3), amplified())
    assert len(smallest(found, VICTIM, FLOWSPEC, 2)) <= 2
    assert len(smallest(found, VICTIM, FLOWSPEC, 10)) == 4


def test_nothing_is_asked_where_nothing_separates_an_attack_from_people() -> None:
    alike = people()
    alike["flow"] = FlowState.UNKNOWN
    found = filled(people(), alike)
    matches = smallest(found, VICTIM, FLOWSPEC, 10)
    assert not matches or not spares(weigh(found, VICTIM, matches))
    assert smallest(filled(people()), VICTIM, FLOWSPEC, 10) == []


def test_costs_name_the_services_that_are_hit_and_bound_what_was_measured() -> None:
    found = filled(people(), quic(), amplified())
    cost = weigh(found, VICTIM, [parse("dst 198.51.100.7 udp")])
    assert cost.people is not None
    assert 0.3 < cost.people < cost.at_most
    assert cost.hit[0] == ("proto udp dst-port 443", 1.0)
    assert "100.0% of proto udp dst-port 443" in str(cost)
    spared = weigh(found, VICTIM, [parse("dst 198.51.100.7 udp src-port 53")])
    assert spared.people == 0
    assert 0.001 < spared.at_most < 0.01
    assert "and 0% (at most 0.8%) of what known flows send" in str(spared)


@pytest.mark.parametrize("known", [0, 19])
def test_nothing_is_claimed_about_too_few_people(known: int) -> None:
    cost = weigh(filled(people(known), amplified()), VICTIM, [parse("dst 198.51.100.7 udp")])
    assert (cost.people, cost.at_most) == (None, 1.0)
    assert "was not measured" in str(cost)
