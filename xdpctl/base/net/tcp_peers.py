# SPDX-License-Identifier: GPL-2.0-or-later
"""Peers with an established TCP connection to this host (Documentation/networking/proc_net_tcp)."""

import asyncio
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

from xdpctl.base.net.prefix import Prefix, unmapped

_ESTABLISHED = "01"
_TABLES = (Path("/proc/self/net/tcp"), Path("/proc/self/net/tcp6"))
_LOOPBACK6 = bytes(15) + b"\x01"
_FRESH_SECONDS = 1.0


def parse(table: str) -> Counter[bytes]:
    """Count established connections by the peer's packed address, from a table of the kernel."""
    counts: Counter[bytes] = Counter()
    for line in table.splitlines()[1:]:
        words = line.split(None, 4)
        if len(words) == 5 and words[3] == _ESTABLISHED:
            counts[_address(words[2].split(":")[0])] += 1
    return counts


def _address(text: str) -> bytes:
    """Parse an address: 32-bit words in host order, in hexadecimal."""
    words = (int(text[at : at + 8], 16) for at in range(0, len(text), 8))
    address = b"".join(socket.htonl(word).to_bytes(4, "big") for word in words)
    return unmapped(address)  # an IPv4 peer of an IPv6 socket


class Peers:
    """A snapshot of the established connections, counted by the peer's packed address."""

    def __init__(self, connections: Mapping[bytes, int] = MappingProxyType({})) -> None:
        self._connections = connections
        self._within: dict[tuple[int, int], dict[bytes, list[bytes]]] = {}

    def __contains__(self, address: bytes) -> bool:
        return address in self._connections

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._connections)

    def count(self, sources: Iterable[Prefix]) -> int:
        """The number of connections of all peers that any of the sources covers."""
        if not self._connections:
            return 0
        return self.connections({peer for source in sources for peer in self.covered(source)})

    def connections(self, peers: Iterable[bytes]) -> int:
        """The number of connections of these peers, each counted once."""
        return sum(self._connections[peer] for peer in set(peers))

    def elsewhere(self) -> int:
        """How many connections there are with other hosts."""
        here = (
            (len(peer) == 4 and peer[0] == 127) or peer == _LOOPBACK6 for peer in self._connections
        )
        counts = zip(here, self._connections.values(), strict=True)
        return sum(count for local, count in counts if not local)

    def covered(self, source: Prefix) -> Iterable[bytes]:
        """The peers that a source covers."""
        if source.exact:
            return (source.address,) if source.address in self else ()
        shape = len(source.address), source.length
        if shape not in self._within:
            by_network: dict[bytes, list[bytes]] = {}
            for peer in self._connections:
                if len(peer) == shape[0]:
                    by_network.setdefault(_network(peer, shape[1]), []).append(peer)
            self._within[shape] = by_network
        return self._within[shape].get(source.address, ())


def _network(address: bytes, length: int) -> bytes:
    bits = len(address) * 8
    mask = ((1 << length) - 1) << (bits - length)
    return (int.from_bytes(address, "big") & mask).to_bytes(len(address), "big")


class Connections:
    """The kernel's TCP tables, read at most once a second because they may be long."""

    def __init__(self, tables: tuple[Path, ...] = _TABLES) -> None:
        self._tables = tables
        self._lock = threading.Lock()
        self._peers = Peers()
        self._at = -_FRESH_SECONDS

    @property
    def fresh(self) -> bool:
        """Whether `now` returns without reading the kernel's tables again."""
        return time.monotonic() - self._at < _FRESH_SECONDS

    async def read(self) -> Peers:
        """The same as `now`, in a thread if the kernel's tables must be read."""
        return self.now() if self.fresh else await asyncio.to_thread(self.now)

    def now(self) -> Peers:
        """Established connections by the peer's address; safe from any thread."""
        with self._lock:
            if not self.fresh:
                counts: Counter[bytes] = Counter()
                for table in self._tables:
                    if table.exists():
                        counts += parse(table.read_text())
                self._peers, self._at = Peers(counts), time.monotonic()
            return self._peers
