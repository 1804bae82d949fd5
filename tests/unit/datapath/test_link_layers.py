# SPDX-License-Identifier: GPL-2.0-or-later
"""Which interfaces have frames that can be read, and that C and Python agree on their numbers."""

import re

import pytest

from tests.paths import ROOT
from xdpctl.datapath.loader.link_layers import LinkLayer, of_type
from xdpctl.datapath.loader.netlink import Link, unreadable


def test_the_numbers_are_those_of_the_program() -> None:
    text = (ROOT / "bpf" / "frame.h").read_text()
    found = re.findall(r"^#define LINK_(ETHERNET|NONE|TUNNEL)\s+(\d)$", text, re.MULTILINE)
    assert {name: int(number) for name, number in found} == {one.name: one for one in LinkLayer}


@pytest.mark.parametrize(
    ("number", "layer"),
    [
        (1, LinkLayer.ETHERNET),
        (772, LinkLayer.ETHERNET),
        (65534, LinkLayer.NONE),
        (512, LinkLayer.NONE),
        (768, LinkLayer.NONE),
        (776, LinkLayer.TUNNEL),
        (778, LinkLayer.TUNNEL),
        (280, None),  # CAN
        (32, None),  # InfiniBand
    ],
)
def test_an_interface_has_frames_by_its_type(number: int, layer: LinkLayer | None) -> None:
    assert of_type(number) is layer


def test_an_interface_of_another_kind_is_told_with_what_to_do() -> None:
    link = Link(4, "can0", True, 16, "", "vcan", None, None, None)
    assert unreadable(link) == (
        "can0 (vcan) has frames that xdpctl cannot read: filter on the interface on which they "
        "arrive, or behind it"
    )
