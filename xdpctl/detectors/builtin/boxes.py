# SPDX-License-Identifier: GPL-2.0-or-later
"""Boxes: matches that take much of an attack and little of normal traffic. Pure.

A box grows by one component at a time, the one with the most gain (PRIM: Friedman and Fisher,
1999).
"""

import numpy as np
from numpy.typing import NDArray

from xdpctl.abi.constants import Traffic
from xdpctl.detectors.builtin.candidates import Choice, choices
from xdpctl.detectors.builtin.normal import MOST_HIT, Normal
from xdpctl.detectors.builtin.split import BITS, Side, Split, has
from xdpctl.errors import RuleError
from xdpctl.model.match.components import COMPONENTS
from xdpctl.model.match.components import Kind as Valued
from xdpctl.model.match.match import Match, Value, join
from xdpctl.model.match.ranges import both
from xdpctl.traffic.dimensions import DIMENSIONS
from xdpctl.traffic.packets import PacketArray

BOXES_MAX = 5
REST = 0.06  # less than this share of an attack needs no box
_LEAST = 0.15  # of the packets: a box that takes less fits chance
_FEW = 8  # packets, of which nothing is made
_COMPONENTS_MAX = 5
_PREFERRED = {"ttl": 0.75, "dscp": 0.8, "flow_label": 0.8, "packet_length": 0.97}
_NARROWING = (
    *("protocol", "tcp_flags", "icmp_type", "icmp_code", "source_port", "destination_port"),
    *("packet_length", "fragment"),
)
_ALL = 0.997  # what so many of a box's packets share narrows it
_GAIN = 0.002  # of the attack, in bits: less gain is chance
_STRICT = MOST_HIT / 2  # of a kind, for the half of normal traffic by which boxes are made


def boxes(
    window: PacketArray, kind: Traffic, normal: Normal, usual: float, given: dict[str, Value]
) -> list[Match]:
    """Up to five matches for packets of one kind, those that take most first.

    `usual` is the share of the packets that normal traffic explains, 0 to 1. `given` has the
    components that each match begins with. A match may still hit too much: judge it.
    """
    split = _split(window, kind, normal, usual, given)
    counts = np.bincount(split.kinds, minlength=len(Traffic))
    found: list[Match] = []
    left = np.ones(len(window), bool)
    while len(found) < BOXES_MAX:
        rest = split.of(left, np.ones(len(split.normal.packets), bool))
        if len(rest.now.packets) < _FEW or rest.excess < REST * split.excess:
            break
        match = _grow(rest, counts, given)
        if match is None:
            break
        taken = _taken(match, window) & left
        if split.now.mass[taken].sum() < _LEAST:
            break
        found.append(match)
        left &= ~taken
    return found


def _split(
    window: PacketArray, kind: Traffic, normal: Normal, usual: float, given: dict[str, Value]
) -> Split:
    """Each kind of normal traffic weighs the same, however rare it is."""
    weights = window["weight"].astype(np.float64)
    counts = np.bincount(normal.kinds, minlength=len(Traffic))
    each = np.where(counts > 0, 1 / np.maximum(counts, 1), 0.0)
    mass = each[normal.kinds]
    own = np.where(normal.kinds == kind, usual * each[kind], 0.0)
    hit = np.ones(len(normal.packets), bool)
    for name, value in given.items():
        if name not in ("destination", "source"):
            hit &= has(name, value, normal.packets)
    return Split(
        Side(window, weights / max(weights.sum(), 1.0)),
        Side(normal.packets[hit], mass[hit]),
        own[hit],
        normal.kinds[hit],
    )


def _grow(split: Split, counts: NDArray[np.int64], given: dict[str, Value]) -> Match | None:
    components: dict[str, Value] = {}
    begun = split
    while len(components) < _COMPONENTS_MAX and not _is_clean(split, counts):
        best = max(choices(split, components), key=_preferred, default=None)
        if best is None or best.gain < _GAIN * begun.excess:
            break
        components[best.name] = best.value
        split = split.of(
            has(best.name, best.value, split.now.packets),
            has(best.name, best.value, split.normal.packets),
        )
        if len(split.now.packets) < _FEW:
            break
    if not components and split.normal.total > 0:
        return None
    components |= _common(split, components)
    try:
        return join(_both_of(given, _needed(begun, components)))
    except RuleError:  # no packet could be so, as the heads of a hostile sender may claim
        return None


def _preferred(choice: Choice) -> float:
    return choice.gain * _PREFERRED.get(choice.name, 1.0)


def _is_clean(split: Split, counts: NDArray[np.int64]) -> bool:
    hits = np.bincount(split.kinds, minlength=len(counts))
    return bool((hits <= _STRICT * counts).all())


def _taken(match: Match, packets: PacketArray) -> NDArray[np.bool_]:
    """Which packets have the components of a match, beside the addresses that all have."""
    chosen = np.ones(len(packets), bool)
    for name, value in match.components:
        if name not in ("destination", "source"):
            chosen &= has(name, value, packets)
    return chosen


def _both_of(given: dict[str, Value], components: dict[str, Value]) -> dict[str, Value]:
    """All components; of those that both have, what both allow."""
    found = dict(given)
    for name, value in components.items():
        before = given.get(name)
        numbers = before is not None and COMPONENTS[name].kind is Valued.NUMBER
        found[name] = both(before, value) if numbers else value  # type: ignore[arg-type]
    return found


def _common(split: Split, components: dict[str, Value]) -> dict[str, Value]:
    """What nearly all packets of a box share, where that excludes normal traffic."""
    found: dict[str, Value] = {}
    for name in _NARROWING:
        keys = DIMENSIONS[name].keys(split.now.packets) if name in BITS else split.now.packets[name]
        if name in components or not len(keys):
            continue
        values, places = np.unique(keys, return_inverse=True)
        sums = np.bincount(places, split.now.mass, len(values))
        best = int(np.argmax(sums))
        if values[best] >= 0 and sums[best] >= _ALL * split.now.total:
            key = int(values[best])
            found[name] = (
                (DIMENSIONS[name].components(key) or {})[name] if name in BITS else ((key, key),)
            )
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
