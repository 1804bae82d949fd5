# SPDX-License-Identifier: GPL-2.0-or-later
"""Which interfaces have frames that can be read, and that C and Python agree on their numbers."""

import re

import pytest

from tests.paths import ROOT
from xdpctl.datapath.loader.link_layers import LinkLayer, layer_of
from xdpctl.datapath.loader.netlink import Link, unreadable, vrf_of, with_above


def test_the_numbers_are_those_of_the_program() -> None:
    text = (ROOT / "bpf" / "frame.h").read_text()
    found = re.findall(r"^#define LINK_(ETHERNET|NONE)\s+(\d)$", text, re.MULTILINE)
    assert {name: int(number) for name, number in found} == {one.name: one for one in LinkLayer}


@pytest.mark.parametrize(
    ("number", "kind", "layer"),
    [
        (1, "", LinkLayer.ETHERNET),
        (1, "tun", LinkLayer.ETHERNET),  # a tap
        (772, "", LinkLayer.ETHERNET),
        (65534, "tun", LinkLayer.NONE),
        (65534, "wireguard", LinkLayer.NONE),
        (512, "ppp", LinkLayer.NONE),
        (768, "ipip", LinkLayer.NONE),
        (776, "sit", LinkLayer.NONE),
        (778, "gre", LinkLayer.NONE),
        (65534, "xfrm", None),
        (768, "vti", None),
        (823, "ip6gre", None),
        (280, "vcan", None),
        (32, "", None),  # InfiniBand
    ],
)
def test_an_interface_has_frames_by_its_type_and_kind(
    number: int, kind: str, layer: LinkLayer | None
) -> None:
    assert layer_of(number, kind) is layer


def test_gre_without_a_far_end_is_refused() -> None:
    """XDP gets its packets with the outer headers."""
    assert layer_of(778, "gre", has_remote=False) is None
    assert layer_of(776, "sit", has_remote=False) is LinkLayer.NONE


def test_an_interface_of_another_kind_is_told_with_what_to_do() -> None:
    link = Link(4, "can0", True, 16, "", "vcan", None, None, None)
    assert unreadable(link) == (
        "can0 (vcan) has frames that xdpctl cannot read: filter on the interface on which they "
        "arrive, or behind it"
    )


def _link(index: int, master: int = 0, below: int = 0, kind: str = "") -> Link:
    return Link(
        index, f"eth{index}", True, 1500, "", kind, LinkLayer.ETHERNET, None, None, 0, master, below
    )


def test_packets_of_an_interface_come_in_by_what_is_above_it_too() -> None:
    bridge, uplink, vlan, on_bridge = (
        _link(9),
        _link(2, master=9),
        _link(5, below=2, kind="vlan"),
        _link(6, below=9, kind="vlan"),
    )
    present = [uplink, vlan, on_bridge, bridge, _link(3, master=8), _link(8)]
    assert with_above(2, present) == [2, 5, 6, 9]
    assert with_above(3, present) == [3, 8]
    assert with_above(8, present) == [8]


def test_what_comes_out_of_a_tunnel_or_a_vrf_did_not_come_in_by_the_interface_below() -> None:
    uplink, vrf = _link(2, master=9), _link(9, kind="vrf")
    present = [uplink, vrf, _link(5, below=2, kind="gre"), _link(6, master=9)]
    assert with_above(2, present) == [2]
    assert [vrf_of(link, present) for link in (uplink, vrf)] == ["eth9", ""]
