# SPDX-License-Identifier: GPL-2.0-or-later
"""Brings sides to the kernel, where sources of what goes out may be validated by them."""

from xdpctl.abi.constants import Side, Validation
from xdpctl.base.net.prefix import Prefix
from xdpctl.datapath.port import Datapath
from xdpctl.datapath.tables.sides import Sides
from xdpctl.model.sides import uncovered


def bring(datapath: Datapath, sides: Sides) -> bool:
    """Write these sides; return whether anything was different.

    If a network has no side any more, nothing is dropped until it is known again whether packets
    come in for it. A fleet's member is no network inside.
    """
    if datapath.validation.read() is not Validation.NOT:
        before = datapath.sides.held().items()
        if uncovered((prefix for prefix, side in before if side != Side.MEMBER), sides):
            datapath.validation.lost()
    return datapath.sides.bring(sides)


def held(datapath: Datapath) -> dict[Prefix, Side]:
    """The kernel's sides, without what no version of this program writes."""
    known = set(Side)
    return {prefix: Side(side) for prefix, side in datapath.sides.held().items() if side in known}
