# SPDX-License-Identifier: GPL-2.0-or-later
"""Clients of UDP services that also serve over TCP prove their sources, and are not limited."""

import numpy as np
import pytest

from tests.unit.flood.test_coping import HOST, Server, asking
from tests.unit.flood.test_verdict import case
from xdpctl.abi.constants import Traffic
from xdpctl.base.net.prefix import parse_prefix
from xdpctl.flood.proving import Proving
from xdpctl.flood.settings import DetectSettings, Most
from xdpctl.flood.verdict import proposals
from xdpctl.model.effect import Action
from xdpctl.model.event import Phase
from xdpctl.model.match.precedence import precedence
from xdpctl.model.match.text import parse
from xdpctl.model.rate import Rate
from xdpctl.traffic.packets import PacketArray, joined

ASKED = {
    53: "dst 192.0.2.1 proto udp dst-port 53 length >=40",
    443: "dst 192.0.2.1 proto udp dst-port 443 length >=1227",
}


QUERY = b"\xff\xff\xff\xffTSource Engine Query\0"


def overloaded(port: int, over_tcp: bool = True, data: bytes = b"") -> Server:
    settings = DetectSettings(learning=600)
    return Server(
        settings=settings, learnt=False, answered=0.1, port=port, over_tcp=over_tcp, data=data
    )


@pytest.mark.parametrize("port", [53, 443])
def test_a_service_that_also_serves_over_tcp_is_challenged(port: int) -> None:
    world = overloaded(port)
    world.asked(3.0, 25_000)
    (mitigation,) = world.engine.mitigations.active
    assert (mitigation.action, mitigation.match) == ("challenge", ASKED[port])
    assert world.leak < 0.2


@pytest.mark.parametrize("port", [7777, 27015])
def test_queries_of_games_are_challenged_without_tcp(port: int) -> None:
    world = overloaded(port, over_tcp=False, data=QUERY)
    world.asked(3.0, 25_000)
    (mitigation,) = world.engine.mitigations.active
    assert mitigation.action == "challenge"
    assert mitigation.parsed().get("payload") == parse("payload @0 ffffffff").get("payload")
    assert world.leak < 0.2


@pytest.mark.parametrize(
    ("port", "over_tcp", "data"),
    [(53, False, b""), (443, False, b""), (1194, True, b""), (7777, True, QUERY[:3])],
)
def test_any_other_service_is_limited(port: int, over_tcp: bool, data: bytes) -> None:
    world = overloaded(port, over_tcp, data)
    world.asked(3.0, 25_000)
    assert world.actions() == ["limit"]


@pytest.mark.parametrize(("port", "data"), [(53, b""), (443, b""), (7777, QUERY)])
def test_what_passes_the_challenge_is_limited_behind_it(port: int, data: bytes) -> None:
    """Such as forged responses to a name server, which are no queries."""
    world = overloaded(port, data=data)
    world.answers = True  # the challenge lets all pass
    world.asked(5.0, 25_000)
    assert sorted(world.actions()) == ["challenge", "limit"]
    matches = {m.action: m.parsed() for m in world.engine.mitigations.active}
    assert precedence(matches["challenge"]) < precedence(matches["limit"])


@pytest.mark.parametrize("port", [53, 443])
def test_a_challenge_ends_if_nobody_comes_by_tcp(port: int) -> None:
    """A firewall may let only secondaries come by TCP."""
    world = overloaded(port)
    world.reachable = False
    world.asked(4.0, 25_000)
    assert world.actions() == ["challenge"]
    world.asked(3.0, 25_000)
    assert world.actions() == ["limit"]
    world.quiet(120.0, 0.1)
    world.asked(3.0, 25_000)
    assert world.actions() == ["limit"], "nobody is sent that way for an hour"


def test_a_challenge_of_queries_of_games_ends_if_nobody_repeats_the_number() -> None:
    world = overloaded(7777, data=QUERY)
    world.asked(25.0, 25_000)
    assert world.actions() == ["challenge"]
    world.asked(10.0, 25_000)
    assert world.actions() == ["limit"]


