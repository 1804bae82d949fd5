# SPDX-License-Identifier: GPL-2.0-or-later
"""Counts completed handshakes, and the packets that rules kept out, in samples. Pure."""

import numpy as np

from xdpctl.abi.constants import KEPT_OUT
from xdpctl.traffic.packets import PacketArray

_BELIEVED = 5_000.0  # most completed handshakes a second that count for a host


def completed(shaken: PacketArray, seconds: float) -> float:
    """How many handshakes were completed within `seconds`, estimated from sampled ACKs.

    A sampled ACK stands for many, and a sender may repeat one again and again. So at most as many
    count for a host as a busy host gets.
    """
    words = np.ascontiguousarray(shaken["destination"]).view(np.uint64).reshape(-1, 2)
    _, places = np.unique(words, axis=0, return_inverse=True)
    sums = np.bincount(places.reshape(-1), shaken["weight"])
    return float(np.minimum(sums, _BELIEVED * seconds).sum())


def rates_of_slots(packets: PacketArray, seconds: float) -> dict[int, float]:
    """The packets a second that each rule's slot kept out, from sampled packets."""
    packets = packets[np.isin(packets["reason"], KEPT_OUT)]
    slots, places = np.unique(packets["slot"], return_inverse=True)
    sums = np.bincount(places, packets["weight"], len(slots))
    return {int(slot): float(count) / seconds for slot, count in zip(slots, sums, strict=True)}
