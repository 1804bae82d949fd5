# SPDX-License-Identifier: GPL-2.0-or-later
"""The match of a kind takes all packets of the kind; each kind has a floor."""

import numpy as np
import pytest

from bench.detection.made import ATTACKS, balanced
from xdpctl.abi.constants import Traffic
from xdpctl.base.net.packet_fields import LATER
from xdpctl.flood.settings import FLOORS
from xdpctl.flood.shapes import shape
from xdpctl.model.match import text
from xdpctl.model.match.match import join
from xdpctl.traffic.packets import PacketArray, kinds
from xdpctl.traffic.select import takes


@pytest.fixture(scope="module")
def packets() -> PacketArray:
    random = np.random.default_rng(1)
    found = np.concatenate(
        [balanced(random, 500), *(make(random, 500) for make in ATTACKS.values())]
    )
    protocol = found["protocol"]
    bare = (protocol == 58) | ((protocol == 6) & (found["tcp_flags"] < 0))
    bare |= (protocol == 17) & (found["source_port"] < 0) & (found["fragment"] & LATER == 0)
    whole: PacketArray = found[~bare]
    return whole  # one attack is made of protocols at random, without their headers


def test_the_match_of_a_kind_takes_all_of_it_and_has_a_text(packets: PacketArray) -> None:
    for kind in Traffic:
        match = join(shape(kind, 4))
        of_kind = kinds(packets) == kind
        assert of_kind.any(), f"no packet is of kind {kind.setting}"
        assert takes(match, packets)[of_kind].all(), kind.name
        assert text.parse(str(match)) == match
        if kind not in (Traffic.UDP, Traffic.FRAGMENT, Traffic.QUIC_INITIAL, Traffic.DNS_QUERY):
            others = takes(match, packets) & ~of_kind & (kinds(packets) != Traffic.FRAGMENT)
            assert not others.any(), kind.name


def test_measures_against_udp_leave_dns_queries_alone(packets: PacketArray) -> None:
    queries = packets[kinds(packets) == Traffic.DNS_QUERY]
    assert len(queries)
    assert not takes(join(shape(Traffic.UDP, 4)), queries).any()


def test_icmp_matches_use_the_protocol_of_the_family() -> None:
    assert str(join(shape(Traffic.ICMP, 6))) == "proto icmpv6"
    assert str(join(shape(Traffic.ICMP, 4))) == "proto icmp"


def test_each_kind_has_a_floor() -> None:
    assert set(FLOORS) == set(Traffic)
