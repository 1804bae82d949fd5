# SPDX-License-Identifier: GPL-2.0-or-later
"""Learns the rates of kinds to hosts and protected prefixes, and has their thresholds. Pure."""

from collections.abc import Set

import numpy as np

from xdpctl.abi.constants import Traffic
from xdpctl.base.net.prefix import Prefix
from xdpctl.flood.counts import Chunk, Second, Strata
from xdpctl.flood.settings import DetectSettings
from xdpctl.flood.usual import Key, Usual
from xdpctl.traffic.select import covers

_LEAST = 50.0  # packets a second
_NOTED = 0.1  # share of the floor: lower rates are not remembered
# beside an attack on the same victim: share of the floor, and times the highest normal rate
BESIDE, _ABOVE = 0.2, 1.5


class Rates:
    """`ours` are the protected prefixes, `usual` has the learnt rates."""

    def __init__(self, settings: DetectSettings, usual: Usual, ours: tuple[Prefix, ...]) -> None:
        self.settings, self.usual, self.ours = settings, usual, ours
        self._second = Second()

    @property
    def outermost(self) -> list[Prefix]:
        """The protected prefixes that no other one covers; inner prefixes belong to them."""
        return [
            prefix for prefix in self.ours
            if not any(other != prefix and other.covers(prefix) for other in self.ours)
        ]  # fmt: skip

    def floor(self, key: Key, taught: bool) -> float:
        """The rate below which a kind is no attack; `taught` says that the memory records flows."""
        return self.settings.floor(*key, taught)

    def threshold(self, key: Key, taught: bool) -> float:
        """The rate from which on a kind is examined.

        A prefix also has the threshold of the outermost protected prefix around it: rates are
        learnt for hosts and for outermost prefixes only.
        """
        own = self.usual.threshold(key, self.floor(key, taught))
        if key[0].exact:
            return own
        around = (prefix for prefix in self.outermost if prefix.covers(key[0]))
        return max([own, *(self.usual.threshold((prefix, key[1]), 0.0) for prefix in around)])

    def beside(self, key: Key, taught: bool) -> float:
        """The rate from which on a kind is examined beside an attack on the same victim."""
        return max(BESIDE * self.floor(key, taught), _ABOVE * self.usual.best(key))

    def note(self, unix: float, undecided: Chunk, loud: Set[Traffic], taught: bool) -> None:
        """Once a second, note the rates of kinds that are not loud, up to the threshold.

        A rate that services cope with may be higher, so the threshold grows in steps.
        """
        measured = self._second.add(undecided)
        if measured is None:
            return
        rates: dict[Key, float] = {}
        for place in np.flatnonzero(measured.rates >= _LEAST).tolist():
            key = measured.key(place)
            if key[1] not in loud:
                self._add(rates, key, float(measured.rates[place]), taught)
        self._add_prefixes(rates, measured, loud, taught)
        self.usual.note(unix, rates)

    def _add_prefixes(
        self, rates: dict[Key, float], measured: Strata, loud: Set[Traffic], taught: bool
    ) -> None:
        """Add the rate of each kind towards a whole protected prefix."""
        for around in self.outermost:
            if around.exact:
                continue
            inside = covers(around, measured.first["family"], measured.first["destination"])
            sums = np.bincount(measured.kinds[inside], measured.rates[inside], len(Traffic))
            for kind in Traffic:
                if kind not in loud:
                    self._add(rates, (around, kind), float(sums[kind]), taught)

    def _add(self, rates: dict[Key, float], key: Key, rate: float, taught: bool) -> None:
        if rate >= _NOTED * self.floor(key, taught):
            rates[key] = min(rate, self.threshold(key, taught))
