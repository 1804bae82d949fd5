# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether packets come from forged sources, from a few real ones or from many. Pure."""

from dataclasses import dataclass
from math import exp

import numpy as np
from numpy.typing import NDArray

from xdpctl.traffic.dimensions import DIMENSIONS
from xdpctl.traffic.packets import PacketArray

_MANY = 64  # packets: fewer are not judged
_ONCE = 0.9  # share of the sources that are seen once
_AS_RANDOM = 0.8  # share of the networks that as many random sources would fall in
_ALIKE = 0.8  # share of the networks: normal sources in more are spread as widely
_ROUTED = 221  # /8 networks with unicast addresses
_FEW, _MOST_OF_IT = 32, 0.8  # sources, and their share of the packets
_REPEATED = 4  # packets of each source, on average
_HEAVY = 0.01  # share of the packets that one source sends
IMPOSSIBLE = 0.03  # share of the sources, or of the packets
_NOWHERE = (0, 10, 127, *range(224, 256))  # first octets (RFC 6890)


@dataclass(frozen=True, slots=True)
class Sources:
    """Figures about the sources of some packets.

    `once` is the share of sources that were seen once, and `networks` counts large networks.
    `largest` is the share of the packets that the `_FEW` largest sources send; sources seen once do
    not count there, since they may be forged. `heavy` counts sources that send 1 % or more each.
    """

    packets: int
    distinct: int
    once: float
    networks: int
    random_networks: float
    impossible: float
    largest: float
    heavy: int = 0

    @property
    def few(self) -> bool:
        """Whether a few sources send most of the packets."""
        return self.packets >= _MANY and self.largest >= _MOST_OF_IT

    @property
    def repeat(self) -> bool:
        """Whether the same sources send packet after packet."""
        return self.packets >= _REPEATED and self.distinct <= self.packets / _REPEATED

    def forged(self, normal: "Sources") -> str:
        """A sentence that says why the sources are forged at random; empty if they may be real.

        `normal` are the sources of as many packets of normal traffic.
        """
        if self.packets < _MANY:
            return ""
        if self.impossible >= IMPOSSIBLE:
            return f"{self.impossible:.0%} of the sources cannot exist on the Internet"
        if self.once < _ONCE or self.networks < _AS_RANDOM * self.random_networks:
            return ""
        as_spread = normal.networks >= _ALIKE * self.networks
        if as_spread or normal.packets < _ALIKE * self.packets:
            return ""
        return (
            f"the sources are spread as forged ones are: {self.once:.0%} of {self.distinct:,} "
            f"were seen once, in {self.networks} large networks"
        )


def sources(packets: PacketArray) -> Sources:
    """Figures about the sources of packets of one family."""
    keys = DIMENSIONS["source"].keys(packets)
    addresses, places, counts = np.unique(keys, return_inverse=True, return_counts=True)
    if not len(addresses):
        return Sources(0, 0, 0.0, 0, 0.0, 0.0, 0.0)
    raw = np.frombuffer(addresses.astype("S17").tobytes(), np.uint8).reshape(-1, 17)
    ipv4 = bool(raw[0, 0] == 4)
    networks = np.unique(raw[:, 1:2] if ipv4 else raw[:, 1:5], axis=0)
    random = _ROUTED * (1 - exp(-len(addresses) / _ROUTED)) if ipv4 else float(len(addresses))
    impossible = _impossible(raw[:, 1], raw[:, 2]) if ipv4 else (raw[:, 1] >> 5) != 1
    mass = np.bincount(places, packets["weight"], len(addresses))
    again = np.sort(mass[counts > 1])[::-1]
    return Sources(
        packets=len(packets),
        distinct=len(addresses),
        once=float((counts == 1).mean()),
        networks=len(networks),
        random_networks=random,
        impossible=float(impossible.mean()),
        largest=float(again[:_FEW].sum() / mass.sum()),
        heavy=int((mass >= _HEAVY * mass.sum()).sum()),
    )


def _impossible(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Which IPv4 addresses are no source on the Internet, by their first two octets (RFC 6890)."""
    private = (first == 172) & (second >> 4 == 1) | (first == 192) & (second == 168)
    others = (first == 169) & (second == 254) | (first == 100) & (second >> 6 == 1)
    return np.asarray(np.isin(first, _NOWHERE) | private | others)
