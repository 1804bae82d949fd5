# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether the same packet can match two matches; assumed if in doubt. Pure."""

from functools import lru_cache
from typing import Any, cast

from xdpctl.base.net.prefix import Prefix
from xdpctl.model.match import bits, payload, ranges
from xdpctl.model.match.bits import Bits
from xdpctl.model.match.components import COMPONENTS, NEEDS, Kind
from xdpctl.model.match.match import Match
from xdpctl.model.match.ranges import Ranges

_EVERY_PROTOCOL: Ranges = ((0, 255),)


def overlap(match: Match, other: Match) -> bool:
    """Whether there may be a packet that matches both."""
    if None not in (match.family, other.family) and match.family != other.family:
        return False
    other_values = dict(other.components)
    both = (
        (name, value, other_values[name])
        for name, value in match.components
        if name in other_values
    )
    return all(_meet(*pair) for pair in both) and not _protocols(match).isdisjoint(
        _protocols(other)
    )


def _meet(name: str, value: Any, other: Any) -> bool:
    if isinstance(value, Prefix):
        return value.covers(other) or other.covers(value)
    if name == "port":  # one match may mean the source port, and the other the destination port
        return True
    if COMPONENTS[name].kind is Kind.NUMBER:
        return any(a <= d and c <= b for a, b in value for c, d in other)
    if name == "module":  # nobody knows what two of them say
        return True
    if COMPONENTS[name].kind is Kind.PAYLOAD:
        return payload.meet(value, other)
    most = COMPONENTS[name].most
    return bool(_values(value, most) & _values(other, most))


@lru_cache(4096)
def _values(tests: Bits, most: int) -> int:
    """The values for which the tests hold, as the bits of a number."""
    return sum(1 << value for value in range(most + 1) if bits.holds(tests, value))


@lru_cache(4096)
def _protocols(match: Match) -> frozenset[int]:
    allowed = cast(Ranges, match.get("protocol") or _EVERY_PROTOCOL)
    protocols = {number for number in range(256) if ranges.holds(allowed, number)}
    for name, _ in match.components:
        protocols &= NEEDS.get(name, protocols)
    return frozenset(protocols)
