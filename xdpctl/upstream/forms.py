# SPDX-License-Identifier: GPL-2.0-or-later
"""The values of a component in forms that routers take: few, and without long tests. Pure."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from xdpctl.base.net.packet_fields import FIRST, LATER
from xdpctl.model.match.bits import Bits, BitTest
from xdpctl.model.match.components import COMPONENTS, TCP_FLAGS, Kind
from xdpctl.model.match.match import Value
from xdpctl.model.match.ranges import Ranges, both
from xdpctl.traffic.split import Side, has

_VALUES, _LENGTHS, _GROUPS = 8, 4, 3
_ALL_BUT = 8_192  # a list of so many ports means: all but a few
_SERVICE = 0.01  # of the normal traffic: a port that has as much is left out of such a list
_PORTS = ("port", "source_port", "destination_port")
_SYN, _ACK = TCP_FLAGS["syn"], TCP_FLAGS["ack"]


def simple(name: str, value: Value, attack: Side, normal: Side) -> Value | None:
    """A value like this one that a router takes; None if the component must be left out.

    Of a long list, the values are kept that take most of the attack.
    """
    if name == "tcp_flags":
        return _flags(value)  # type: ignore[arg-type]
    if name == "fragment":
        return _fragment(value)  # type: ignore[arg-type]
    if COMPONENTS[name].kind is not Kind.NUMBER:
        return value
    ranges: Ranges = value  # type: ignore[assignment]
    if name == "packet_length":
        clipped = _clipped(name, ranges, attack)
        return clipped if len(clipped) <= _LENGTHS else _heaviest(name, clipped, attack, _LENGTHS)
    if name in _PORTS and sum(high - low for low, high in ranges) >= _ALL_BUT:
        return _all_but(name, ranges, normal)
    return ranges if len(ranges) <= _VALUES else _heaviest(name, ranges, attack)


def _clipped(name: str, ranges: Ranges, attack: Side) -> Ranges:
    """The part of the ranges in which the attack lies; a single range stays as it is."""
    values = attack.packets[name]
    if len(ranges) == 1 or not len(values):
        return ranges
    return both(ranges, ((max(int(values.min()), 0), int(values.max())),)) or ranges


def _all_but(name: str, ranges: Ranges, normal: Side) -> Ranges | None:
    """All ports, except those of services that the ranges leave out; None if there is none."""
    outside = normal.of(~has(name, ranges, normal.packets))
    values, places = np.unique(outside.packets[name], return_inverse=True)
    masses = np.bincount(places, outside.mass, len(values))
    order = np.argsort(-masses)[: _VALUES - 1]
    spared = sorted(
        int(values[place])
        for place in order.tolist()
        if masses[place] >= _SERVICE and values[place] >= 0
    )
    if not spared:
        return None
    edges = [-1, *spared, COMPONENTS[name].most + 1]
    pieces = ((low + 1, high - 1) for low, high in pairwise(edges))
    return tuple(piece for piece in pieces if piece[0] <= piece[1])


def _heaviest(name: str, ranges: Ranges, attack: Side, most: int = _VALUES) -> Ranges:
    masses = [float(attack.mass[has(name, (part,), attack.packets)].sum()) for part in ranges]
    order = np.argsort(masses)[::-1][:most]
    return tuple(sorted(ranges[place] for place in order.tolist()))


def _flags(groups: Bits) -> Bits | None:
    """The flags that are set, and that SYN or ACK is not: `syn&!ack` instead of nine tests."""
    simpler = set[tuple[BitTest, ...]]()
    for group in groups:
        mask = sum(test.mask for test in group if not test.negated)
        unset = [BitTest(True, bit) for bit in (_SYN, _ACK) if not mask & bit]
        simpler.add(tuple(sorted([*([BitTest(False, mask)] if mask else []), *unset])))
    return tuple(sorted(simpler)) if len(simpler) <= _GROUPS else None


def _fragment(groups: Bits) -> Bits | None:
    """`later` and `first`, if all packets are fragments; None if some are whole."""
    masks = [_set(group) for group in groups]
    wanted = [bit for bit in (LATER, FIRST) if any(mask & bit for mask in masks)]
    if not all(mask & (LATER | FIRST) for mask in masks):
        return None
    return tuple(sorted((BitTest(False, bit),) for bit in wanted))


def _set(group: Sequence[BitTest]) -> int:
    return sum(test.mask for test in group if not test.negated)
