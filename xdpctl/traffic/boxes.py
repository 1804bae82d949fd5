# SPDX-License-Identifier: GPL-2.0-or-later
"""Boxes: matches that take much of some packets and little of others. Pure.

A box grows by one component at a time, always the one with the largest gain (PRIM: Friedman and
Fisher, 1999).
"""

from collections.abc import Callable, Sequence

import numpy as np

from xdpctl.errors import RuleError
from xdpctl.model.match.components import COMPONENTS
from xdpctl.model.match.components import Kind as Valued
from xdpctl.model.match.match import Match, Value, join
from xdpctl.model.match.ranges import both
from xdpctl.traffic.candidates import CHOICES, Choice, choices
from xdpctl.traffic.dimensions import DIMENSIONS, stand
from xdpctl.traffic.payloads import shared
from xdpctl.traffic.split import BITS, Side, Split, has

BOXES_MAX = 5
REST = 0.06  # less than this share of the packets needs no box
FEW = 8  # packets: no box is made for fewer
_COMPONENTS_MAX = 5
_PREFERRED = {"ttl": 0.75, "dscp": 0.8, "flow_label": 0.8, "packet_length": 0.97}
_NARROWING = (
    *("protocol", "tcp_flags", "icmp_type", "icmp_code", "source_port", "destination_port"),
    *("packet_length", "fragment"),
)
_ALL = 0.997  # share of a box's packets: a value that as many have narrows the box
_GAIN = 0.002  # bits, times the mass of the attack: less gain is chance


def grow(
    split: Split,
    given: dict[str, Value],
    is_clean: Callable[[Split], bool],
    ranges: bool = True,
    narrowing: Sequence[str] | None = None,
    names: Sequence[str] = CHOICES,
) -> Match | None:
    """A match with the `given` components, and some of `names`, that takes many current packets.

    It grows until `is_clean` says that few enough normal packets are left. Without `ranges` the
    match has only single numbers. Values that nearly all of its packets share narrow it: those of
    the components in `narrowing`; without it, those of the usual ones, and bytes of the payload.
    None if nothing separates the two sides.
    """
    components: dict[str, Value] = {}
    whole = split
    while len(components) < _COMPONENTS_MAX and not is_clean(split):
        best = max(choices(split, components, ranges, names), key=_preferred, default=None)
        if best is None or best.gain < _GAIN * whole.excess:
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
    components |= common(
        split.now, components, _ALL, _NARROWING if narrowing is None else narrowing
    )
    if narrowing is None and (windows := shared(split.now, split.normal, _ALL)):
        components["payload"] = windows
    try:
        return join(_both_of(given, _needed(whole, components)))
    except RuleError:  # a hostile sender's heads may have values that no packet can have together
        return None


def _preferred(choice: Choice) -> float:
    return choice.gain * _PREFERRED.get(choice.name, 1.0)


def _both_of(given: dict[str, Value], components: dict[str, Value]) -> dict[str, Value]:
    """All components; where both have one, the values that both allow."""
    combined = dict(given)
    for name, value in components.items():
        before = given.get(name)
        numbers = before is not None and COMPONENTS[name].kind is Valued.NUMBER
        combined[name] = both(before, value) if numbers else value  # type: ignore[arg-type]
    return combined


def common(
    now: Side, given: dict[str, Value], least: float, names: Sequence[str]
) -> dict[str, Value]:
    """The single values that at least this share of the packets has, besides `given`."""
    shared: dict[str, Value] = {}
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
        if components and (given | shared).keys().isdisjoint(components):
            shared |= components
    return shared


def _needed(split: Split, components: dict[str, Value]) -> dict[str, Value]:
    """The components, without those that exclude no normal traffic; the weakest go first."""
    needed = dict(components)

    def hit(without: str) -> float:
        chosen = np.ones(len(split.normal.packets), bool)
        for name, value in needed.items():
            if name != without:
                chosen &= has(name, value, split.normal.packets)
        return float(split.normal.mass[chosen].sum())

    for name in sorted(components, key=lambda component: _PREFERRED.get(component, 1.0)):
        # single values stay: they cost no coverage, and exclude traffic that was not seen
        value = components[name]
        single = name in (*BITS, "payload") or (len(value) == 1 and value[0][0] == value[0][1])
        if not single and len(needed) > 1 and hit(name) <= hit(""):
            del needed[name]
    return needed
