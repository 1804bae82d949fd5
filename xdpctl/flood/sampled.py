# SPDX-License-Identifier: GPL-2.0-or-later
"""Sampled packets by their host or by equal columns, and whether few are surely few. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xdpctl.traffic.packets import PacketArray

HEADS = 20  # fewer show nothing
_SURE = 10.0  # heads that would have been seen at a threshold: else nothing is said
_COARSE = 0.9  # this share of the heads has a weight of at most that which is reckoned with


class ByHost:
    """Packets by the address of a host inside, in a column."""

    def __init__(self, packets: PacketArray, column: str) -> None:
        order = np.argsort(packets[column], kind="stable")
        self._packets, self._column = packets[order], column
        self._hosts = self._packets[column]

    def of(self, columns: Mapping[str, Any]) -> PacketArray:
        """The packets of the host in these columns; all of them without one."""
        host = columns.get(self._column)
        if host is None:
            return self._packets
        begin, end = (int(self._hosts.searchsorted(host, side)) for side in ("left", "right"))
        return self._packets[begin:end]


def with_several_macs(packets: PacketArray) -> NDArray[Any]:
    """The sources whose frames have several MAC addresses."""
    sources, places = np.unique(packets["source"], return_inverse=True)
    macs = np.unique(as_words(packets["mac"]), return_inverse=True)[1].reshape(-1)
    pairs = np.unique(np.stack((places.reshape(-1), macs)), axis=1)
    return np.asarray(sources[np.bincount(pairs[0], minlength=len(sources)) > 1])


def widened(packets: PacketArray, column: str, bits: Mapping[int, int]) -> PacketArray:
    """The packets with networks of so many bits, by family, instead of addresses in a column.

    Bits are whole bytes.
    """
    wide = packets.copy()
    octets = np.ascontiguousarray(wide[column]).view(np.uint8).reshape(-1, 16)
    kept = np.where(wide["family"] == 4, bits[4] // 8, bits[6] // 8)
    octets[np.arange(16) >= kept[:, np.newaxis]] = 0
    wide[column] = octets.reshape(-1).view(wide[column].dtype)
    return wide


def as_words(column: NDArray[Any]) -> NDArray[Any]:
    """A column of several bytes, with one value for each packet."""
    return np.ascontiguousarray(column).view(f"V{column.shape[1]}").reshape(-1)


def places_of(packets: PacketArray, columns: Sequence[str]) -> NDArray[np.int64]:
    """A number for each packet, which is the same where all columns are."""
    places = np.zeros(len(packets), np.int64)
    for name in columns:
        numbers = np.unique(packets[name], return_inverse=True)[1].reshape(-1)
        pairs = places * (int(numbers.max(initial=0)) + 1) + numbers
        places = np.unique(pairs, return_inverse=True)[1].reshape(-1)
    return places


def have(packets: PacketArray, columns: Mapping[str, Any]) -> NDArray[np.bool_]:
    """Which packets have these values."""
    chosen = np.ones(len(packets), bool)
    for name, value in columns.items():
        chosen &= packets[name] == value
    return chosen


def is_less(
    by_host: ByHost, all_weights: NDArray[Any], most: float, columns: Mapping[str, Any]
) -> bool:
    """Whether less than `most` packets have these values, and that many would be seen.

    What is sampled so coarsely that few heads would be there shows nothing. `all_weights` are those
    of packets that are sampled in the same way, if the host itself has few.
    """
    packets = by_host.of(columns)
    weights = packets["weight"] if len(packets) >= HEADS else all_weights
    coarse = float(np.quantile(weights, _COARSE)) if len(weights) else 1.0
    if most < _SURE * coarse:
        return False
    return float(packets["weight"][have(packets, columns)].sum(dtype=np.float64)) < most


def octets_of(packets: PacketArray) -> float:
    return float((packets["weight"].astype(np.float64) * packets["length"]).sum())
