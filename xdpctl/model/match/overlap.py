# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether the same packet can match two matches; assumed if in doubt. Pure."""

from functools import lru_cache
from typing import Any, cast

from xdpctl.base.net.prefix import Prefix
from xdpctl.model.match import bits, ranges
from xdpctl.model.match.bits import Bits
from xdpctl.model.match.components import COMPONENTS, NEEDS, Kind
from xdpctl.model.match.match import Match
from xdpctl.model.match.ranges import Ranges

_EVERY_PROTOCOL: Ranges = ((0, 255),)


def overlap(one: Match, other: Match) -> bool:
    """Whether there may be a packet that matches both."""
    if None not in (one.family, other.family) and one.family != other.family:
        return False
    theirs = dict(other.components)
    both = ((name, value, theirs[name]) for name, value in one.components if name in theirs)
    return all(_meet(*pair) for pair in both) and not _protocols(one).isdisjoint(_protocols(other))


def _meet(name: str, one: Any, other: Any) -> bool:
    if isinstance(one, Prefix):
        return one.covers(other) or other.covers(one)
    if name == "port":  # one may match the source port, and the other the destination port
        return True
    if COMPONENTS[name].kind is Kind.NUMBER:
        return any(a <= d and c <= b for a, b in one for c, d in other)
    most = COMPONENTS[name].most
    return bool(_values(one, most) & _values(other, most))


@lru_cache(4096)
def _values(tests: Bits, most: int) -> int:
    """The values for which the tests hold, as the bits of a number."""
    return sum(1 << value for value in range(most + 1) if bits.holds(tests, value))


@lru_cache(4096)
def _protocols(match: Match) -> frozenset[int]:
    given = cast(Ranges, match.get("protocol") or _EVERY_PROTOCOL)
    left = {number for number in range(256) if ranges.holds(given, number)}
    for name, _ in match.components:
        left &= NEEDS.get(name, left)
    return frozenset(left)
