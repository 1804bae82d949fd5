# SPDX-License-Identifier: GPL-2.0-or-later
"""Matches that explain what is more than before. Pure.

Each is a box (`xdpctl/traffic/boxes.py`) that keeps much of what is new and leaves out much of what
was there before, with the addresses to which and from which most of it goes.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xdpctl.errors import RuleError
from xdpctl.model.match.match import Match, Value, join, matching
from xdpctl.traffic.baseline import Before
from xdpctl.traffic.boxes import BOXES_MAX, REST, common, grow
from xdpctl.traffic.dimensions import DIMENSIONS, stand
from xdpctl.traffic.packets import PacketArray
from xdpctl.traffic.select import takes
from xdpctl.traffic.split import Side, Split
from xdpctl.traffic.top import error

_WHERETO = ("destination", "destination_network")
_WHERE = (_WHERETO, ("source", "source_network"))
_SHARED = ("protocol", "tcp_flags", "icmp", "source_port", "destination_port")
_VALUES = 6
_NEW = 0.7  # a match whose packets are less new than this explains nothing
_OLD = 0.1  # of the rate now: if there was less before, nearly all of the packets are new
_CLEAN = 0.005  # of what was before, at most, in a match that need not be narrower
_MOST_OF_IT = 0.5  # of what is more: what an address takes at least
_LITTLE = 0.05  # of the packets: less is chance
# without a before
_TELLING = ("source_port", "destination_port", "icmp")
_MANY = 1_000  # packets a second: of fewer nothing is concluded
_FREQUENT, _MOST, _NEARLY_ALL = 0.08, 0.6, 0.95
_CLEARLY = 1.02  # of two that take as much, the one that tells more comes first
_FEW = 30  # sampled packets, of which nothing is concluded


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A match, and what it takes: of the packets now, and of those before (None: not known).

    Rates are of packets or bits a second, shares 0 to 1, with the half width of their 95 %
    confidence interval.
    """

    match: Match
    packets: float
    bits: float
    share: float
    error: float
    before: float | None
    before_error: float | None
    before_packets: float | None

    @property
    def is_more(self) -> bool:
        """Whether it takes more than twice of what it did before, and not by chance alone."""
        if self.before is None or self.before_error is None or self.before_packets is None:
            return True
        least = self.packets * (1 - self.error / self.share)
        most = self.before_packets * (1 + self.before_error / self.before) if self.before else 0.0
        return least > 2 * most


def suggest(packets: PacketArray, seconds: float, before: Before) -> list[Suggestion]:
    """Up to five matches for the packets seen in `seconds`, those that explain most first.

    If there was more traffic before than now, shares are compared, and not rates.
    """
    now = _side(packets, seconds)
    was = _side(before.packets, before.seconds)
    if not len(was.packets):
        return _most_frequent(now)
    mass = was.mass * min(1.0, now.total / was.total) / (now.total or 1.0)
    rest = Split(
        Side(packets, now.mass / (now.total or 1.0)), Side(was.packets, mass), np.zeros(len(mass))
    )
    found: list[Suggestion] = []
    while len(found) < BOXES_MAX and len(rest.now.packets) >= _FEW:
        match = _match(rest)
        if match is None:
            break
        chosen, chosen_before = takes(match, rest.now.packets), takes(match, rest.normal.packets)
        taken = float(rest.now.mass[chosen].sum())
        if taken < REST or taken < _NEW * (taken + float(rest.normal.mass[chosen_before].sum())):
            break
        found.append(_told(match, now, was))
        rest = rest.of(~chosen, ~chosen_before)
    return found


def _most_frequent(now: Side) -> list[Suggestion]:
    """Without a before: the ports or types of which few make up most of many packets.

    A match of an address alone would take everything that its host receives, so there is none.
    """
    if now.total < _MANY or len(now.packets) < _FEW:
        return []
    best: list[tuple[float, Match]] = []
    for name in _TELLING:
        keys = DIMENSIONS[name].keys(now.packets)
        found = []
        for key in _frequent(keys, now.mass):
            part = now.of(keys == np.array(key, keys.dtype))
            components = DIMENSIONS[name].components(key) or {}
            match = _joined(
                components | common(part, components, _NEARLY_ALL, (*_SHARED, *_WHERETO))
            )
            if match and part.total >= _FREQUENT * now.total:
                found.append((part.total, match))
        if sum(rate for rate, _ in found) > _CLEARLY * sum(rate for rate, _ in best):
            best = found
    if sum(rate for rate, _ in best) < _MOST * now.total:
        return []
    return [_told(match, now, None) for _, match in best[:BOXES_MAX]]


