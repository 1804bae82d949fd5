# SPDX-License-Identifier: GPL-2.0-or-later
"""The narrowest matches that explain what is more than before. Pure.

A match grows by the component with the most gain (FOIL: Quinlan, 1990): the one that keeps much of
what is new and leaves out much of what was there before. Then it takes everything that nearly all
of its packets have in common.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import log2
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xdpctl.errors import RuleError
from xdpctl.model.match.match import Match, Value, join
from xdpctl.traffic.baseline import Before
from xdpctl.traffic.dimensions import DIMENSIONS, stand
from xdpctl.traffic.packets import PacketArray
from xdpctl.traffic.select import takes
from xdpctl.traffic.top import error

# the first ones first: of equal gain, what tells more about the attack
_GROWING = (
    *("destination", "destination_network", "protocol", "source_port", "destination_port"),
    *("tcp_flags", "fragment", "icmp", "packet_length", "source_network", "source", "ttl"),
)
_NARROWING = (
    *("protocol", "tcp_flags", "icmp", "source_port", "destination_port", "destination"),
    "destination_network",
)
_MATCHES_MAX, _COMPONENTS_MAX, _VALUES = 5, 5, 6
_ALL = 0.997  # what so many of a match's packets share narrows it
_REST = 0.06  # less than this share of the packets needs no match
_NEW = 0.7  # a match whose packets are less new than this explains nothing
_OLD = 0.1  # of the rate now: if there was less before, nearly all of the packets are new
# without a before
_TELLING = ("source_port", "destination_port", "icmp")
_MANY = 1_000  # packets a second: of fewer nothing is concluded
_FREQUENT, _MOST, _NEARLY_ALL = 0.08, 0.6, 0.95
_CLEARLY = 1.02  # of two that take as much, the one that tells more comes first
_FEW = 30  # sampled packets, of which nothing is concluded
_GAIN = 0.02  # of the packets, in bits: less gain is chance


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


@dataclass(frozen=True, slots=True)
class _Side:
    """Packets, the rate that each stands for, and which of them are left."""

    packets: PacketArray
    rates: NDArray[np.float64]

    def of(self, chosen: NDArray[np.bool_]) -> "_Side":
        return _Side(self.packets[chosen], self.rates[chosen])

    @property
    def rate(self) -> float:
        return float(self.rates.sum())


def suggest(packets: PacketArray, seconds: float, before: Before) -> list[Suggestion]:
    """Up to five matches for the packets seen in `seconds`, those that explain most first.

    If there was more traffic before than now, shares are compared, and not rates.
    """
    now = _side(packets, seconds)
    was = _side(before.packets, before.seconds)
    if not len(was.packets):
        return _most_frequent(now)
    compared = _Side(was.packets, was.rates * min(1.0, now.rate / was.rate))
    found: list[Suggestion] = []
    rest, rest_before = now, compared
    while len(found) < _MATCHES_MAX and len(rest.packets) >= _FEW:
        match = _grow(rest, rest_before)
        if match is None:
            break
        chosen, chosen_before = takes(match, rest.packets), takes(match, rest_before.packets)
        taken, taken_before = rest.of(chosen).rate, rest_before.of(chosen_before).rate
        if taken < _REST * now.rate or taken < _NEW * (taken + taken_before):
            break
        found.append(_told(match, now, was))
        rest, rest_before = rest.of(~chosen), rest_before.of(~chosen_before)
    return found


def _most_frequent(now: _Side) -> list[Suggestion]:
    """Without a before: the ports or types of which few make up most of many packets.

    A match of an address alone would take everything that its host receives, so there is none.
    """
    if now.rate < _MANY or len(now.packets) < _FEW:
        return []
    best: list[tuple[float, Match]] = []
    for name in _TELLING:
        keys = DIMENSIONS[name].keys(now.packets)
        found = []
        for key in _frequent(keys, now.rates):
            part = now.of(keys == np.array(key, keys.dtype))
            components = DIMENSIONS[name].components(key) or {}
            match = _joined(components | _common(part, components, _NEARLY_ALL))
            if match and part.rate >= _FREQUENT * now.rate:
                found.append((part.rate, match))
        if sum(rate for rate, _ in found) > _CLEARLY * sum(rate for rate, _ in best):
            best = found
    if sum(rate for rate, _ in best) < _MOST * now.rate:
        return []
    return [_told(match, now, None) for _, match in best[:_MATCHES_MAX]]


def _side(packets: PacketArray, seconds: float) -> _Side:
    return _Side(packets, packets["weight"] / seconds if seconds else np.zeros(len(packets)))


def _grow(now: _Side, was: _Side) -> Match | None:
    """One match; None if nothing of the packets is new, or nothing tells them apart."""
    components: dict[str, Value] = {}
    while len(components) < _COMPONENTS_MAX and len(now.packets) >= _FEW:
        best = max(_gains(now, was, components), key=lambda each: each[0], default=None)
        if best is None or best[0] < _GAIN * now.rate:
            break
        components |= best[1]
        now, was = now.of(best[2]), was.of(takes(_one(best[1]), was.packets))
    if not components:  # nothing tells new from old packets: nearly all may be new
        few_old = was.rate <= _OLD * now.rate
        return _joined(_common(now, {}, _NEARLY_ALL)) if few_old else None
    return _joined(components | _common(now, components, _ALL))


def _gains(
    now: _Side, was: _Side, given: dict[str, Value]
) -> Iterator[tuple[float, dict[str, Value], NDArray[np.bool_]]]:
    """Each component that can be added: its gain, and which of the packets it keeps."""
    for name in _GROWING:
        by = DIMENSIONS[name]
        keys = by.keys(now.packets)
        for key in _frequent(keys, now.rates):
            components = by.components(key)
            if components is None or not given.keys().isdisjoint(components):
                continue
            kept = keys == np.array(key, keys.dtype)
            after = float(was.rates[takes(_one(components), was.packets)].sum())
            yield _gain(now.rate, was.rate, float(now.rates[kept].sum()), after), components, kept


def _gain(now: float, was: float, now_kept: float, was_kept: float) -> float:
    """FOIL's gain in bits: how much purer the packets become, for each of them that is kept."""
    # what was never seen may still be there: a hundredth of the rate is added to both
    some = now / 100
    pure, kept_share = log2(now / (now + was + some)), now_kept / now
    return now_kept * (log2(now_kept / (now_kept + was_kept + some * kept_share)) - pure)


