# SPDX-License-Identifier: GPL-2.0-or-later
"""The packets of an attack and of normal traffic, while a match to separate them is made. Pure."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xdpctl.model.match.arrays import carrying, passing, within
from xdpctl.traffic.packets import PacketArray

BITS = ("tcp_flags", "fragment")  # components whose values are tests of bits


@dataclass(frozen=True, slots=True)
class Side:
    """Packets and the mass of each."""

    packets: PacketArray
    mass: NDArray[np.float64]

    def of(self, chosen: NDArray[np.bool_]) -> "Side":
        return Side(self.packets[chosen], self.mass[chosen])

    @property
    def total(self) -> float:
        """The mass of all packets."""
        return float(self.mass.sum())


@dataclass(frozen=True, slots=True)
class Split:
    """The packets that are left while a box grows.

    `own` is the mass of each normal packet that `now` contains, too.
    """

    now: Side
    normal: Side
    own: NDArray[np.float64]

    def of(self, now: NDArray[np.bool_], normal: NDArray[np.bool_]) -> "Split":
        """The chosen packets of both sides."""
        return Split(self.now.of(now), self.normal.of(normal), self.own[normal])

    @property
    def excess(self) -> float:
        """The mass of the packets that normal traffic does not explain."""
        return max(self.now.total - float(self.own.sum()), 1e-9)


def has(name: str, value: Any, packets: PacketArray) -> NDArray[np.bool_]:
    """Which packets have a component's value."""
    column = packets[name]
    if name == "payload":
        return carrying(value, column, packets["payload_bytes"], packets["payload_cut"])
    return passing(value, column) if name in BITS else within(value, column)
