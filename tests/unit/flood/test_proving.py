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
from xdpctl.model.rate import Rate

ASKED = {
    53: "dst 192.0.2.1 proto udp dst-port 53 length >=40",
    443: "dst 192.0.2.1 proto udp dst-port 443 length >=1227",
}


def overloaded(port: int, over_tcp: bool = True) -> Server:
    settings = DetectSettings(learning=600)
    return Server(settings=settings, learnt=False, answered=0.1, port=port, over_tcp=over_tcp)


@pytest.mark.parametrize("port", [53, 443])
def test_a_service_that_also_serves_over_tcp_is_challenged(port: int) -> None:
    world = overloaded(port)
    world.asked(3.0, 25_000)
    (mitigation,) = world.engine.mitigations.active
    assert (mitigation.action, mitigation.match) == ("challenge", ASKED[port])
    assert world.leak < 0.2


@pytest.mark.parametrize(("port", "over_tcp"), [(53, False), (443, False), (1194, True)])
def test_any_other_service_is_limited(port: int, over_tcp: bool) -> None:
    world = overloaded(port, over_tcp)
    world.asked(3.0, 25_000)
    assert world.actions() == ["limit"]


@pytest.mark.parametrize("port", [53, 443])
def test_what_passes_the_challenge_is_limited_behind_it(port: int) -> None:
    """Such as forged responses to a name server, which are no queries."""
    world = overloaded(port)
    world.answers = True  # the challenge lets all pass
    world.asked(5.0, 25_000)
    assert sorted(world.actions()) == ["challenge", "limit"]
    matches = {m.action: m.parsed() for m in world.engine.mitigations.active}
    assert str(matches["challenge"]) == ASKED[port]
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
    assert not proving.may(0.0, (HOST, Traffic.UDP))
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
    assert [proving.fails(now, key) for now in (0.0, 4.9, 5.1)] == [False, False, True]
    proving.forget(set())
    assert not proving.may(3_600.0, key)
    assert proving.may(3_606.0, key)
    assert not proving.fails(3_606.0, key), "a new trial"
    count = 10
    assert [proving.fails(now, key) for now in (3_612.0, 9_000.0)] == [False, False]
