# SPDX-License-Identifier: GPL-2.0-or-later
"""The most frequent values of a dimension in sampled packets, with rates and errors. Pure."""

from dataclasses import dataclass, replace
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from xdpctl.base.net.prefix import Prefix
from xdpctl.errors import RuleError
from xdpctl.model.match.components import NEEDS
from xdpctl.model.match.match import Match, Value, join
from xdpctl.traffic.dimensions import DIMENSIONS, Dimension, stand
from xdpctl.traffic.packets import PacketArray
from xdpctl.traffic.select import takes
from xdpctl.traffic.window import Seen

_NORMAL_95 = 1.96
_NEARLY_ALL = 0.95  # a match names the destination or protocol that this share has in common


@dataclass(frozen=True, slots=True)
class Row:
    """A value of the dimension. Rates are a second; `share` is of the packets, 0 to 1.

    `error` is the half width of the share's 95 % confidence interval. `match` names the value, and
    the protocol and destination that at least 95 % of the row's packets have; None if no match can.
    """

    value: str
    packets: float
    bits: float
    share: float
    error: float
    match: Match | None


@dataclass(frozen=True, slots=True)
class Top:
    """The rows, most packets first, and the totals of all chosen packets.

    `without` is the share of the packets that do not have the property at all.
    """

    rows: list[Row]
    sampled: int
    packets: float
    bits: float
    without: float


def top(
    packets: PacketArray,
    seconds: float,
    by: Dimension,
    limit: int = 10,
    where: Match | None = None,
) -> Top:
    """Count the packets of `seconds` by a dimension; with `where`, only those that it takes."""
    chosen = packets[takes(where, packets)] if where else packets
    weights = chosen["weight"].astype(np.float64)
    octets = weights * chosen["length"]
    total = float(weights.sum())
    if not total or not seconds:
        return Top([], len(chosen), 0.0, 0.0, 0.0)
    keys = by.keys(chosen)
    values, places = np.unique(keys, return_inverse=True)
    counts, sizes = np.bincount(places, weights), np.bincount(places, octets)
    known = stand(values)
    order = [place for place in np.argsort(-counts, kind="stable").tolist() if known[place]]
    samples = effective(weights)
    rows = []
    for place in order[:limit]:
        share, key = float(counts[place]) / total, values[place].item()
        rows.append(
            Row(
                by.name(key),
                float(counts[place]) / seconds,
                float(sizes[place]) * 8 / seconds,
                share,
                error(share, samples),
                _match(by.components(key), where, chosen[places == place]),
            )
        )
    without = float(counts[~known].sum()) / total
    return Top(rows, len(chosen), total / seconds, float(octets.sum()) * 8 / seconds, without)


def without_matches(ranking: Top) -> Top:
    """The same without matches: a match is about what comes in."""
    return replace(ranking, rows=[replace(row, match=None) for row in ranking.rows])


def error(share: float, samples: float) -> float:
    """The half width of a share's 95 % confidence interval (Agresti and Coull, 1998)."""
    return _interval(share, samples)[1]


def most(share: float, samples: float) -> float:
    """The upper end of a share's 95 % confidence interval."""
    return min(1.0, sum(_interval(share, samples)))


def _interval(share: float, samples: float) -> tuple[float, float]:
    """The centre and the half width of the interval."""
    n = samples + _NORMAL_95**2
    centre = (share * samples + _NORMAL_95**2 / 2) / n
    return centre, _NORMAL_95 * sqrt(centre * (1 - centre) / n)


def effective(weights: NDArray[np.float64]) -> float:
    """The number of equal samples that tell as much as samples of these weights (Kish, 1965)."""
    squares = float((weights * weights).sum())
    return float(weights.sum()) ** 2 / squares if squares else 0.0


def _match(
    components: dict[str, Value] | None, where: Match | None, packets: PacketArray
) -> Match | None:
    """A match of a row's packets; None if there is none, as for the dimension `reason`."""
    if components is None:
        return None
    parts = dict(where.components if where else ())
    parts |= {name: _narrower(value, parts.get(name)) for name, value in components.items()}
    for name in ("protocol", "destination", "destination_network"):
        common = _common(name, packets) or {}
        parts = common | parts
    if not _complete(parts):
        return None
    try:
        return join(parts)
    except RuleError:  # no match may have these components together
        return None


def _narrower(value: Value, other: Value | None) -> Value:
    """The narrower of two prefixes if the first covers the second; else the first value."""
    if isinstance(value, Prefix) and isinstance(other, Prefix) and value.covers(other):
        return other
    return value


def _complete(parts: dict[str, Value]) -> bool:
    """Whether the protocol is given where a component needs one."""
    return "protocol" in parts or not any(name in NEEDS for name in parts)


def _common(name: str, packets: PacketArray) -> dict[str, Value] | None:
    """The value that nearly all packets have, as a component; None if there is none."""
    by = DIMENSIONS[name]
    values, places = np.unique(by.keys(packets), return_inverse=True)
    counts = np.bincount(places, packets["weight"])
    place = int(counts.argmax())
    if not stand(values)[place] or counts[place] < _NEARLY_ALL * counts.sum():
        return None
    return by.components(values[place].item())


def rates_by_slot(window: Seen) -> dict[int, float]:
    """Estimated packets a second by the slot of the rule that decided about them."""
    if not len(window.packets) or not window.seconds:
        return {}
    slots, places = np.unique(window.packets["slot"], return_inverse=True)
    counts = np.bincount(places, window.packets["weight"]) / window.seconds
    return dict(zip(slots.tolist(), counts.tolist(), strict=True))
