# SPDX-License-Identifier: GPL-2.0-or-later
"""The commands of the bridge to the speaker: exactly the wanted routes, for their duration."""

import pytest
from msgspec.structs import replace

from xdpctl.base.net.prefix import parse_prefix
from xdpctl.model.route import Blackhole, Flow, Route
from xdpctl.upstream.bgp.messages import Order, PeerRoute, Wanted, line, order
from xdpctl.upstream.bgp.setup import Limits
from xdpctl.upstream.bgp.table import CLEAR, SECONDS_MAX, Table

PEER = "192.0.2.1"
FLOW = Flow("dst 198.51.100.7 udp")
HOLE = Blackhole("198.51.100.7", "192.0.2.2", ("65535:666", "no-export"))
FLOW_SAID = "flow route { match { destination 198.51.100.7/32; protocol =17; } then { discard; } }"
HOLE_SAID = "route 198.51.100.7/32 next-hop 192.0.2.2 community [ 65535:666 no-export ]"
OWN = tuple(parse_prefix(text, "own") for text in ("198.51.100.0/24", "2001:db8::/32"))


PORTS = ",".join(f"{port}-{port + 1}" for port in range(10_000, 10_500, 4))


def table(most: int = 3) -> Table:
    return Table({PEER: Limits(kept=0, most=most)}, OWN)


def wanted(*routes: Route, seconds: float = 60.0) -> list[Wanted]:
    return [Wanted(PeerRoute(PEER, route), seconds) for route in routes]


def said(under: Table, now: float, answer: bool = True) -> list[str]:
    """All commands to a speaker that gives the same answer each time."""
    commands = []
    while command := under.command(now):
        assert under.command(now) is None, "one at a time"
        commands.append(command)
        under.answered(answer, now)
    return commands


def test_the_speaker_is_cleared_first_and_then_gets_the_wanted_routes() -> None:
    under = table()
    assert said(under, 0) == [CLEAR]
    assert not under.order(wanted(FLOW, HOLE), 0)
    assert said(under, 0) == [
        f"neighbor {PEER} announce {FLOW_SAID}",
        f"neighbor {PEER} announce {HOLE_SAID}",
    ]
    assert [each.route.route for each in under.report()] == [FLOW, HOLE]
    under.order(wanted(HOLE), 1)
    assert said(under, 1) == [f"neighbor {PEER} withdraw {FLOW_SAID}"]
    assert not said(under, 2), "nothing changed"


def test_a_route_is_withdrawn_when_its_time_is_over() -> None:
    under = table()
    under.order(wanted(FLOW, seconds=10), 0)
    said(under, 0)
    assert not under.expire(9.9)
    assert under.expire(10.0)
    assert said(under, 10.0) == [f"neighbor {PEER} withdraw {FLOW_SAID}"]


def test_a_refused_command_is_repeated_later_and_reported() -> None:
    under = table()
    said(under, 0)
    under.order(wanted(FLOW), 0)
    assert len(said(under, 0, answer=False)) == 1
    (told,) = under.report()
    assert "refused to announce" in told.problem
    assert not said(under, 1)
    assert len(said(under, 6)) == 1
    assert not under.report()[0].problem


def test_a_route_that_cannot_be_withdrawn_alone_is_withdrawn_with_all() -> None:
    under = table()
    under.order(wanted(FLOW, HOLE), 0)
    said(under, 0)
    under.order(wanted(HOLE), 1)
    assert under.command(1)
    under.answered(False, 1)
    assert said(under, 1) == [CLEAR, f"neighbor {PEER} announce {HOLE_SAID}"]


@pytest.mark.parametrize(
    ("route", "seconds", "why"),
    [
        (PeerRoute("192.0.2.9", FLOW), 60, "no peer"),
        (PeerRoute(PEER, Flow("dst 203.0.113.0/24 udp")), 60, "not in upstream.own"),
        (PeerRoute(PEER, Flow("dst 0.0.0.0/0 udp")), 60, "not in upstream.own"),
        (PeerRoute(PEER, Flow("dst 198.51.0.0/16 udp")), 60, "not in upstream.own"),
        (PeerRoute(PEER, replace(HOLE, prefix="198.51.100.0/24")), 60, "too wide"),
        (PeerRoute(PEER, FLOW), 0, "cannot be announced for"),
        (PeerRoute(PEER, FLOW), SECONDS_MAX + 1, "cannot be announced for"),
        (PeerRoute(PEER, FLOW), float("nan"), "cannot be announced for"),
    ],
)
def test_the_bridge_refuses_routes_that_are_never_allowed(
    route: PeerRoute, seconds: float, why: str
) -> None:
    under = table()
    (wrong,) = under.order([Wanted(route, seconds)], 0).values()
    assert why in wrong
    (told,) = under.report()
    assert why in told.problem
    assert said(under, 0) == [CLEAR]


def test_a_match_has_only_one_action_in_bgp() -> None:
    under = table()
    other = replace(FLOW, rate=1_000)
    assert list(under.order(wanted(FLOW, other), 0)) == [PeerRoute(PEER, other)]
    said(under, 0)
    under.order(wanted(other), 1)
    assert [" withdraw " in command for command in said(under, 1)] == [True, False]


def test_the_number_of_routes_is_bounded() -> None:
    under = table(most=1)
    assert "takes 1 routes" in under.order(wanted(FLOW, HOLE), 0)[PeerRoute(PEER, HOLE)]
    assert list(under.wanted) == [PeerRoute(PEER, FLOW)]


@pytest.mark.parametrize(
    "route",
    [
        replace(HOLE, next_hop=""),
        replace(HOLE, next_hop="self"),
        replace(HOLE, next_hop="192.0.2.2 announce route 0.0.0.0/0"),
        replace(HOLE, prefix="198.51.100.7/32\nneighbor 192.0.2.1 announce route 0.0.0.0/0"),
        replace(HOLE, communities=("no-export ] split /25 community [ 1:1",)),
        replace(HOLE, communities=("65535:666\n",)),
        replace(HOLE, communities=("65536:1",)),
        replace(HOLE, communities=("\u0661:\u0662", "no-export")),
        replace(HOLE, communities=()),
        replace(HOLE, communities=("no-export",)),
        replace(HOLE, next_hop="10.0.0.0/8"),
        replace(HOLE, next_hop="2001:db8::1"),
        Flow(""),
        Flow("udp"),
        Flow("dst 198.51.100.7 ttl 64"),
        Flow("dst 198.51.100.7 dst 203.0.113.0/24"),
        Flow("dst 198.51.100.7 proto 17; destination 203.0.113.0/24"),
        Flow("dst 198.51.100.7 colour 1"),
        Flow("dst 198.51.100.7 udp dst-port " + ",".join(map(str, range(1, 4_000, 2)))),
        Flow("dst 198.51.100.7 udp " + " ".join(f"{name} {PORTS}" for name in ("dport", "sport"))),
        replace(FLOW, rate=-1),
        replace(FLOW, rate=10**15),
        replace(FLOW, rate=10**400),
    ],
)
def test_only_a_match_that_bgp_cannot_express_is_refused(route: Route) -> None:
    under = table()
    assert list(under.order(wanted(route, HOLE), 0)) == [PeerRoute(PEER, route)]
    assert list(under.wanted) == [PeerRoute(PEER, HOLE)]


def test_a_route_stays_the_same_on_its_way_to_the_bridge() -> None:
    made = Order(wanted(FLOW, replace(FLOW, rate=1_250_000), HOLE))
    assert order(line(made)) == made