def _side(packets: PacketArray, seconds: float) -> Side:
    """Packets, and the rate that each stands for."""
    return Side(packets, packets["weight"] / seconds if seconds else np.zeros(len(packets)))


def _match(rest: Split) -> Match | None:
    """One match; None if nothing of the packets is new, or nothing tells them apart.

    A box first, and then where its packets go; or the other way round.
    """
    clean = _CLEAN * rest.normal.total

    def grown(split: Split, given: dict[str, Value]) -> Match | None:
        return grow(split, given, lambda left: left.normal.total <= clean, False, _SHARED)

    box = grown(rest, {})
    if box is not None:
        return _joined(dict(box.components) | _where(_of(rest, box)))
    given = _where(rest)
    inside = _of(rest, _one(given))
    if box := grown(inside, given):
        return box
    if not given and rest.normal.total > _OLD * rest.now.total:
        return None
    return _joined(given | common(inside.now, given, _NEARLY_ALL, (*_SHARED, *_WHERETO)))


def _of(split: Split, match: Match) -> Split:
    return split.of(takes(match, split.now.packets), takes(match, split.normal.packets))


def _where(split: Split) -> dict[str, Value]:
    """The addresses or networks to which and from which most goes of what is more."""
    given: dict[str, Value] = {}
    for names in _WHERE:
        if found := _place(split, names):
            given |= found
            split = _of(split, _one(found))
    return given


def _place(split: Split, names: tuple[str, ...]) -> dict[str, Value]:
    """The first that takes nearly all of what is more, else the first that takes most of it."""
    best: dict[str, Value] = {}
    for name in names:
        by = DIMENSIONS[name]
        keys = np.concatenate([by.keys(each.packets) for each in (split.now, split.normal)])
        values, places = np.unique(keys, return_inverse=True)
        more = np.bincount(places, np.concatenate([split.now.mass, -split.normal.mass]))
        more[~stand(values)] = 0.0
        all_of_it = max(float(np.maximum(more, 0.0).sum()), _LITTLE * split.now.total)
        most = int(np.argmax(more)) if len(more) else 0
        if not len(more) or more[most] < _MOST_OF_IT * all_of_it:
            continue
        components = by.components(values[most].item())
        if components and more[most] >= _NEARLY_ALL * all_of_it:
            return components
        best = best or components or {}
    return best


def _frequent(keys: NDArray[Any], rates: NDArray[np.float64]) -> list[Any]:
    values, places = np.unique(keys, return_inverse=True)
    counts = np.bincount(places, rates)
    known = stand(values)
    order = [place for place in np.argsort(-counts).tolist() if known[place]]
    return [values[place].item() for place in order[:_VALUES]]


def _joined(components: dict[str, Value]) -> Match | None:
    """The match of these components; None if no packet can have them all."""
    try:
        return join(components) if components else None
    except RuleError:
        return None


def _one(components: dict[str, Value]) -> Match:
    return matching(tuple(components.items()))


def _told(match: Match, now: Side, was: Side | None) -> Suggestion:
    chosen = takes(match, now.packets)
    kept, weights = now.of(chosen), now.packets["weight"].astype(np.float64)
    share = kept.total / now.total
    effective = float(weights.sum()) ** 2 / float((weights * weights).sum())
    before = rate_before = None
    if was is not None:
        rate_before = float(was.mass[takes(match, was.packets)].sum())
        before = rate_before / was.total
    return Suggestion(
        match=match,
        packets=kept.total,
        bits=float((kept.mass * kept.packets["length"]).sum()) * 8,
        share=share,
        error=error(share, effective),
        before=before,
        before_error=None if was is None or before is None else error(before, len(was.packets)),
        before_packets=rate_before,
    )
