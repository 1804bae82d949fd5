# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether a match takes a packet, in Python: a captured one, or many at once as arrays."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xdpctl.base.net.packet_fields import Fields
from xdpctl.model.match import bits, ranges
from xdpctl.model.match.bits import Bits
from xdpctl.model.match.components import COMPONENTS, Kind
from xdpctl.model.match.match import Match
from xdpctl.model.match.ranges import Ranges


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


def within(ranges: Ranges, values: NDArray[Any]) -> NDArray[np.bool_]:
    """Which values are in one of the ranges."""
    first, last = np.array(ranges).T
    place = np.searchsorted(first, values, "right") - 1  # of the last range that may have it
    return np.asarray((place >= 0) & (values <= last[place]))


def passing(tests: Bits, values: NDArray[Any]) -> NDArray[np.bool_]:
    """Which values pass one of the groups of tests; less than 0 passes none."""
    chosen = np.zeros(len(values), bool)
    for group in tests:
        passed = values >= 0
        for test in group:
            passed &= (values & test.mask == test.mask) != test.negated
        chosen |= passed
    return chosen
