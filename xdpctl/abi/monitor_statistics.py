# SPDX-License-Identifier: GPL-2.0-or-later
"""What a rule in monitor mode would have hit, from the kernel's picture of it. Pure."""

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from xdpctl.abi.arrays import CONNECTION, MONITOR_STATISTICS
from xdpctl.abi.structs import SKETCH_CELLS

_TOP = 5
_ALPHA = 0.7213 / (1 + 1.079 / SKETCH_CELLS)
NOTHING = bytes(MONITOR_STATISTICS.itemsize)


class Connection(NamedTuple):
    """A TCP connection of this host, and how many of its packets would have been hit."""

    source: str
    source_port: int
    destination: str
    destination_port: int
    packets: int


class Share(NamedTuple):
    """A value, and its part of the packets, 0 to 1."""

    value: str
    share: float


@dataclass(frozen=True, slots=True)
class MonitorStatistics:
    """Of the packets that were looked at: how many were of this host's established TCP
    connections, how many a wider prefix accepts or protects, and from how many addresses to
    how many they went (estimated, 5 % standard error).

    `ports` are destinations', as `udp/53`; these and `top_sources` are of a random sample.
    """

    looked: int
    established: int
    accepted: int
    sources: int
    destinations: int
    ports: list[Share]
    top_sources: list[Share]
    connections: list[Connection]


def read(value: bytes, connections: Iterable[tuple[bytes, int]]) -> MonitorStatistics:
    """From a value of the map `statistics`, and its connections with their packets."""
    held = np.frombuffer(value, MONITOR_STATISTICS)[0]
    seen = held["glimpses"][held["glimpses"]["family"] != 0]
    return MonitorStatistics(
        looked=int(held["looked"]),
        established=int(held["established"]),
        accepted=int(held["accepted"]),
        sources=estimate(held["sources"]),
        destinations=estimate(held["destinations"]),
        ports=_top(_port(one) for one in seen),
        top_sources=_top(_address(one["source"], one["family"]) for one in seen),
        connections=sorted(_connections(connections), key=lambda c: -c.packets),
    )


def estimate(cells: NDArray[np.uint8]) -> int:
    """How many different hashes a sketch was shown (HyperLogLog, Flajolet et al., 2007)."""
    empty = int(np.count_nonzero(cells == 0))
    raw = _ALPHA * SKETCH_CELLS**2 / float(np.sum(2.0 ** -cells.astype(np.float64)))
    if raw <= 2.5 * SKETCH_CELLS and empty:
        return round(SKETCH_CELLS * math.log(SKETCH_CELLS / empty))
    return round(raw)


def _top(values: Iterable[str]) -> list[Share]:
    counts = Counter(values)
    total = counts.total()
    return [Share(value, count / total) for value, count in counts.most_common(_TOP)]


_PROTOCOLS = {1: "icmp", 6: "tcp", 17: "udp", 47: "gre", 50: "esp", 58: "icmpv6"}
_WITH_PORTS = (6, 17)


def _port(seen: Any) -> str:
    number = int(seen["protocol"])
    name = _PROTOCOLS.get(number, str(number))
    return f"{name}/{seen['destination_port']}" if number in _WITH_PORTS else name


def _address(raw: NDArray[np.uint8], family: int) -> str:
    return str(ip_address(raw.tobytes()[: 4 if family == 4 else 16]))


def _connections(held: Iterable[tuple[bytes, int]]) -> Iterable[Connection]:
    for key, packets in held:
        one = np.frombuffer(key, CONNECTION)[0]
        source, destination = (
            _address(one[name], one["family"]) for name in ("source", "destination")
        )
        ports = int(one["source_port"]), int(one["destination_port"])
        yield Connection(source, ports[0], destination, ports[1], packets)
