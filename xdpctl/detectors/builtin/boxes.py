# SPDX-License-Identifier: GPL-2.0-or-later
"""Boxes: matches that take much of an attack and little of normal traffic. Pure.

A box grows by one component at a time, the one with the most gain (PRIM: Friedman and Fisher, 1999;
the gain is FOIL's: Quinlan, 1990). Frequent values stand alone, the others in bins.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xdpctl.detectors.builtin.kind import Kind
from xdpctl.detectors.builtin.normal import MOST_HIT, Normal
from xdpctl.errors import RuleError
from xdpctl.model.match.bits import Bits
from xdpctl.model.match.components import COMPONENTS
from xdpctl.model.match.components import Kind as Valued
from xdpctl.model.match.match import Match, Value, join
from xdpctl.model.match.ranges import Ranges, both, merged
from xdpctl.traffic.dimensions import DIMENSIONS
from xdpctl.traffic.packets import PacketArray
from xdpctl.traffic.select import holds, matches

BOXES_MAX = 5
REST = 0.06  # less than this share of an attack needs no box
_LEAST = 0.15  # of the packets: a box that takes less fits chance
_COMPONENTS_MAX = 5
_NUMBERS = (
    *("source_port", "destination_port", "icmp_type", "icmp_code", "packet_length"),
    *("protocol", "dscp", "flow_label", "ttl"),
)
_BITS = ("tcp_flags", "fragment")
_PREFERRED = {"ttl": 0.75, "dscp": 0.8, "flow_label": 0.8, "packet_length": 0.97}
_NARROWING = (
    *("protocol", "tcp_flags", "icmp_type", "icmp_code", "source_port", "destination_port"),
    *("packet_length", "fragment"),
)
_ALL = 0.997  # what so many of a box's packets share narrows it
_FREQUENT = 0.015  # of the packets: such a value stands alone
_SEEN_MIN = 4  # packets with such a value
_ALONE_MAX, _BINS, _NORMAL_BINS, _RANGES_MAX = 48, 16, 8, 24
_WEIGHT = 3.0  # of normal traffic against the attack
_GAIN = 0.002  # of the attack, in bits: less gain is chance
_SOME = 0.004  # of normal traffic, added to what was seen of it: what was not seen may exist
_STRICT = MOST_HIT / 2  # of a kind, for the half of normal traffic by which boxes are made


@dataclass(frozen=True, slots=True)
class _Side:
    """Packets and the mass of each."""

    packets: PacketArray
    mass: NDArray[np.float64]

    def of(self, chosen: NDArray[np.bool_]) -> "_Side":
        return _Side(self.packets[chosen], self.mass[chosen])

    @property
    def total(self) -> float:
        return float(self.mass.sum())


@dataclass(frozen=True, slots=True)
class _Split:
    """The packets that are left while a box grows.

    `own` is the mass of normal packets in the window: a share `usual` of it is of their kind.
    """

    now: _Side
    normal: _Side
    own: NDArray[np.float64]
    kinds: NDArray[np.int64]

    def of(self, now: NDArray[np.bool_], normal: NDArray[np.bool_]) -> "_Split":
        return replace(
            self,
            now=self.now.of(now),
            normal=self.normal.of(normal),
            own=self.own[normal],
            kinds=self.kinds[normal],
        )

    @property
    def excess(self) -> float:
        return max(self.now.total - float(self.own.sum()), 1e-9)


@dataclass(frozen=True, slots=True)
class _Choice:
    """A component that a box may get, and what it gains in bits."""

    gain: float
    name: str
    value: Value


def boxes(
    window: PacketArray, kind: Kind, normal: Normal, usual: float, given: dict[str, Value]
) -> list[Match]:
    """Up to five matches for packets of one kind, those that take most first.

    `usual` is the share of the packets that normal traffic explains, 0 to 1. `given` has the
    components that each match begins with. A match may still hit too much: judge it.
    """
    split = _split(window, kind, normal, usual, given)
    counts = np.bincount(split.kinds, minlength=len(Kind))
    found: list[Match] = []
    left = np.ones(len(window), bool)
    while len(found) < BOXES_MAX:
        rest = split.of(left, np.ones(len(split.normal.packets), bool))
        if len(rest.now.packets) < 8 or rest.excess < REST * split.excess:
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
    window: PacketArray, kind: Kind, normal: Normal, usual: float, given: dict[str, Value]
) -> _Split:
    """Each kind of normal traffic weighs the same, however rare it is."""
    weights = window["weight"].astype(np.float64)
    counts = np.bincount(normal.kinds, minlength=len(Kind))
    each = np.where(counts > 0, 1 / np.maximum(counts, 1), 0.0)
    mass = each[normal.kinds]
    own = np.where(normal.kinds == kind, usual * each[kind], 0.0)
    hit = np.ones(len(normal.packets), bool)
    for name, value in given.items():
        if name not in ("destination", "source"):
            hit &= _holds(name, value, normal.packets)
    return _Split(
        _Side(window, weights / max(weights.sum(), 1.0)),
        _Side(normal.packets[hit], mass[hit]),
        own[hit],
        normal.kinds[hit],
    )


def _grow(split: _Split, counts: NDArray[np.int64], given: dict[str, Value]) -> Match | None:
    components: dict[str, Value] = {}
    begun = split
    while len(components) < _COMPONENTS_MAX and not _is_clean(split, counts):
        best = max(_choices(split, components), key=_preferred, default=None)
        if best is None or best.gain < _GAIN * begun.excess:
            break
        components[best.name] = best.value
        split = split.of(
            _holds(best.name, best.value, split.now.packets),
            _holds(best.name, best.value, split.normal.packets),
        )
        if len(split.now.packets) < 8:
            break
    if not components and split.normal.total > 0:
        return None
    components |= _common(split, components)
    try:
        return join(_both_of(given, _needed(begun, components, counts)))
    except RuleError:  # no packet could be so, as the heads of a hostile sender may claim
        return None


def _preferred(choice: _Choice) -> float:
    return choice.gain * _PREFERRED.get(choice.name, 1.0)


def _is_clean(split: _Split, counts: NDArray[np.int64]) -> bool:
    hits = np.bincount(split.kinds, minlength=len(counts))
    return bool((hits <= _STRICT * counts).all())


def _holds(name: str, value: Any, packets: PacketArray) -> NDArray[np.bool_]:
    found = packets[name]
    return matches(value, found) if name in _BITS else holds(value, found)


def _taken(match: Match, packets: PacketArray) -> NDArray[np.bool_]:
    """Which packets have the components of a match, beside the addresses that all have."""
    chosen = np.ones(len(packets), bool)
    for name, value in match.components:
        if name not in ("destination", "source"):
            chosen &= _holds(name, value, packets)
    return chosen


def _both_of(given: dict[str, Value], components: dict[str, Value]) -> dict[str, Value]:
    """All components; of those that both have, what both allow."""
    found = dict(given)
    for name, value in components.items():
        before = given.get(name)
        numbers = before is not None and COMPONENTS[name].kind is Valued.NUMBER
        found[name] = both(before, value) if numbers else value  # type: ignore[arg-type]
    return found


def _choices(split: _Split, components: dict[str, Value]) -> Iterator[_Choice]:
    for name in (*_NUMBERS, *_BITS):
        if name not in components:
            found = _bits(split, name) if name in _BITS else _ranges(split, name)
            if found is not None:
                yield found


@dataclass(frozen=True, slots=True)
class _Bins:
    """Values or ranges of them with their mass; `excess` may be less than 0."""

    values: list[Any]
    excess: NDArray[np.float64]
    normal: NDArray[np.float64]


def _gainful(split: _Split, bins: _Bins) -> tuple[float, list[Any]]:
    """The values that together gain most, and what they gain (FOIL, in bits)."""
    scale = _WEIGHT * split.excess
    normal = scale * (bins.normal + _SOME / max(len(bins.values), 1))
    order = np.argsort(-bins.excess / np.maximum(normal, 1e-12), kind="stable")
    kept = np.cumsum(np.maximum(bins.excess[order], 0.0))
    hit = np.cumsum(normal[order])
    before = np.log2(split.excess / (split.excess + scale * (split.normal.total + _SOME)))
    gains = kept * (np.log2(np.maximum(kept, 1e-12) / (np.maximum(kept, 1e-12) + hit)) - before)
    best = int(np.argmax(gains))
    return float(gains[best]), [bins.values[place] for place in order[: best + 1].tolist()]


def _sums(places: NDArray[Any], mass: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    chosen = places >= 0
    return np.bincount(places[chosen], mass[chosen], count)


def _bits(split: _Split, name: str) -> _Choice | None:
    by = DIMENSIONS[name]
    now, normal = by.keys(split.now.packets), by.keys(split.normal.packets)
    values, counts = np.unique(now[now >= 0], return_counts=True)
    if not len(values):
        return None
    values = np.sort(values[np.argsort(-counts)][:_ALONE_MAX])
    bins = _counted(split, values, now, normal)
    gain, chosen = _gainful(split, bins)
    groups: Any = [(by.components(key) or {})[name] for key in chosen[:8]]
    value: Bits = tuple(sorted(group for each in groups for group in each))
    return _Choice(gain, name, value)


def _counted(split: _Split, values: NDArray[Any], now: NDArray[Any], normal: NDArray[Any]) -> _Bins:
    """The mass of each of these single values."""
    of_now, of_normal = _places(values, now), _places(values, normal)
    count = len(values)
    hit = _sums(of_normal, split.normal.mass, count)
    excess = _sums(of_now, split.now.mass, count) - _sums(of_normal, split.own, count)
    return _Bins(values.tolist(), excess, hit)


def _places(values: NDArray[Any], found: NDArray[Any]) -> NDArray[np.int64]:
    """The place of each of the found values in the sorted `values`; -1 if it is not there."""
    at = np.searchsorted(values, found)
    at = np.minimum(at, len(values) - 1)
    return np.where(values[at] == found, at, -1)


def _ranges(split: _Split, name: str) -> _Choice | None:
    now = split.now.packets[name].astype(np.int64)
    normal = split.normal.packets[name].astype(np.int64)
    seen = now[now >= 0]
    if not len(seen):
        return None
    alone = _alone(split, now, normal)
    edges = _edges(seen[~np.isin(seen, alone)], normal, alone, COMPONENTS[name].most)
    of_now = _binned(now, alone, edges)
    of_normal = _binned(normal, alone, edges)
    count = len(alone) + max(len(edges) - 1, 0)
    if not count:
        return None
    hit = _sums(of_normal, split.normal.mass, count)
    excess = _sums(of_now, split.now.mass, count) - _sums(of_normal, split.own, count)
    pairs = [(int(value), int(value)) for value in alone.tolist()]
    pairs += [(int(a), int(b) - 1) for a, b in pairwise(edges.tolist())]
    gain, chosen = _gainful(split, _Bins(list(range(count)), excess, hit))
    value = _without(
        merged(pairs[place] for place in chosen),
        [pairs[place][0] for place in range(len(alone)) if place not in set(chosen)],
    )
    if len(value) > _RANGES_MAX:
        heavy = sorted(chosen, key=lambda place: -excess[place])[:_RANGES_MAX]
        value = merged(pairs[place] for place in heavy if place < len(alone)) or value[:_RANGES_MAX]
    return _Choice(gain, name, value) if value else None


def _alone(split: _Split, now: NDArray[np.int64], normal: NDArray[np.int64]) -> NDArray[np.int64]:
    """The values that are frequent enough, now or before, to stand alone; sorted."""
    frequent: list[int] = []
    for values, mass in ((now, split.now.mass), (normal, split.normal.mass)):
        known = values >= 0
        each, places, seen = np.unique(values[known], return_inverse=True, return_counts=True)
        if not len(each):
            continue
        sums = np.bincount(places, mass[known], len(each))
        order = np.argsort(-sums)[: _ALONE_MAX // 2]
        enough = (sums[order] >= _FREQUENT * mass.sum()) & (seen[order] >= _SEEN_MIN)
        frequent += each[order[enough]].tolist()
    return np.unique(np.array(frequent, np.int64))


def _edges(
    rest: NDArray[np.int64], normal: NDArray[np.int64], alone: NDArray[np.int64], most: int
) -> NDArray[np.int64]:
    """The edges of bins, by quantiles; the outer ones reach to the next normal value."""
    if not len(rest):
        return np.empty(0, np.int64)
    others = np.unique(normal[(normal >= 0) & ~np.isin(normal, alone)])
    low, high = int(rest.min()), int(rest.max())
    below, above = others[others < low], others[others > high]
    low = int(below.max()) + 1 if len(below) else 0
    high = int(above.min()) - 1 if len(above) else most
    inner = np.quantile(rest, np.linspace(0, 1, _BINS + 1)[1:-1]).astype(np.int64)
    if len(others):
        of_normal = np.quantile(others, np.linspace(0, 1, _NORMAL_BINS + 1)).astype(np.int64)
        of_normal[-1] = others[-1] + 1
        inner = np.concatenate([inner, of_normal[(of_normal > low) & (of_normal < high)]])
    return np.unique(np.concatenate([[low], inner[inner > low], [high + 1]]))


def _binned(
    values: NDArray[np.int64], alone: NDArray[np.int64], edges: NDArray[np.int64]
) -> NDArray[np.int64]:
    """The bin of each value: first the single ones, then those between edges; -1: none."""
    found = _places(alone, values) if len(alone) else np.full(len(values), -1)
    if len(edges) < 2:
        return found
    at = np.searchsorted(edges, values, "right") - 1
    inside = (at >= 0) & (at < len(edges) - 1) & (values >= 0)
    return np.where(found >= 0, found, np.where(inside, at + len(alone), -1))


def _without(ranges: Ranges, values: list[int]) -> Ranges:
    """The ranges without these single values."""
    for value in sorted(values):
        ranges = tuple(
            piece
            for low, high in ranges
            for piece in (
                ((low, value - 1), (value + 1, high)) if low <= value <= high else ((low, high),)
            )
            if piece[0] <= piece[1]
        )
    return ranges


def _common(split: _Split, components: dict[str, Value]) -> dict[str, Value]:
    """What nearly all packets of a box share, where that excludes normal traffic."""
    found: dict[str, Value] = {}
    for name in _NARROWING:
        keys = (
            DIMENSIONS[name].keys(split.now.packets) if name in _BITS else split.now.packets[name]
        )
        if name in components or not len(keys):
            continue
        values, places = np.unique(keys, return_inverse=True)
        sums = np.bincount(places, split.now.mass, len(values))
        best = int(np.argmax(sums))
        if values[best] >= 0 and sums[best] >= _ALL * split.now.total:
            key = int(values[best])
            found[name] = (
                (DIMENSIONS[name].components(key) or {})[name] if name in _BITS else ((key, key),)
            )
    return found


def _needed(
    split: _Split, components: dict[str, Value], counts: NDArray[np.int64]
) -> dict[str, Value]:
    """The components without those that exclude no normal traffic; the weakest go first."""
    kept = dict(components)

    def hit(without: str) -> float:
        chosen = np.ones(len(split.normal.packets), bool)
        for name, value in kept.items():
            if name != without:
                chosen &= _holds(name, value, split.normal.packets)
        return float(split.normal.mass[chosen].sum())

    for name in sorted(components, key=lambda each: _PREFERRED.get(each, 1.0)):
        # what single values exclude is kept: it costs no coverage and what was not seen may exist
        value = components[name]
        single = name in _BITS or (len(value) == 1 and value[0][0] == value[0][1])
        if not single and len(kept) > 1 and hit(name) <= hit(""):
            del kept[name]
    return kept
