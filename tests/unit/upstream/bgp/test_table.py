# SPDX-License-Identifier: GPL-2.0-or-later
"""What the bridge tells the speaker: exactly what is wanted, for as long as that was said."""

import pytest

from xdpctl.base.net.prefix import parse_prefix
from xdpctl.errors import RuleError
from xdpctl.upstream.bgp.messages import Route, Wanted
from xdpctl.upstream.bgp.table import CLEAR, SECONDS_MAX, Table, destination_of

PEER = "192.0.2.1"
FLOW = "match { destination 198.51.100.7/32; protocol =17; } then { discard; }"
HOLE = "route 198.51.100.7/32 next-hop 192.0.2.2 community [ 65535:666 no-export ]"
OWN = tuple(parse_prefix(text, "own") for text in ("198.51.100.0/24", "2001:db8::/32"))


def table(most: int = 3) -> Table:
    return Table(frozenset({PEER}), OWN, most)


def wanted(*texts: str, seconds: float = 60.0) -> list[Wanted]:
    return [Wanted(Route(PEER, text), seconds) for text in texts]


def said(under: Table, now: float, answer: bool = True) -> list[str]:
    """All that the speaker is told, if it answers the same each time."""
    commands = []
    while command := under.command(now):
        assert under.command(now) is None, "one at a time"
        commands.append(command)
        under.answered(answer, now)
    return commands


def test_it_begins_with_nothing_and_brings_what_is_wanted() -> None:
    under = table()
    assert said(under, 0) == [CLEAR]
    assert not under.order(wanted(FLOW, HOLE), 0)
    assert said(under, 0) == [
        f"neighbor {PEER} announce flow route {{ {FLOW} }}",
        f"neighbor {PEER} announce {HOLE}",
    ]
    assert [each.route.text for each in under.report()] == [FLOW, HOLE]
    under.order(wanted(HOLE), 1)
    assert said(under, 1) == [f"neighbor {PEER} withdraw flow route {{ {FLOW} }}"]
    assert not said(under, 2), "nothing changed"


def test_what_has_lasted_its_time_is_withdrawn_though_nobody_asks() -> None:
    under = table()
    under.order(wanted(FLOW, seconds=10), 0)
    said(under, 0)
    assert not under.expire(9.9)
    assert under.expire(10.0)
    assert said(under, 10.0) == [f"neighbor {PEER} withdraw flow route {{ {FLOW} }}"]


def test_a_speaker_that_refuses_is_asked_again_later_and_said_so() -> None:
    under = table()
    said(under, 0)
    under.order(wanted(FLOW), 0)
    assert len(said(under, 0, answer=False)) == 1
    (told,) = under.report()
    assert "refused to announce" in told.problem
    assert not said(under, 1)
    assert len(said(under, 6)) == 1
    assert not under.report()[0].problem


def test_what_cannot_be_withdrawn_alone_is_withdrawn_with_all() -> None:
    under = table()
    under.order(wanted(FLOW, HOLE), 0)
    said(under, 0)
    under.order(wanted(HOLE), 1)
    assert under.command(1)
    under.answered(False, 1)
    assert said(under, 1) == [CLEAR, f"neighbor {PEER} announce {HOLE}"]


@pytest.mark.parametrize(
    ("route", "seconds", "why"),
    [
        (Route("192.0.2.9", FLOW), 60, "no peer"),
        (Route(PEER, FLOW.replace("198.51.100.7/32", "203.0.113.0/24")), 60, "not in upstream.own"),
        (Route(PEER, FLOW.replace("198.51.100.7/32", "0.0.0.0/0")), 60, "not in upstream.own"),
        (Route(PEER, FLOW.replace("198.51.100.7/32", "198.51.0.0/16")), 60, "not in upstream.own"),
        (Route(PEER, HOLE.replace("/32", "/24").replace(".7/", ".0/")), 60, "of one address"),
        (Route(PEER, FLOW), 0, "no time"),
        (Route(PEER, FLOW), SECONDS_MAX + 1, "no time"),
        (Route(PEER, FLOW), float("nan"), "no time"),
    ],
)
def test_the_bridge_refuses_what_it_should_never_be_asked(
    route: Route, seconds: float, why: str
) -> None:
    under = table()
    (wrong,) = under.order([Wanted(route, seconds)], 0).values()
    assert why in wrong
    (told,) = under.report()
    assert why in told.problem
    assert said(under, 0) == [CLEAR]


def test_one_action_for_a_match_since_bgp_has_no_more() -> None:
    under = table()
    other = FLOW.replace("discard", "rate-limit 1000")
    assert list(under.order(wanted(FLOW, other), 0)) == [Route(PEER, other)]
    said(under, 0)
    under.order(wanted(other), 1)
    assert [" withdraw " in command for command in said(under, 1)] == [True, False]


def test_no_more_than_so_many_routes() -> None:
    under = table(most=1)
    assert "more than 1" in under.order(wanted(FLOW, HOLE), 0)[Route(PEER, HOLE)]
    assert list(under.wanted) == [Route(PEER, FLOW)]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "route 198.51.100.7/32",
        f"{HOLE}\nneighbor 192.0.2.1 announce route 0.0.0.0/0 next-hop self",
        f"{HOLE} announce route 203.0.113.7/32 next-hop 192.0.2.2 {{",
        FLOW.replace("discard", "redirect 65000:1"),
        FLOW.replace("discard", "accept"),
        FLOW.replace("protocol =17", "destination 203.0.113.0/24"),
        FLOW.replace("match {", "match { source 203.0.113.0/24;"),
        FLOW + "; " + FLOW,
        FLOW.replace("discard", "discard; } } route { match { destination 203.0.113.0/24"),
        FLOW.replace("=17", "=17é"),
        FLOW.replace("protocol =17", "destination-ipv4 203.0.113.0/24"),
        FLOW.replace("protocol =17", "protocol =17;destination 203.0.113.0/24"),
        FLOW.replace("protocol =17; }", "protocol =17; } # "),
        FLOW.replace("protocol =17", "protocol =17; protocol =6"),
        FLOW + " shutdown",
        f"{HOLE}; route 203.0.113.0/24 next-hop 192.0.2.2 community [ 65535:666 ]",
        f"{HOLE} clear adj-rib out",
        f"{HOLE} # more",
        HOLE.replace("no-export", "no-export ] split /25 community [ 1:1"),
        HOLE.replace("65535:666", "65535:666; restart"),
        "match { destination 198.51.100.7/32; " + "protocol =17; " * 500 + "} then { discard; }",
    ],
)
def test_a_text_that_is_no_route_of_ours_is_refused(text: str) -> None:
    with pytest.raises(RuleError):
        destination_of(text)


def test_destinations_are_read() -> None:
    assert str(destination_of(FLOW)) == "198.51.100.7/32"
    assert str(destination_of(FLOW.replace("discard", "rate-limit 1250000"))) == "198.51.100.7/32"
    six = HOLE.replace("198.51.100.7/32", "2001:db8::7/128").replace("192.0.2.2", "2001:db8:1::2")
    assert str(destination_of(f"{six} large-community [ 64500:1:666 ]")) == "2001:db8::7/128"
