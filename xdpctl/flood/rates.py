# SPDX-License-Identifier: GPL-2.0-or-later
"""The rates of kinds to hosts and protected prefixes: what is learnt, and the thresholds. Pure."""

from collections.abc import Set

import numpy as np

from xdpctl.abi.constants import Traffic
from xdpctl.base.net.prefix import Prefix
from xdpctl.flood.counts import Chunk, Second, Strata
from xdpctl.flood.settings import DetectSettings
from xdpctl.flood.usual import Key, Usual
from xdpctl.traffic.select import covers

_LEAST = 50.0  # packets a second
_NOTED = 0.1  # of the floor: lower rates are not remembered
BESIDE, _ABOVE = 0.2, 1.5  # of the floor, and times what was usual: beside an attack


class Rates:
    """`ours` are the protected prefixes, `usual` what is learnt."""

    def __init__(self, settings: DetectSettings, usual: Usual, ours: tuple[Prefix, ...]) -> None:
        self.settings, self.usual, self.ours = settings, usual, ours
        self._second = Second()

    @property
    def outermost(self) -> list[Prefix]:
        """The protected prefixes that are in no other one: what is inside is looked at with it."""
        return [
            each for each in self.ours
            if not any(other != each and other.covers(each) for other in self.ours)
        ]  # fmt: skip

    def floor(self, key: Key, taught: bool) -> float:
        """The rate below which a kind is no attack; `taught`: the flow memory is."""
        return self.settings.floor(*key, taught)

    def threshold(self, key: Key, taught: bool) -> float:
        """The rate from which on a kind is looked at.

        What was usual of a prefix was learnt of the whole that is protected.
        """
        own = self.usual.threshold(key, self.floor(key, taught))
        if key[0].exact:
            return own
        around = (each for each in self.outermost if each.covers(key[0]))
        return max([own, *(self.usual.threshold((each, key[1]), 0.0) for each in around)])

    def beside(self, key: Key, taught: bool) -> float:
        """The rate from which on a kind is looked at beside an attack on the same victim."""
        return max(BESIDE * self.floor(key, taught), _ABOVE * self.usual.best(key))

    def note(self, unix: float, undecided: Chunk, loud: Set[Traffic], taught: bool) -> None:
        """Once a second, note the rates of kinds that are not loud.

        What services cope with may be above the threshold: what is usual grows by steps.
        """
        found = self._second.add(undecided)
        if found is None:
            return
        rates: dict[Key, float] = {}
        for place in np.flatnonzero(found.rates >= _LEAST).tolist():
            key = found.key(place)
            if key[1] not in loud:
                self._add(rates, key, float(found.rates[place]), taught)
        self._add_prefixes(rates, found, loud, taught)
        self.usual.note(unix, rates)

    def _add_prefixes(
        self, rates: dict[Key, float], found: Strata, loud: Set[Traffic], taught: bool
    ) -> None:
        """The rates of each kind towards a whole protected prefix: more than any host's."""
        for around in self.outermost:
            if around.exact:
                continue
            ours = covers(around, found.first["family"], found.first["destination"])
            sums = np.bincount(found.kinds[ours], found.rates[ours], len(Traffic))
            for kind in Traffic:
                if kind not in loud:
                    self._add(rates, (around, kind), float(sums[kind]), taught)

    def _add(self, rates: dict[Key, float], key: Key, rate: float, taught: bool) -> None:
        if rate >= _NOTED * self.floor(key, taught):
            rates[key] = min(rate, self.threshold(key, taught))
