# SPDX-License-Identifier: GPL-2.0-or-later
"""A sample of normal traffic, and what a match would hit of it. Pure."""

from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from xdpctl.abi.constants import Traffic
from xdpctl.model.finding import Collateral
from xdpctl.model.match.match import Match
from xdpctl.traffic.packets import PACKET, PacketArray, kinds
from xdpctl.traffic.select import takes

MOST_HIT = 0.01  # of a kind: the largest upper bound of what a drop may hit
ENOUGH = 300  # packets of a kind of which none is hit: then the bound is 1 %
RARE = 30  # packets of a kind: of fewer no share is known
_NONE_HIT = 3.0  # the rule of three (Hanley and Lippman-Hand, 1983)


@dataclass(frozen=True, slots=True)
class Normal:
    """Packets of normal traffic.

    A match is made by every second one (`learning`) and judged by the others (`judging`), so that
    what is said of it does not rest on the packets that it was made to spare.
    """

    packets: PacketArray

    @classmethod
    def nothing(cls) -> "Normal":
        return cls(np.empty(0, PACKET))

    @property
    def learning(self) -> "Normal":
        """The half by which a match is made."""
        return Normal(self.packets[::2])

    @property
    def judging(self) -> "Normal":
        """The half by which it is judged."""
        return Normal(self.packets[1::2])

    @property
    def kinds(self) -> NDArray[np.uint8]:
        """The kind of each packet."""
        return kinds(self.packets)

    def count(self, kind: Traffic) -> int:
        """How many packets of a kind there are."""
        return int((self.kinds == kind).sum())


def collateral(match: Match, normal: Normal) -> tuple[Collateral, ...]:
    """What a match hits of each kind that there is, the worst first."""
    hit = takes(match, normal.packets)
    found = []
    for number, count in enumerate(np.bincount(normal.kinds, minlength=len(Traffic)).tolist()):
        if count:
            hits = int((hit & (normal.kinds == number)).sum())
            found.append(Collateral(Traffic(number).setting, count, hits, bound(hits, count)))
    return tuple(sorted(found, key=lambda each: (-each.hits / each.samples, each.kind)))


def bound(hits: int, samples: int) -> float:
    """An upper 95 % confidence bound of a share of which `hits` of `samples` were seen.

    For none it is the rule of three, else the score interval (Wilson, 1927).
    """
    if not hits:
        return min(1.0, _NONE_HIT / samples)
    z = 1.645
    share, square = hits / samples, z * z / samples
    middle = share + square / 2
    return min(
        1.0,
        (middle + z * sqrt(share * (1 - share) / samples + square / samples / 4)) / (1 + square),
    )
