# SPDX-License-Identifier: GPL-2.0-or-later
"""What a rule in monitor mode would have hit, decoded from the kernel's statistics. Pure."""

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from xdpctl.abi.arrays import CONNECTION, MONITOR_STATISTICS
from xdpctl.abi.constants import SKETCH_CELLS

_TOP = 5
_ALPHA = 0.7213 / (1 + 1.079 / SKETCH_CELLS)
NOTHING = bytes(MONITOR_STATISTICS.itemsize)


class Connection(NamedTuple):
    """A TCP connection of this host, and the number of its packets that the rule would hit."""

    source: str
    source_port: int
    destination: str
    destination_port: int
    packets: int


class Share(NamedTuple):
    """A value, and its share of the packets, 0 to 1."""

    value: str
    share: float


class Glimpse(NamedTuple):
    """A packet of the random sample. What its protocol does not have has no meaning."""

    destination: bytes
    protocol: int
    source_port: int
    destination_port: int
    length: int  # of the IP packet
    tcp_flags: int
    icmp_type: int
    icmp_code: int
    ttl: int
    fragment: int  # bits as in FlowSpec


@dataclass(frozen=True, slots=True)
class MonitorStatistics:
    """Statistics of the packets that a rule would have hit, of which there were `looked`.

    `established` counts packets of this host's established TCP connections, and `accepted` those
    that a wider prefix accepts or protects. `sources` and `destinations` are estimates of the
    number of addresses (5 % standard error). `ports` are destination ports, as `udp/53`; `ports`
    and `top_sources` come from a random sample.
    """

    looked: int
    established: int
    accepted: int
    sources: int
    destinations: int
    ports: list[Share]
    top_sources: list[Share]
    connections: list[Connection]
    glimpses: list[Glimpse]


def read(value: bytes, connections: Iterable[tuple[bytes, int]]) -> MonitorStatistics:
    """Decode a value of the map `statistics`, and its connections with their packet counts."""
    record = np.frombuffer(value, MONITOR_STATISTICS)[0]
    sampled = record["glimpses"][record["glimpses"]["family"] != 0]
    return MonitorStatistics(
        looked=int(record["looked"]),
        established=int(record["established"]),
        accepted=int(record["accepted"]),
        sources=estimate(record["sources"]),
        destinations=estimate(record["destinations"]),
        ports=_top(_port(glimpse) for glimpse in sampled),
        top_sources=_top(_address(glimpse["source"], glimpse["family"]) for glimpse in sampled),
        connections=sorted(_connections(connections), key=lambda c: -c.packets),
        glimpses=list(map(_glimpse, sampled)),
    )


def estimate(cells: NDArray[np.uint8]) -> int:
    """Estimate how many different hashes a sketch has seen (HyperLogLog, Flajolet et al., 2007)."""
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


def _port(glimpse: Any) -> str:
    number = int(glimpse["protocol"])
    name = _PROTOCOLS.get(number, str(number))
    return f"{name}/{glimpse['destination_port']}" if number in _WITH_PORTS else name


_NUMBERS = "protocol source_port destination_port length tcp_flags ttl fragment".split()


def _glimpse(record: Any) -> Glimpse:
    icmp = divmod(int(record["icmp"]), 256)
    numbers = {name: int(record[name]) for name in _NUMBERS}
    size = 4 if record["family"] == 4 else 16
    destination = record["destination"].tobytes()[:size]
    return Glimpse(destination, **numbers, icmp_type=icmp[0], icmp_code=icmp[1])


def _address(raw: NDArray[np.uint8], family: int) -> str:
    return str(ip_address(raw.tobytes()[: 4 if family == 4 else 16]))


def _connections(entries: Iterable[tuple[bytes, int]]) -> Iterable[Connection]:
    for key, packets in entries:
        record = np.frombuffer(key, CONNECTION)[0]
        source, destination = (
            _address(record[name], record["family"]) for name in ("source", "destination")
        )
        ports = int(record["source_port"]), int(record["destination_port"])
        yield Connection(source, ports[0], destination, ports[1], packets)
