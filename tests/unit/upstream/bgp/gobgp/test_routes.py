# SPDX-License-Identifier: GPL-2.0-or-later
"""Routes as paths of GoBGP, and back: a match survives both."""

import json
from typing import Any

import pytest

from xdpctl.base.net.prefix import parse_prefix
from xdpctl.detectors.formats import exabgp
from xdpctl.errors import RuleError
from xdpctl.model.event import Event, Phase
from xdpctl.model.match.text import parse
from xdpctl.upstream.bgp.gobgp import api_pb2
from xdpctl.upstream.bgp.gobgp.hearing import Heard
from xdpctl.upstream.bgp.gobgp.routes import path
from xdpctl.upstream.flowspec import route

api: Any = api_pb2
PEER, FOUR, SIX = "192.0.2.1", "198.51.100.7/32", "2001:db8::7/128"
MATCHES = [
    (FOUR, "udp"),
    (FOUR, "udp src-port 53,100-200 length >=512"),
    (FOUR, "tcp flags syn&!ack dst-port !=443"),
    (FOUR, "tcp flags syn+ack,rst"),
    (FOUR, "fragment later,first"),
    (FOUR, "src 203.0.113.0/24 icmp icmp-type 8 icmp-code 0"),
    ("198.51.100.0/24", "dscp 8 port 19"),
    (SIX, "udp dscp 8 flow-label 5"),
    (SIX, "src 2001:db8:1::/48 tcp"),
]


def text(victim: str, match: str, action: str = "discard") -> str:
    made = route(parse(match), parse_prefix(victim, "x"))
    return f"flow route {{ match {{ {made.text}; }} then {{ {action}; }} }}"


def heard(given: Any) -> Event:
    (message,) = Heard(PEER).paths([given])
    (event,) = exabgp.read(json.dumps(message).encode())
    return event


@pytest.mark.parametrize(("victim", "match"), MATCHES)
def test_a_match_is_the_same_when_it_comes_back(victim: str, match: str) -> None:
    event = heard(path(text(victim, match)))
    assert event.match == route(parse(match), parse_prefix(victim, "x")).match
    assert (event.phase, event.limit, event.ignored) == (Phase.BEGAN, None, "")


def test_a_limit_and_a_withdrawal_come_back_too() -> None:
    limited = path(text(FOUR, "udp", "rate-limit 125000"))
    event = heard(limited)
    assert event.limit is not None
    assert event.limit.bps == 1_000_000
    limited.is_withdraw = True
    assert heard(limited).phase is Phase.ENDED


def test_a_route_that_gobgp_would_send_wrong_is_refused() -> None:
    """From 240 bytes on the length has two bytes (RFC 8955 section 4.1)."""
    ports = ",".join(str(1_000 + 2 * number) for number in range(76))
    path(text(FOUR, f"udp dst-port {ports}"))
    with pytest.raises(RuleError, match="240 bytes; GoBGP 3 sends 239"):
        path(text(FOUR, f"udp dst-port {ports},53"))


def test_a_bit_that_is_named_twice_is_one_bit() -> None:
    made = path(
        "flow route { match { destination 198.51.100.7/32; tcp-flags =syn+syn; } "
        "then { discard; } }"
    )
    (_, flags) = api.FlowSpecNLRI.FromString(made.nlri.value).rules
    (item,) = api.FlowSpecComponent.FromString(flags.value).items
    assert item.value == 2


def test_a_blackhole_has_its_communities_and_next_hop() -> None:
    made = path(
        "route 198.51.100.7/32 next-hop 192.0.2.2 community [ 65535:666 no-export ] "
        "large-community [ 64500:1:666 ]"
    )
    assert (made.family.afi, made.family.safi) == (1, 1)
    found = {each.TypeName().rpartition(".")[2]: each.value for each in made.pattrs}
    communities = api.CommunitiesAttribute.FromString(found["CommunitiesAttribute"]).communities
    assert list(communities) == [65535 << 16 | 666, 0xFFFFFF01]
    assert api.NextHopAttribute.FromString(found["NextHopAttribute"]).next_hop == "192.0.2.2"
    (large,) = api.LargeCommunitiesAttribute.FromString(
        found["LargeCommunitiesAttribute"]
    ).communities
    assert (large.global_admin, large.local_data1, large.local_data2) == (64500, 1, 666)


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "route x",
        "flow route { match { destination 198.51.100.7/32; } then { redirect 1:1; } }",
        "flow route { match { destination x; } then { discard; } }",
        "flow route { match { destination 198.51.100.7/32; colour =1; } then { discard; } }",
        "flow route { match { destination 198.51.100.7/32; protocol 17; } then { discard; } }",
        "flow route { match { destination 198.51.100.7/32; tcp-flags =x; } then { discard; } }",
        "flow route { match { destination 198.51.100.7/32; port =" + "9" * 22 + "; } then "
        "{ discard; } }",
        "route 198.51.100.7/32 next-hop 192.0.2.2 community [ 70000:1 ]",
    ],
)
def test_what_is_no_route_of_ours_is_refused(wrong: str) -> None:
    with pytest.raises(RuleError):
        path(wrong)
