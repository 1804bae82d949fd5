# SPDX-License-Identifier: GPL-2.0-or-later
"""The components that a box may get, each with its values and their gain. Pure.

The gain is FOIL's (Quinlan, 1990). Frequent values are tested singly, all other values in bins.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xdpctl.model.match.bits import Bits
from xdpctl.model.match.components import COMPONENTS
from xdpctl.model.match.match import Value
from xdpctl.model.match.ranges import Ranges, merged
from xdpctl.traffic.dimensions import DIMENSIONS
from xdpctl.traffic.split import BITS, Split

CHOICES = (
    *("source_port", "destination_port", "icmp_type", "icmp_code", "packet_length"),
    *("protocol", "dscp", "flow_label", "ttl"),
    *BITS,
)
_FREQUENT = 0.015  # share of the packets with a value that is tested singly
_SEEN_MIN = 4  # packets with such a value
_ALONE_MAX, _BINS, _NORMAL_BINS, _RANGES_MAX = 48, 16, 8, 24
# distinct values that make ranges, and their share: fewer may come from people beside an attack
_DISTINCT, _OTHERS = 4, 0.05
_BITS_MAX = 8  # values of flags in one box
_WEIGHT = 3.0  # weight of normal traffic against the attack
_SOME = 0.004  # share of normal traffic that is added for traffic that was not seen


@dataclass(frozen=True, slots=True)
class Choice:
    """A component that a box may get, and its gain in bits."""

    gain: float
    name: str
    value: Value


def choices(
    split: Split,
    components: dict[str, Value],
    ranges: bool = True,
    names: Iterable[str] = CHOICES,
) -> Iterator[Choice]:
    """A choice for each component of `names` that a box lacks.

    Without `ranges`, only single values are chosen.
    """
    for name in names:
        if name not in components:
            choice = _bits(split, name) if name in BITS else _numbers(split, name, ranges)
            if choice is not None:
                yield choice


@dataclass(frozen=True, slots=True)
class _Bins:
    """Values, or ranges of values, with their mass; `excess` may be less than 0."""

    values: list[Any]
    excess: NDArray[np.float64]
    normal: NDArray[np.float64]


def _gainful(split: Split, bins: _Bins) -> tuple[float, list[Any]]:
    """The largest gain (FOIL, in bits), and the values that have it together."""
    scale = _WEIGHT * split.excess
    normal = scale * (bins.normal + _SOME / max(len(bins.values), 1))
    order = np.argsort(-bins.excess / np.maximum(normal, 1e-12), kind="stable")
    attack = np.cumsum(np.maximum(bins.excess[order], 0.0))
    hit = np.cumsum(normal[order])
    before = np.log2(split.excess / (split.excess + scale * (split.normal.total + _SOME)))
    gains = attack * (
        np.log2(np.maximum(attack, 1e-12) / (np.maximum(attack, 1e-12) + hit)) - before
    )
    best = int(np.argmax(gains))
    return float(gains[best]), [bins.values[place] for place in order[: best + 1].tolist()]


def _sums(places: NDArray[Any], mass: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    chosen = places >= 0
    return np.bincount(places[chosen], mass[chosen], count)


def _bits(split: Split, name: str) -> Choice | None:
    by = DIMENSIONS[name]
    now, normal = by.keys(split.now.packets), by.keys(split.normal.packets)
    values, counts = np.unique(now[now >= 0], return_counts=True)
    if not len(values):
        return None
    values = np.sort(values[np.argsort(-counts)][:_ALONE_MAX])
    bins = _counted(split, values, now, normal)
    gain, chosen = _gainful(split, bins)
    groups: Any = [(by.components(key) or {})[name] for key in chosen[:_BITS_MAX]]
    value: Bits = tuple(sorted(group for tests in groups for group in tests))
    return Choice(gain, name, value)


def _counted(split: Split, values: NDArray[Any], now: NDArray[Any], normal: NDArray[Any]) -> _Bins:
    """The mass of each of these single values."""
    of_now, of_normal = _places(values, now), _places(values, normal)
    count = len(values)
    hit = _sums(of_normal, split.normal.mass, count)
    excess = _sums(of_now, split.now.mass, count) - _sums(of_normal, split.own, count)
    return _Bins(values.tolist(), excess, hit)


def _places(values: NDArray[Any], wanted: NDArray[Any]) -> NDArray[np.int64]:
    """The place of each wanted value in the sorted `values`; -1 if it is not there."""
    at = np.searchsorted(values, wanted)
    at = np.minimum(at, len(values) - 1)
    return np.where(values[at] == wanted, at, -1)


def _numbers(split: Split, name: str, ranges: bool) -> Choice | None:
    now = split.now.packets[name].astype(np.int64)
    normal = split.normal.packets[name].astype(np.int64)
    present = now[now >= 0]
    if not len(present):
        return None
    alone = _alone(split, now, normal)
    others = (now >= 0) & ~np.isin(now, alone)
    rest = now[others]
    few = split.now.mass[others].sum() < _OTHERS * split.now.total
    if not ranges or few or len(np.unique(rest)) < _DISTINCT:
        rest = rest[:0]
    edges = _edges(rest, normal, alone, COMPONENTS[name].most)
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
    return Choice(gain, name, value) if value else None


def _alone(split: Split, now: NDArray[np.int64], normal: NDArray[np.int64]) -> NDArray[np.int64]:
    """The values that are frequent enough, now or before, to be tested singly; sorted."""
    frequent: list[int] = []
    for values, mass in ((now, split.now.mass), (normal, split.normal.mass)):
        known = values >= 0
        distinct, places, counts = np.unique(values[known], return_inverse=True, return_counts=True)
        if not len(distinct):
            continue
        sums = np.bincount(places, mass[known], len(distinct))
        order = np.argsort(-sums)[: _ALONE_MAX // 2]
        enough = (sums[order] >= _FREQUENT * mass.sum()) & (counts[order] >= _SEEN_MIN)
        frequent += distinct[order[enough]].tolist()
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
    """The bin of each value, -1 if there is none; bins of single values come first."""
    bins = _places(alone, values) if len(alone) else np.full(len(values), -1)
    if len(edges) < 2:
        return bins
    at = np.searchsorted(edges, values, "right") - 1
    inside = (at >= 0) & (at < len(edges) - 1) & (values >= 0)
    return np.where(bins >= 0, bins, np.where(inside, at + len(alone), -1))


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
