# SPDX-License-Identifier: GPL-2.0-or-later
"""Kinds refine the classes of the program, and the match of a kind takes all of it."""

import re

import numpy as np
import pytest

from bench.detection.made import ATTACKS, balanced
from tests import reference_traffic
from tests.paths import ROOT
from xdpctl.abi.constants import Traffic
from xdpctl.base.net.packet_fields import LATER
from xdpctl.detectors.builtin.kind import FLOORS, Kind
from xdpctl.detectors.builtin.kinds import SERVICES, kinds, shape
from xdpctl.model.match import text
from xdpctl.model.match.match import join
from xdpctl.traffic.packets import PacketArray
from xdpctl.traffic.select import takes

_CLASS = {
    Kind.QUIC_INITIAL: Traffic.UDP,
    Kind.DNS_QUERY: Traffic.UDP,
    Kind.GRE: Traffic.OTHER,
    Kind.ESP: Traffic.OTHER,
}


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


def test_each_kind_is_of_one_class_of_the_program(packets: PacketArray) -> None:
    classes = reference_traffic.classes(packets)
    for kind in Kind:
        of_kind = kinds(packets) == kind
        assert of_kind.any(), f"no packet is of kind {kind}"
        wanted = _CLASS.get(kind) or Traffic[kind.name]
        assert set(classes[of_kind]) == {wanted}, kind.name


def test_the_match_of_a_kind_takes_all_of_it_and_has_a_text(packets: PacketArray) -> None:
    for kind in Kind:
        match = join(shape(kind, 4))
        of_kind = kinds(packets) == kind
        assert takes(match, packets)[of_kind].all(), kind.name
        assert text.parse(str(match)) == match
        if kind not in (Kind.UDP, Kind.FRAGMENT, Kind.QUIC_INITIAL, Kind.DNS_QUERY):
            others = takes(match, packets) & ~of_kind & (kinds(packets) != Kind.FRAGMENT)
            assert not others.any(), kind.name


def test_icmp_is_that_of_the_family() -> None:
    assert str(join(shape(Kind.ICMP, 6))) == "proto icmpv6"
    assert str(join(shape(Kind.ICMP, 4))) == "proto icmp"


def test_each_kind_has_a_floor() -> None:
    assert set(FLOORS) == set(Kind)


def test_the_services_are_those_of_the_program() -> None:
    text = (ROOT / "bpf" / "services.h").read_text()
    listed = {int(port) for port in re.findall(r"case (\d+):", text)}
    below = int(re.findall(r"port < (\d+)", text)[0])
    assert (0, below - 1) == SERVICES[0]
    assert {low for low, _ in SERVICES[1:]} == listed
