# SPDX-License-Identifier: GPL-2.0-or-later
"""Packets of hosts inside, grouped by columns that they have in common."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xdpctl.abi.constants import Traffic
from xdpctl.flood.attack import Attack, Does
from xdpctl.flood.sampled import HEADS, places_of
from xdpctl.traffic.packets import PacketArray, source

_MOST = 100  # groups are judged, the loudest


@dataclass(frozen=True, slots=True)
class Group:
    """Packets that have some columns in common: the first, their rate, and where they are.

    `certain` as in Attack.
    """

    first: np.void
    rate: float
    rows: NDArray[np.int64]
    certain: bool = False

    @property
    def kind(self) -> Traffic:
        return Traffic(int(self.first["traffic"]))

    def attack(self, does: Does, **more: Any) -> Attack:
        """The attack of the host that sent these packets."""
        mac = self.first["mac"].tobytes()
        told = mac.hex(":") if any(mac) else ""
        return Attack(
            does, self.kind, self.rate, source(self.first), mac=told, certain=self.certain, **more
        )


def groups(
    packets: PacketArray, columns: Sequence[str], seconds: float, certain: NDArray[np.void]
) -> Iterator[Group]:
    """The packets of some seconds by equal columns, the loudest first.

    Groups of few heads are left out. `certain` has the sources of whose address one can be sure.
    """
    if len(packets) < HEADS:
        return
    places = places_of(packets, columns)
    heads, rates = np.bincount(places), np.bincount(places, packets["weight"]) / seconds
    order = np.argsort(places, kind="stable")
    ends = np.cumsum(heads)
    chosen = [place for place in np.argsort(-rates).tolist() if heads[place] >= HEADS]
    for place in chosen[:_MOST]:
        rows = order[ends[place] - heads[place] : ends[place]]
        first = packets[rows[0]]
        yield Group(first, float(rates[place]), rows, bool(np.isin(first["source"], certain)))
