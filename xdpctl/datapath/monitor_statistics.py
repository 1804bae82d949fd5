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
from xdpctl.abi.sizes import SKETCH_CELLS
from xdpctl.base.net.packet_fields import LATER, Fields
from xdpctl.base.net.prefix import Prefix

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


@dataclass(frozen=True, slots=True)
class MonitorStatistics:
    """Statistics of the packets that a rule would have hit; `looked` is the number of packets.

    `established` counts packets of this host's established TCP connections, `known` also those of
    known flows, and `accepted` packets that a wider prefix accepts or protects. `sources` and
    `destinations` are estimates of the number of addresses (5 % standard error). `ports` are
    destination ports, as `udp/53`; `ports` and `top_sources` come from a random sample.
    """

    looked: int
    established: int
    known: int
    accepted: int
    sources: int
    destinations: int
    ports: list[Share]
    top_sources: list[Share]
    connections: list[Connection]
    glimpses: list[Fields]  # the random sample, without sources


def read(value: bytes, connections: Iterable[tuple[bytes, int]]) -> MonitorStatistics:
    """Decode a value of the map `statistics`, and its connections with their packet counts."""
    record = np.frombuffer(value, MONITOR_STATISTICS)[0]
    sampled = record["glimpses"][record["glimpses"]["family"] != 0]
    return MonitorStatistics(
        looked=int(record["looked"]),
        established=int(record["established"]),
        known=int(record["known"]),
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


_WITH_FLAGS, _ICMP = 6, (1, 58)


def _glimpse(record: Any) -> Fields:
    """The fields that a sampled packet has, by the names of components of a match."""
    protocol, size = int(record["protocol"]), 4 if record["family"] == 4 else 16
    fields: Fields = {
        "destination": Prefix(record["destination"].tobytes()[:size], size * 8),
        "protocol": protocol,
        "packet_length": int(record["length"]),
        "ttl": int(record["ttl"]),
        "fragment": int(record["fragment"]),
    }
    if record["fragment"] & LATER:
        return fields
    if protocol in _WITH_PORTS:
        fields |= {name: int(record[name]) for name in ("source_port", "destination_port")}
    if protocol == _WITH_FLAGS:
        fields["tcp_flags"] = int(record["tcp_flags"])
    if protocol in _ICMP:
        fields["icmp_type"], fields["icmp_code"] = divmod(int(record["icmp"]), 256)
    return fields


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
