# SPDX-License-Identifier: GPL-2.0-or-later
"""Limits sources that send far more in known flows than any source did before. Pure.

The source of a known flow is not forged, but it may still attack. The limit is for each source
towards the victim, and is never below the highest rate that one source normally has. A host that
has learnt nothing yet limits nobody.
"""

from collections.abc import Iterator

import numpy as np

from xdpctl.abi.constants import Traffic
from xdpctl.base.net.prefix import Prefix
from xdpctl.base.units import si3
from xdpctl.flood.counts import Chunk
from xdpctl.flood.judge import Proposal
from xdpctl.flood.shapes import shape
from xdpctl.flood.usual import Key, Usual
from xdpctl.model.effect import Action
from xdpctl.model.expectation import Raises, raised
from xdpctl.model.finding import Finding
from xdpctl.model.match.match import join
from xdpctl.model.rate import Rate
from xdpctl.traffic.packets import PacketArray, destination, joined

_SECOND = 1.0
_TIMES = 4.0  # times the highest normal rate of one source
_FLOOR, _OF_TCP = 10_000.0, 50_000.0  # packets a second
_NOTED = 0.05  # share of the floor: lower rates are not remembered
_HEADS_MIN = 24
_ALL_TTLS = ((0, 255),)  # makes these matches differ from matches of limits on unknown flows


class Ceilings:
    """`usual` holds the highest rate of one source in known flows, by destination and kind."""

    def __init__(self, usual: Usual) -> None:
        self.usual = usual
        self._gathered: list[PacketArray] = []
        self._seconds = 0.0

    def step(
        self, unix: float, known: Chunk, fresh: bool, expected: Raises = ()
    ) -> Iterator[tuple[Prefix, Proposal]]:
        """Take packets of known flows; once a second, yield the limits and their victims."""
        self._gathered.append(known.packets)
        self._seconds += known.seconds
        if self._seconds < _SECOND:
            return
        packets = joined(self._gathered)
        seconds, self._gathered, self._seconds = self._seconds, [], 0.0
        normal: dict[Key, float] = {}
        for key, rate, heads in _largest(packets, seconds):
            floor = _OF_TCP if key[1] is Traffic.TCP else _FLOOR
            ceiling = max(floor, _TIMES * self.usual.best(key))
            most = raised(expected, *key, ceiling)
            if not fresh and rate >= most and heads >= _HEADS_MIN:
                yield key[0], _limit(key, rate, ceiling, self.usual.best(key), heads)
            if rate >= _NOTED * floor:
                normal[key] = rate if fresh else min(rate, ceiling)
        self.usual.note(unix, normal)


def _largest(packets: PacketArray, seconds: float) -> Iterator[tuple[Key, float, int]]:
    """The rate of the largest source of each destination and kind, and its heads."""
    columns = np.rec.fromarrays([packets[name] for name in ("destination", "traffic", "source")])
    triples, first, places = np.unique(columns, return_index=True, return_inverse=True)
    rates = np.bincount(places, packets["weight"], len(triples)) / seconds
    heads = np.bincount(places, minlength=len(triples))
    largest: dict[Key, tuple[float, int]] = {}
    for place in np.flatnonzero(rates >= _NOTED * _FLOOR).tolist():
        key = destination(packets[first[place]]), Traffic(int(packets["traffic"][first[place]]))
        largest[key] = max(largest.get(key, (0.0, 0)), (float(rates[place]), int(heads[place])))
    for key, (rate, count) in largest.items():
        yield key, rate, count


def _limit(key: Key, rate: float, ceiling: float, usual: float, heads: int) -> Proposal:
    victim, kind = key
    match = join({"destination": victim, **shape(kind, victim.family), "ttl": _ALL_TTLS})
    was = f"the highest normal rate is {si3(usual)}" if usual else "none was known to send as many"
    why = f"one source sends {si3(rate)} packets/s in known flows; {was}"
    finding = Finding(
        kind=kind.setting, rate=rate, threshold=ceiling, usual=usual, heads=heads, because=(why,)
    )
    limit = Rate(pps=ceiling, per_ipv4=32, per_ipv6=64)
    return Proposal(match, Action.LIMIT, finding, limit, known=True)
