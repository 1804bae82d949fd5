# SPDX-License-Identifier: GPL-2.0-or-later
"""A sample of normal traffic, and how much of it a match would hit. Pure."""

from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from xdpctl.abi.constants import Traffic
from xdpctl.model.finding import Collateral
from xdpctl.model.match.match import Match
from xdpctl.traffic.packets import PACKET, PacketArray, kinds
from xdpctl.traffic.select import takes

MOST_HIT = 0.01  # share of a kind that a drop may hit: the upper bound must be below it
ENOUGH = 300  # packets of a kind: if a match hits none of them, the upper bound is 1 %
RARE = 30  # packets of a kind: fewer give no useful share
_NONE_HIT = 3.0  # the rule of three (Hanley and Lippman-Hand, 1983)


@dataclass(frozen=True, slots=True)
class Normal:
    """Packets of normal traffic.

    Every second packet (`learning`) helps to make a match, and the others (`judging`) test it. So
    a match is never tested with the packets that it was made to spare.
    """

    packets: PacketArray

    @classmethod
    def nothing(cls) -> "Normal":
        return cls(np.empty(0, PACKET))

    @property
    def learning(self) -> "Normal":
        """The half with which a match is made."""
        return Normal(self.packets[::2])

    @property
    def judging(self) -> "Normal":
        """The half with which a match is tested."""
        return Normal(self.packets[1::2])

    @property
    def kinds(self) -> NDArray[np.uint8]:
        """The kind of each packet."""
        return kinds(self.packets)

    def count(self, kind: Traffic) -> int:
        """How many packets of a kind there are."""
        return int((self.kinds == kind).sum())


def collateral(match: Match, normal: Normal) -> tuple[Collateral, ...]:
    """What a match hits of each kind in the sample, the worst first."""
    hit = takes(match, normal.packets)
    harms = []
    for number, count in enumerate(np.bincount(normal.kinds, minlength=len(Traffic)).tolist()):
        if count:
            hits = int((hit & (normal.kinds == number)).sum())
            harms.append(Collateral(Traffic(number).setting, count, hits, bound(hits, count)))
    return tuple(sorted(harms, key=lambda harm: (-harm.hits / harm.samples, harm.kind)))


def bound(hits: int, samples: int) -> float:
    """The upper 95 % confidence bound of a share, where a match hit `hits` of `samples`.

    Without hits it is the rule of three, else the score interval (Wilson, 1927).
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
