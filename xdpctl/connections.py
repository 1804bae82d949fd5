"""Who has an established TCP connection with this host (Documentation/networking/proc_net_tcp)."""

import socket
import threading
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from xdpctl.prefix import Prefix

_ESTABLISHED = "01"
_TABLES = (Path("/proc/self/net/tcp"), Path("/proc/self/net/tcp6"))
_MAPPED = bytes(10) + b"\xff\xff"  # an IPv4 peer of an IPv6 socket (RFC 4291 section 2.5.5.2)
_FRESH_SECONDS = 1.0


def parse(table: str) -> Counter[bytes]:
    """Connections by the peer's address, from one of the kernel's tables."""
    found: Counter[bytes] = Counter()
    for line in table.splitlines()[1:]:
        words = line.split(None, 4)
        if len(words) == 5 and words[3] == _ESTABLISHED:
            found[_address(words[2].split(":")[0])] += 1
    return found


def _address(text: str) -> bytes:
    """Words of 32 bits in the host's order, each in hexadecimal."""
    words = (int(text[at : at + 8], 16) for at in range(0, len(text), 8))
    address = b"".join(socket.htonl(word).to_bytes(4, "big") for word in words)
    return address.removeprefix(_MAPPED) if len(address) == 16 else address


class Connections:
    """What the kernel says, asked at most once a second, since its tables may be long."""

    def __init__(self, tables: tuple[Path, ...] = _TABLES) -> None:
        self._tables = tables
        self._lock = threading.Lock()
        self._peers: Mapping[bytes, int] = {}
        self._at = -_FRESH_SECONDS

    @property
    def fresh(self) -> bool:
        """Whether `now` answers at once, without reading the kernel's tables."""
        return time.monotonic() - self._at < _FRESH_SECONDS

    def now(self) -> Mapping[bytes, int]:
        """Established connections by the peer's address; safe from any thread."""
        with self._lock:
            if not self.fresh:
                found: Counter[bytes] = Counter()
                for table in self._tables:
                    if table.exists():
                        found += parse(table.read_text())
                self._peers, self._at = found, time.monotonic()
            return self._peers


def count(sources: Iterable[Prefix], peers: Mapping[bytes, int]) -> int:
    """How many connections the peers have that any of the sources covers."""
    if not peers:
        return 0
    networks: dict[tuple[int, int], set[bytes]] = {}
    for source in sources:
        networks.setdefault((len(source.address), source.length), set()).add(source.address)
    return sum(
        number
        for peer, number in peers.items()
        if any(
            len(peer) == size and _network(peer, length) in held
            for (size, length), held in networks.items()
        )
    )


def _network(address: bytes, length: int) -> bytes:
    bits = len(address) * 8
    mask = ((1 << length) - 1) << (bits - length)
    return (int.from_bytes(address, "big") & mask).to_bytes(len(address), "big")
