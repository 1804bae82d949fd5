# SPDX-License-Identifier: GPL-2.0-or-later
"""Requests to a provider: FlowSpec routes for dropped traffic, a blackhole, a letter."""

import math

import pytest

from tests.support.upstream import PEER, table
from xdpctl.base.net.prefix import Prefix, parse_prefix
from xdpctl.model.match.text import parse
from xdpctl.model.route import Kind
from xdpctl.upstream.bgp.syntax import text
from xdpctl.upstream.link import Reading, State
from xdpctl.upstream.request import Dropped, for_peer, letter, requests
from xdpctl.upstream.settings import Uplink

VICTIM, VICTIM6 = (parse_prefix(text, "x") for text in ("198.51.100.7", "2001:db8::7"))
UPLINK = Uplink("isp0", 1_000_000_000)
TAKES, DROPS, WITHOUT = table(
    PEER,
    PEER | {"name": "b", "address": "192.0.2.3", "limits": False},
    PEER | {"name": "c", "address": "192.0.2.4", "flowspec": False},
).peers
FULL = State(Reading(*(math.nan,) * 4), 0.97, 5, 0.97, "97% of its 1 Gbit/s arrive")


def test_components_unknown_to_flowspec_are_left_out_and_the_route_only_limits() -> None:
    asked = requests(VICTIM, [Dropped(parse("udp src-port 53 ttl 57 vlan 7"), 9, True)], UPLINK)[0]
    assert asked.kind is Kind.FLOWSPEC
    assert "ttl" not in text(asked.route)
    assert text(asked.route).endswith("then { rate-limit 12500000; }"), (
        "a tenth of the link, in bytes"
    )
    assert "another ttl and vlan" in asked.cost
    assert "known flows" in asked.cost
    assert for_peer(asked, TAKES) == asked
    assert for_peer(asked, DROPS) is None, "that would drop more than what is dropped here"


def test_the_least_costly_request_comes_first_and_the_blackhole_last() -> None:
    dropped = [
        Dropped(parse("udp src-port 123"), 10, False),
        Dropped(parse("udp src-port 53"), 900, False),
        Dropped(parse("udp src-port 53 dst 198.51.100.8"), 999, False),  # another victim
        Dropped(parse("udp src-port 53 dst 2001:db8::1"), 999, False),
    ]
    asked = requests(VICTIM, dropped, UPLINK)
    assert [each.kind for each in asked] == [Kind.FLOWSPEC, Kind.FLOWSPEC, Kind.RTBH]
    assert "source-port =53" in text(asked[0].route)
    assert "was not measured" in asked[0].cost
    assert text(asked[-1].route) == "route 198.51.100.7/32 community [ 65535:666 no-export ]"
    assert "nobody reaches" in asked[-1].cost


def test_traffic_that_is_limited_here_is_not_dropped_upstream() -> None:
    limited = Dropped(parse("udp src-port 53"), 9, False, limits=True)
    asked = requests(VICTIM, [limited], UPLINK)[0]
    assert text(asked.route).endswith("then { rate-limit 12500000; }")
    assert asked.what == "limit proto udp src-port 53 towards 198.51.100.7/32 to 100 Mbit/s"
    assert for_peer(asked, DROPS) is None


def test_limits_come_before_drops_and_together_leave_room_on_the_link() -> None:
    dropped = [Dropped(parse(f"udp src-port {port}"), 9, False) for port in (53, 123)]
    asked = requests(VICTIM, dropped, UPLINK)[:2]
    assert [text(each.route).rpartition(" then ")[2] for each in asked] == [
        "{ rate-limit 6250000; }"
    ] * 2
    assert [for_peer(each, TAKES) for each in asked] == asked
    made = for_peer(asked[0], DROPS)
    assert made is not None
    assert text(made.route) == (
        "match { destination 198.51.100.7/32; protocol =17; source-port =53; } then { discard; }"
    )
    assert made.what == "drop proto udp src-port 53 towards 198.51.100.7/32"
    assert for_peer(asked[0], WITHOUT) is None


def test_matches_of_other_victims_do_not_use_up_the_requests() -> None:
    others = [Dropped(parse(f"udp src-port {n} dst 198.51.100.8"), 999, False) for n in range(9)]
    asked = requests(VICTIM, [*others, Dropped(parse("udp src-port 53"), 1, False)], UPLINK)
    assert [each.kind for each in asked] == [Kind.FLOWSPEC, Kind.RTBH]


@pytest.mark.parametrize(
    ("match", "victim"),
    [
        ("icmp", VICTIM6),
        ("icmpv6", VICTIM),
        ("src 203.0.113.0/24", VICTIM6),
        ("udp fragment dont", VICTIM6),
        ("flow-label 5", VICTIM),
        ("udp dst 203.0.113.7", VICTIM),
    ],
)
def test_a_match_that_no_packet_to_the_victim_has_is_not_requested(
    match: str, victim: Prefix
) -> None:
    dropped = [Dropped(parse(match), 999, False), Dropped(parse("udp src-port 53"), 1, False)]
    asked = requests(victim, dropped, UPLINK)
    assert [each.kind for each in asked] == [Kind.FLOWSPEC, Kind.RTBH]
    assert "src-port 53" in asked[0].what
    assert asked[0].what.endswith("100 Mbit/s"), "it takes no share of the rate"


def test_nothing_wider_than_an_address_is_blackholed() -> None:
    assert requests(parse_prefix("198.51.100.0/24", "x"), [], UPLINK) == []


def test_the_letter_says_what_to_filter_and_why_we_cannot() -> None:
    asked = requests(VICTIM, [Dropped(parse("udp src-port 53"), 9, False)], UPLINK)
    said = letter("198.51.100.7/32", asked, UPLINK, FULL)
    assert "97% of its 1 Gbit/s arrive" in said
    assert "to drop it is as good" in said
    assert text(asked[0].route) in said
    assert "please blackhole 198.51.100.7/32" in said
    without = letter("198.51.100.0/24", [], UPLINK, FULL._replace(full_for=0))
    assert "- filter or rate-limit what is sent to 198.51.100.0/24" in without
    assert "blackhole" not in without
    assert "full" not in without, "it is not claimed where it was not measured"
