# SPDX-License-Identifier: GPL-2.0-or-later
"""Whom a rule hits: the share of people among its sources, with a confidence interval. Pure."""

from collections.abc import Callable
from dataclasses import dataclass
from math import lgamma, log

_DOUBT = 0.05  # probability that the interval ever lacks the true share


@dataclass(frozen=True, slots=True)
class Collateral:
    """Whom a rule hits, as far as is known now.

    `sources` is how many sources passed and had time to take part; `people` is how many of these
    did. `low` to `high` is the share of people among such sources, with 95 % confidence at all
    times. `low` is higher if returning flows that were served are a larger part of all that is hit.
    `again` is how many flows passed because they came again, `passed` how many packets passed in
    all. With `repeats`, as many flows come again as may pass: a flood repeats its flows, and
    newcomers get lost among them.
    """

    people: int = 0
    sources: int = 0
    low: float = 0.0
    high: float = 1.0
    again: int = 0
    repeats: bool = False
    passed: int = 0
    hurts: bool = False

    @property
    def share(self) -> float | None:
        """The estimate; None if nothing is measured."""
        return max(self.people / self.sources, self.low) if self.sources else None

    def __str__(self) -> str:
        if not self.repeats:
            return self._said()
        lost = "the flood repeats its flows, so newcomers may be lost among them"
        return f"{self._said()}; {lost}" if self.sources else f"it cannot be measured: {lost}"

    def _said(self) -> str:
        if not (self.sources or self.low):
            return "not measured yet"
        shares = f"{_percent(self.low)} to {_percent(self.high)} of the TCP sources that it hits"
        return f"{shares} are people ({self.people} of {self.sources} that were tried)"


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %" if share < 0.995 else "100 %"


def interval(people: int, sources: int) -> tuple[float, float]:
    """The confidence interval of the share, valid at any time (a beta mixture; Robbins 1970)."""
    if not sources:
        return 0.0, 1.0
    estimate = people / sources
    others = sources - people
    mixed = lgamma(people + 1) + lgamma(others + 1) - lgamma(sources + 2)

    def refuted(share: float) -> bool:
        likelihood = (people * log(share) if people else 0) + (
            others * log(1 - share) if others else 0
        )
        return mixed - likelihood > -log(_DOUBT)

    low = _edge(refuted, 0.0, estimate) if people else 0.0
    return low, _edge(refuted, 1.0, estimate) if others else 1.0


def _edge(refuted: Callable[[float], bool], outside: float, inside: float) -> float:
    """The edge of the interval, between a share that is refuted and one that is not."""
    for _ in range(40):
        middle = (outside + inside) / 2
        if refuted(middle):
            outside = middle
        else:
            inside = middle
    return inside
