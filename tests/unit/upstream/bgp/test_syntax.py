# SPDX-License-Identifier: GPL-2.0-or-later
"""Routes as ExaBGP takes them."""

import pytest

from xdpctl.model.route import Blackhole, Flow
from xdpctl.upstream.bgp.syntax import text


# Each text was given to `exabgp validate` of ExaBGP 5.0.15 once, which accepts it.
@pytest.mark.parametrize(
    ("match", "said"),
    [
        ("udp src-port 53,100-200 length >=512",
         "protocol =17; source-port [ =53 >=100&<=200 ]; packet-length >=512"),
        ("tcp flags syn&!ack", "protocol =6; tcp-flags =syn&!=ack"),
        ("tcp flags syn+ack,rst", "protocol =6; tcp-flags [ =rst =syn+ack ]"),
        ("fragment later,first", "fragment [ =is-fragment =first-fragment ]"),
        ("src 203.0.113.0/24 icmp icmp-type 8",
         "source 203.0.113.0/24; protocol =1; icmp-type =8"),
        ("dscp 8", "dscp =8"),
    ],
)  # fmt: skip
def test_a_match_is_written_in_flowspec_order(match: str, said: str) -> None:
    made = text(Flow(f"{match} dst 198.51.100.7"))
    assert made == f"match {{ destination 198.51.100.7/32; {said}; }} then {{ discard; }}"


def test_ipv6_components_have_their_own_names() -> None:
    made = text(Flow("dst 2001:db8::7 udp dscp 8 flow-label 5", 1_000))
    said = "destination 2001:db8::7/128; next-header =17; traffic-class =8; flow-label =5"
    assert made == f"match {{ {said}; }} then {{ rate-limit 1000; }}"


def test_a_blackhole_route_has_standard_and_large_communities() -> None:
    hole = Blackhole("2001:db8::7", "2001:db8:1::2", ("64500:1:666", "65535:666", "no-export"))
    assert text(hole) == (
        "route 2001:db8::7/128 next-hop 2001:db8:1::2 community [ 65535:666 no-export ] "
        "large-community [ 64500:1:666 ]"
    )
