# SPDX-License-Identifier: GPL-2.0-or-later
"""The most frequent values of a dimension in sampled packets, with rates and errors. Pure."""

from dataclasses import dataclass
from math import sqrt

import numpy as np

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
    the protocol and destination that at least 95 % of the row's packets have; None if none can.
    """

    value: str
    packets: float
    bits: float
    share: float
    error: float
    match: Match | None


@dataclass(frozen=True, slots=True)
class Top:
    """The rows, most packets first, and what all of the chosen packets are together.

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
    """Count packets that were seen in `seconds` by a dimension; `where` leaves out others."""
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
    effective = total * total / float((weights * weights).sum())
    rows = []
    for place in order[:limit]:
        share, key = float(counts[place]) / total, values[place].item()
        rows.append(
            Row(
                by.name(key),
                float(counts[place]) / seconds,
                float(sizes[place]) * 8 / seconds,
                share,
                error(share, effective),
                _match(by.components(key), where, chosen[places == place]),
            )
        )
    without = float(counts[~known].sum()) / total
    return Top(rows, len(chosen), total / seconds, float(octets.sum()) * 8 / seconds, without)


def error(share: float, samples: float) -> float:
    """The half width of a share's 95 % confidence interval (Agresti and Coull, 1998)."""
    n = samples + _NORMAL_95**2
    centre = (share * samples + _NORMAL_95**2 / 2) / n
    return _NORMAL_95 * sqrt(centre * (1 - centre) / n)


def _match(
    given: dict[str, Value] | None, where: Match | None, packets: PacketArray
) -> Match | None:
    """A match of a row's packets; None if there is none, such as for a reason."""
    if given is None:
        return None
    found = dict(where.components if where else ())
    found |= {name: _narrower(value, found.get(name)) for name, value in given.items()}
    for name in ("protocol", "destination", "destination_network"):
        common = _common(name, packets) or {}
        found = common | found
    if not _complete(found):
        return None
    try:
        return join(found)
    except RuleError:  # the packets of this row have nothing that a match may ask for together
        return None


def _narrower(value: Value, other: Value | None) -> Value:
    """The narrower one of two prefixes, of which one covers the other; else the first value."""
    if isinstance(value, Prefix) and isinstance(other, Prefix) and value.covers(other):
        return other
    return value


def _complete(found: dict[str, Value]) -> bool:
    """Whether the protocol is given where a component needs one."""
    return "protocol" in found or not any(name in NEEDS for name in found)


def _common(name: str, packets: PacketArray) -> dict[str, Value] | None:
    """The value that nearly all of the packets have, as a component."""
    by = DIMENSIONS[name]
    values, places = np.unique(by.keys(packets), return_inverse=True)
    counts = np.bincount(places, packets["weight"])
    place = int(counts.argmax())
    if not stand(values)[place] or counts[place] < _NEARLY_ALL * counts.sum():
        return None
    return by.components(values[place].item())


def rates_by_slot(seen: Seen) -> dict[int, float]:
    """Packets a second by the number of the slot that decided about them; estimated."""
    if not len(seen.packets) or not seen.seconds:
        return {}
    slots, places = np.unique(seen.packets["slot"], return_inverse=True)
    counts = np.bincount(places, seen.packets["weight"]) / seen.seconds
    return dict(zip(slots.tolist(), counts.tolist(), strict=True))
