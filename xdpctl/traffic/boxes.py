# SPDX-License-Identifier: GPL-2.0-or-later
"""Boxes: matches that take much of some packets and little of others. Pure.

A box grows by one component at a time, the one with the most gain (PRIM: Friedman and Fisher,
1999).
"""

from collections.abc import Callable, Sequence

import numpy as np

from xdpctl.errors import RuleError
from xdpctl.model.match.components import COMPONENTS
from xdpctl.model.match.components import Kind as Valued
from xdpctl.model.match.match import Match, Value, join
from xdpctl.model.match.ranges import both
from xdpctl.traffic.candidates import Choice, choices
from xdpctl.traffic.dimensions import DIMENSIONS, stand
from xdpctl.traffic.split import BITS, Side, Split, has

BOXES_MAX = 5
REST = 0.06  # less than this share of the packets needs no box
FEW = 8  # packets, of which nothing is made
_COMPONENTS_MAX = 5
_PREFERRED = {"ttl": 0.75, "dscp": 0.8, "flow_label": 0.8, "packet_length": 0.97}
_NARROWING = (
    *("protocol", "tcp_flags", "icmp_type", "icmp_code", "source_port", "destination_port"),
    *("packet_length", "fragment"),
)
_ALL = 0.997  # what so many of a box's packets share narrows it
_GAIN = 0.002  # of the attack, in bits: less gain is chance


def grow(
    split: Split,
    given: dict[str, Value],
    is_clean: Callable[[Split], bool],
    ranges: bool = True,
    narrowing: Sequence[str] = _NARROWING,
) -> Match | None:
    """A match with the `given` components that takes much of the packets of now.

    It grows until `is_clean` says that what is left of the normal ones is little enough. Without
    `ranges` numbers stand alone. What nearly all of its packets share, of `narrowing`, narrows it.
    None if nothing tells the two sides apart.
    """
    components: dict[str, Value] = {}
    begun = split
    while len(components) < _COMPONENTS_MAX and not is_clean(split):
        best = max(choices(split, components, ranges), key=_preferred, default=None)
        if best is None or best.gain < _GAIN * begun.excess:
            break
        components[best.name] = best.value
        split = split.of(
            has(best.name, best.value, split.now.packets),
            has(best.name, best.value, split.normal.packets),
        )
        if len(split.now.packets) < FEW:
            break
    if not components and split.normal.total > 0:
        return None
    components |= common(split.now, components, _ALL, narrowing)
    try:
        return join(_both_of(given, _needed(begun, components)))
    except RuleError:  # no packet could be so, as the heads of a hostile sender may claim
        return None


def _preferred(choice: Choice) -> float:
    return choice.gain * _PREFERRED.get(choice.name, 1.0)


def _both_of(given: dict[str, Value], components: dict[str, Value]) -> dict[str, Value]:
    """All components; of those that both have, what both allow."""
    found = dict(given)
    for name, value in components.items():
        before = given.get(name)
        numbers = before is not None and COMPONENTS[name].kind is Valued.NUMBER
        found[name] = both(before, value) if numbers else value  # type: ignore[arg-type]
    return found


def common(
    now: Side, given: dict[str, Value], least: float, names: Sequence[str]
) -> dict[str, Value]:
    """The single values that this share of the packets has in common, beside the given ones."""
    found: dict[str, Value] = {}
    for name in names:
        by = DIMENSIONS.get(name)
        keys = by.keys(now.packets) if by else now.packets[name]
        values, places = np.unique(keys, return_inverse=True)
        sums = np.bincount(places, now.mass, len(values))
        best = int(np.argmax(sums)) if len(values) else 0
        if not len(values) or not stand(values)[best] or sums[best] < least * now.total:
            continue
        key = values[best].item()
        components = by.components(key) if by else {name: ((key, key),)}
        if components and (given | found).keys().isdisjoint(components):
            found |= components
    return found


def _needed(split: Split, components: dict[str, Value]) -> dict[str, Value]:
    """The components without those that exclude no normal traffic; the weakest go first."""
    kept = dict(components)

    def hit(without: str) -> float:
        chosen = np.ones(len(split.normal.packets), bool)
        for name, value in kept.items():
            if name != without:
                chosen &= has(name, value, split.normal.packets)
        return float(split.normal.mass[chosen].sum())

    for name in sorted(components, key=lambda each: _PREFERRED.get(each, 1.0)):
        # what single values exclude is kept: it costs no coverage and what was not seen may exist
        value = components[name]
        single = name in BITS or (len(value) == 1 and value[0][0] == value[0][1])
        if not single and len(kept) > 1 and hit(name) <= hit(""):
            del kept[name]
    return kept
