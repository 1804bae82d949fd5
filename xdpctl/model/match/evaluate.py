# SPDX-License-Identifier: GPL-2.0-or-later
"""Decides in Python whether a match takes a captured packet."""

from collections.abc import Mapping
from typing import Any

from xdpctl.base.net.packet_fields import Fields
from xdpctl.model.match import bits, payload, ranges
from xdpctl.model.match.components import COMPONENTS, Kind
from xdpctl.model.match.match import Match


def takes(match: Match, packet: Fields) -> bool:
    """Whether the packet has every component of the match, with a value that it allows."""
    return all(_takes(name, wanted, packet) for name, wanted in match.components)


def _takes(name: str, wanted: Any, packet: Mapping[str, Any]) -> bool:
    if name == "port":
        ends = (packet.get("source_port"), packet.get("destination_port"))
        return any(end is not None and ranges.holds(wanted, end) for end in ends)
    value = packet.get(name)
    if value is None:
        return False
    match COMPONENTS[name].kind:
        case Kind.PREFIX:
            return bool(wanted.covers(value))
        case Kind.NUMBER:
            return ranges.holds(wanted, value)
        case Kind.BITS:
            return bits.holds(wanted, value)
        case Kind.PAYLOAD:
            return payload.holds(wanted, value)
        case Kind.MODULE:
            return False  # only the kernel asks modules