def test_a_challenge_of_queries_of_games_stays_if_one_client_comes_in_by_it() -> None:
    world = overloaded(7777, data=QUERY)
    world.asked(3.0, 25_000)
    world.answers = True
    world.asked(0.02, 100)
    world.answers = False
    world.asked(40.0, 25_000)
    assert world.actions() == ["challenge"]


def test_queries_of_games_are_challenged_beside_other_packets() -> None:
    """Most of the flood is dropped; the rest are queries."""
    world = overloaded(7777, data=QUERY)
    queries, other = asking(7777, data=QUERY), asking(9, 900)

    def both(random: np.random.Generator, count: int) -> PacketArray:
        return joined((queries(random, count * 2 // 3), other(random, count - count * 2 // 3)))

    world.play(4.0, both, 25_000)
    assert sorted(world.actions()) == ["challenge", "limit"]


def test_queries_of_games_are_not_dropped_where_normal_traffic_has_next_to_none() -> None:
    random = np.random.default_rng(4)
    window = asking(7777, data=QUERY)(random, 300)

    def action(**more: bool) -> Action:
        (found,) = proposals(case(window, Traffic.UDP, rate=1e6, **more), Most.DROP)
        return found.action

    assert action(provable=True) is Action.CHALLENGE
    assert action(provable=True, challenged=True) is Action.LIMIT, "these have proved their sources"
    assert action() is Action.DROP, "nobody can prove a source"


def test_the_challenge_ends_after_the_flood() -> None:
    world = overloaded(53)
    world.asked(3.0, 25_000)
    world.quiet(120.0, 0.1)
    assert world.actions() == []
    assert [t.report.phase for t in world.told].count(Phase.ENDED) == 1


def test_a_limit_in_place_of_a_challenge_is_raised_while_the_service_answers() -> None:
    world = overloaded(53)
    world.asked(0.5, 25_000)
    (mitigation,) = world.engine.mitigations.active
    world.engine.mitigations.answered(mitigation.id, "", Rate(pps=1_000))
    world.answered = 1.0
    world.asked(10.0, 25_000)
    (mitigation,) = world.engine.mitigations.active
    assert mitigation.action == "limit"
    assert mitigation.limit is not None
    assert mitigation.limit.pps > 5_000


def test_a_network_is_not_challenged_as_a_host_in_it_may_serve_over_udp_alone() -> None:
    proving = Proving(lambda _: 9)
    assert proving.may(0.0, (HOST, Traffic.DNS_QUERY))
    assert not proving.may(0.0, (parse_prefix("192.0.2.0/24"), Traffic.DNS_QUERY))
    assert proving.may(0.0, (HOST, Traffic.UDP))
    assert not proving.may(0.0, (HOST, Traffic.GRE))
    assert not Proving(None).may(0.0, (HOST, Traffic.DNS_QUERY))


def test_a_challenge_is_made_where_no_drop_is_allowed() -> None:
    random = np.random.default_rng(4)
    window = asking(53)(random, 300)
    found = proposals(case(window, Traffic.DNS_QUERY, provable=True), Most.LIMIT)
    assert [each.action for each in found] == [Action.CHALLENGE]
    assert found[0].adapts


def test_a_challenge_is_tried_again_after_an_hour() -> None:
    key, count = (HOST, Traffic.DNS_QUERY), 9
    proving = Proving(lambda _: count)
    assert [proving.fails(now, key, False) for now in (0.0, 4.9, 5.1)] == [False, False, True]
    proving.forget(set())
    assert not proving.may(3_600.0, key)
    assert proving.may(3_606.0, key)
    assert not proving.fails(3_606.0, key, False), "a new trial"
    count = 10
    assert [proving.fails(now, key, False) for now in (3_612.0, 9_000.0)] == [False, False]
