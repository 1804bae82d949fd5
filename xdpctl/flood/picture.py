# SPDX-License-Identifier: GPL-2.0-or-later
"""Shares of packets that show how a match separates an attack from normal traffic. Pure."""

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xdpctl.abi.constants import Traffic
from xdpctl.flood.normal import Normal
from xdpctl.model.finding import BINS_MAX, VALUES_MAX, Deciding, Distribution
from xdpctl.model.match.match import Match, matching
from xdpctl.traffic.dimensions import DIMENSIONS
from xdpctl.traffic.packets import PacketArray
from xdpctl.traffic.select import takes

_ALONE_MAX = 12
_TEXT_MAX = 120
_BARS = 10


def _normal(normal: Normal, kind: Traffic) -> PacketArray:
    """The normal packets of the kind."""
    own: PacketArray = normal.packets[normal.kinds == kind]
    return own


def deciding(
    match: Match, window: PacketArray, normal: Normal, kind: Traffic
) -> tuple[Deciding, ...]:
    """Each component with its shares, those that separate best first."""
    before, shares = _normal(normal, kind), []
    for name, value in match.components:
        if name == "destination":
            continue
        single = matching(((name, value),))
        now_share = _share(single, window)
        before_share = _share(single, before) if len(before) else None
        text = single.as_json()[name][:_TEXT_MAX]
        shares.append(Deciding(name, text, now_share, before_share))
    return tuple(sorted(shares, key=lambda share: (share.before or 0.0) - share.now))[:VALUES_MAX]


def _share(match: Match, packets: PacketArray) -> float:
    weights = packets["weight"].astype(np.float64)
    total = weights.sum()
    return float(weights[takes(match, packets)].sum() / total) if total else 0.0


def picture(
    match: Match, window: PacketArray, normal: Normal, kind: Traffic
) -> Distribution | None:
    """The distribution of the component that separates best, now and before."""
    before = _normal(normal, kind)
    order = [share.component for share in deciding(match, window, normal, kind)]
    name = next((component for component in order if component in DIMENSIONS), None)
    if name is None or not len(before):
        return None
    by = DIMENSIONS[name]
    now_keys, before_keys = by.keys(window), by.keys(before)
    now_mass, before_mass = (_mass(packets) for packets in (window, before))
    values = np.unique(np.concatenate([now_keys, before_keys]))
    values = values[values >= 0]
    if not len(values):
        return None
    if len(values) <= _ALONE_MAX or name in ("tcp_flags", "fragment"):
        sums = sum(
            _sums(values, keys, mass)
            for keys, mass in ((now_keys, now_mass), (before_keys, before_mass))
        )
        shown = np.sort(values[np.argsort(-sums)][:_ALONE_MAX])
        labels = [by.name(key) for key in shown.tolist()]
        rows = [
            _sums(shown, keys, mass)
            for keys, mass in ((now_keys, now_mass), (before_keys, before_mass))
        ]
    else:
        edges = np.unique(np.quantile(values, np.linspace(0, 1, _BARS + 1)).astype(np.int64))
        labels = [f"{low}-{high - 1}" for low, high in pairwise(edges.tolist())]
        labels[-1] = f"{edges[-2]}-{edges[-1]}"
        rows = [
            _binned(edges, keys, mass)
            for keys, mass in ((now_keys, now_mass), (before_keys, before_mass))
        ]
    now, old = (tuple(round(float(share), 4) for share in row[:BINS_MAX]) for row in rows)
    return Distribution(name, tuple(labels[:BINS_MAX]), now, old)


def _mass(packets: PacketArray) -> NDArray[np.float64]:
    weights = packets["weight"].astype(np.float64)
    return weights / max(float(weights.sum()), 1.0)


def _sums(values: NDArray[Any], keys: NDArray[Any], mass: NDArray[np.float64]) -> NDArray[Any]:
    at = np.minimum(np.searchsorted(values, keys), len(values) - 1)
    same = values[at] == keys
    return np.bincount(at[same], mass[same], len(values))


def _binned(edges: NDArray[Any], keys: NDArray[Any], mass: NDArray[np.float64]) -> NDArray[Any]:
    known = keys >= 0
    at = np.clip(np.searchsorted(edges, keys[known], "right") - 1, 0, len(edges) - 2)
    return np.bincount(at, mass[known], len(edges) - 1)