def _frequent(keys: NDArray[Any], rates: NDArray[np.float64]) -> list[Any]:
    values, places = np.unique(keys, return_inverse=True)
    counts = np.bincount(places, rates)
    known = stand(values)
    order = [place for place in np.argsort(-counts).tolist() if known[place]]
    return [values[place].item() for place in order[:_VALUES]]


def _common(now: _Side, given: dict[str, Value], least: float) -> dict[str, Value]:
    """What this share of the packets has in common, beside the given components."""
    found: dict[str, Value] = {}
    for name in _NARROWING:
        by = DIMENSIONS[name]
        keys = by.keys(now.packets)
        for key in _frequent(keys, now.rates)[:1]:
            components = by.components(key)
            share = float(now.rates[keys == np.array(key, keys.dtype)].sum()) / (now.rate or 1.0)
            if components and share >= least and (given | found).keys().isdisjoint(components):
                found |= components
    return found


def _joined(components: dict[str, Value]) -> Match | None:
    """The match of these components; None if no packet can have them all."""
    try:
        return join(components)
    except RuleError:
        return None


def _one(components: dict[str, Value]) -> Match:
    return Match(tuple(components.items()))


def _told(match: Match, now: _Side, was: _Side | None) -> Suggestion:
    chosen = takes(match, now.packets)
    kept, weights = now.of(chosen), now.packets["weight"].astype(np.float64)
    share = kept.rate / now.rate
    effective = float(weights.sum()) ** 2 / float((weights * weights).sum())
    before = rate_before = None
    if was is not None:
        rate_before = float(was.rates[takes(match, was.packets)].sum())
        before = rate_before / was.rate
    return Suggestion(
        match=match,
        packets=kept.rate,
        bits=float((kept.rates * kept.packets["length"]).sum()) * 8,
        share=share,
        error=error(share, effective),
        before=before,
        before_error=None if was is None or before is None else error(before, len(was.packets)),
        before_packets=rate_before,
    )
