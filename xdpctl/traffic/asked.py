# SPDX-License-Identifier: GPL-2.0-or-later
"""Counts the packets that ask each service. Pure."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from xdpctl.abi.constants import Traffic
from xdpctl.datapath.served import Service
from xdpctl.model.match.arrays import within
from xdpctl.model.match.components import UDP
from xdpctl.model.services import HTTPS, SERVICES
from xdpctl.traffic.packets import PacketArray, destination


def asks_udp(packets: PacketArray) -> NDArray[np.bool_]:
    """Which packets ask a UDP service.

    For HTTP/3 only packets of new clients count, since only answers to new clients are counted.
    """
    to = packets["destination_port"]
    asking = (packets["protocol"] == UDP) & (to >= 0) & within(SERVICES, to)
    new = (to != HTTPS) | (packets["traffic"] == Traffic.QUIC_INITIAL)
    return np.asarray(asking & new)


def asked_services(packets: PacketArray) -> Iterator[tuple[Service, float]]:
    """The services that packets ask, and the number of these packets."""
    # the copied head of a SYN may end before its ports
    syns = (packets["traffic"] == Traffic.SYN) & (packets["destination_port"] >= 0)
    asking = packets[asks_udp(packets) | syns]
    if not len(asking):
        return
    keys = np.zeros((len(asking), 3), np.uint64)
    keys[:, :2] = np.ascontiguousarray(asking["destination"]).view(np.uint64).reshape(-1, 2)
    keys[:, 2] = asking["destination_port"].astype(np.uint64) << np.uint64(16)
    keys[:, 2] |= asking["protocol"].astype(np.uint64) << np.uint64(8) | asking["family"]
    _, first, places = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    sums = np.bincount(places.reshape(-1), asking["weight"])
    for packet, count in zip(asking[first], sums.tolist(), strict=True):
        port = int(packet["destination_port"])
        yield Service(destination(packet), int(packet["protocol"]), port), count
