# SPDX-License-Identifier: GPL-2.0-or-later
"""Sampled packets by the network that they go to. Pure."""

from collections.abc import Iterator

import numpy as np

from xdpctl.base.net.prefix import Prefix
from xdpctl.model.sides import NETWORKS
from xdpctl.traffic.packets import PacketArray


def by_network(packets: PacketArray) -> Iterator[tuple[Prefix, PacketArray]]:
    """Each network of the widest kind (a /24, a /48) that packets go to, with these packets."""
    for family, (length, *_) in NETWORKS.items():
        chosen = packets[packets["family"] == family]
        if not len(chosen):
            continue
        octets = np.ascontiguousarray(chosen["destination"]).view(np.uint8).reshape(-1, 16)
        networks, places = np.unique(octets[:, : length // 8], axis=0, return_inverse=True)
        order = np.argsort(places.reshape(-1), kind="stable")
        ends = np.cumsum(np.bincount(places.reshape(-1)))[:-1]
        size = 4 if family == 4 else 16
        for network, rows in zip(networks, np.split(order, ends), strict=True):
            yield Prefix(network.tobytes().ljust(size, b"\0"), length), chosen[rows]
