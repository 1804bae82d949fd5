# SPDX-License-Identifier: GPL-2.0-or-later
"""Suggests matches that explain why there is more traffic than before. Pure.

Each is a box (`xdpctl/traffic/boxes.py`) that takes much of the new traffic and little of the
earlier traffic, with the addresses to which and from which most of it goes. Known flows are people
who are being served, so what they send is counted, but no match is made for it.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xdpctl.abi.constants import FlowState
from xdpctl.errors import RuleError
from xdpctl.model.match.components import TCP_FLAGS
from xdpctl.model.match.match import Match, Value, join, matching
from xdpctl.traffic.baseline import Before
from xdpctl.traffic.boxes import BOXES_MAX, REST, common, grow
from xdpctl.traffic.dimensions import DIMENSIONS, stand
from xdpctl.traffic.packets import PacketArray
from xdpctl.traffic.select import takes
from xdpctl.traffic.split import Side, Split
from xdpctl.traffic.top import effective, error

_WHERETO = ("destination", "destination_network")
_WHERE = (_WHERETO, ("source", "source_network"))
_SHARED = ("protocol", "tcp_flags", "icmp", "source_port", "destination_port")
_VALUES = 6
_NEW = 0.7  # share of a match's packets that must be new: else it explains nothing
_OLD = 0.1  # share of the rate now: if there was less before, nearly all packets are new
_CLEAN = 0.005  # share of the earlier traffic: a match that takes less need not be narrower
_MOST_OF_IT = 0.5  # share of the increase that an address must take
_LITTLE = 0.05  # share of the packets: less is chance
# if no earlier traffic is known
_TELLING = ("source_port", "destination_port", "icmp")
_MANY = 1_000  # packets a second: fewer allow no conclusion
_FREQUENT, _MOST, _NEARLY_ALL = 0.08, 0.6, 0.95
_CLEARLY = 1.02  # times as much: else the dimension that comes first in `_TELLING` is taken
_FEW = 30  # sampled packets: fewer allow no conclusion


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A match, and how much it takes of the packets now, and of those before (None: not known).

    What known flows send counts in the whole of a share only, since rules on matches spare it.
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
        """Whether it takes more than twice as much as before, beyond chance."""
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
    ).of(unknown(packets), unknown(was.packets))
    suggestions: list[Suggestion] = []
    while len(suggestions) < BOXES_MAX and len(rest.now.packets) >= _FEW:
        match = _match(rest)
        if match is None:
            break
        chosen, chosen_before = takes(match, rest.now.packets), takes(match, rest.normal.packets)
        share = float(rest.now.mass[chosen].sum())
        if share < REST or share < _NEW * (share + float(rest.normal.mass[chosen_before].sum())):
            break
        suggestions.append(_told(match, now, was))
        rest = rest.of(~chosen, ~chosen_before)
    return suggestions


def unknown(packets: PacketArray) -> NDArray[np.bool_]:
    """Which packets belong to no known flow, as far as this host looks."""
    return np.asarray(packets["flow"] != FlowState.KNOWN)


def _most_frequent(every: Side) -> list[Suggestion]:
    """If no earlier traffic is known: a few ports or ICMP types that make up most packets.

    An address alone makes no match, because it would take everything that its host receives.
    """
    now = every.of(unknown(every.packets))
    if now.total < _MANY or len(now.packets) < _FEW:
        return []
    if match := _syns(now):
        return [_told(match, every, None)]
    best: list[tuple[float, Match]] = []
    for name in _TELLING:
        keys = DIMENSIONS[name].keys(now.packets)
        matches = []
        for key in _frequent(keys, now.mass):
            part = now.of(keys == np.array(key, keys.dtype))
            components = DIMENSIONS[name].components(key) or {}
            match = _joined(
                components | common(part, components, _NEARLY_ALL, (*_SHARED, *_WHERETO))
            )
            if match and part.total >= _FREQUENT * now.total:
                matches.append((part.total, match))
        if sum(rate for rate, _ in matches) > _CLEARLY * sum(rate for rate, _ in best):
            best = matches
    if sum(rate for rate, _ in best) < _MOST * now.total:
        return []
    return [_told(match, every, None) for _, match in best[:BOXES_MAX]]


def _syns(now: Side) -> Match | None:
    """The match of SYNs if they are most packets, which they are in no normal traffic."""
    key = np.uint16(TCP_FLAGS["syn"])
    keys = DIMENSIONS["tcp_flags"].keys(now.packets)
    part = now.of(keys == key)
    if part.total < _MOST * now.total:
        return None
    components = DIMENSIONS["tcp_flags"].components(int(key)) or {}
    return _joined(components | common(part, components, _NEARLY_ALL, (*_SHARED, *_WHERETO)))


def _side(packets: PacketArray, seconds: float) -> Side:
    """Packets, each with the rate for which it stands."""
    return Side(packets, packets["weight"] / seconds if seconds else np.zeros(len(packets)))


def _match(rest: Split) -> Match | None:
    """One match; None if no packets are new, or nothing separates them from the earlier ones.

    It is a box with the addresses of its packets, or else addresses with a box inside them.
    """
    clean = _CLEAN * rest.normal.total

    def grown(split: Split, where: dict[str, Value]) -> Match | None:
        return grow(split, where, lambda left: left.normal.total <= clean, False, _SHARED)

    box = grown(rest, {})
    if box is not None:
        return _joined(dict(box.components) | _where(_of(rest, box)))
    where = _where(rest)
    inside = _of(rest, _one(where))
    if box := grown(inside, where):
        return box
    if not where and rest.normal.total > _OLD * rest.now.total:
        return None
    return _joined(where | common(inside.now, where, _NEARLY_ALL, (*_SHARED, *_WHERETO)))


def _of(split: Split, match: Match) -> Split:
    return split.of(takes(match, split.now.packets), takes(match, split.normal.packets))


def _where(split: Split) -> dict[str, Value]:
    """The addresses or networks to which and from which most of the increase goes."""
    where: dict[str, Value] = {}
    for names in _WHERE:
        if address := _place(split, names):
            where |= address
            split = _of(split, _one(address))
    return where


def _place(split: Split, names: tuple[str, ...]) -> dict[str, Value]:
    """The first address or network that takes nearly all of the increase, else most of it."""
    best: dict[str, Value] = {}
    for name in names:
        by = DIMENSIONS[name]
        keys = np.concatenate([by.keys(side.packets) for side in (split.now, split.normal)])
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
    chosen = takes(match, now.packets) & unknown(now.packets)
    taken, weights = now.of(chosen), now.packets["weight"].astype(np.float64)
    share = taken.total / now.total
    before = rate_before = None
    if was is not None:
        rate_before = float(was.mass[takes(match, was.packets) & unknown(was.packets)].sum())
        before = rate_before / was.total
    return Suggestion(
        match=match,
        packets=taken.total,
        bits=float((taken.mass * taken.packets["length"]).sum()) * 8,
        share=share,
        error=error(share, effective(weights)),
        before=before,
        before_error=None if was is None or before is None else error(before, len(was.packets)),
        before_packets=rate_before,
    )
