# SPDX-License-Identifier: GPL-2.0-or-later
"""Who holds very many connections with this host: slow attacks send next to no packets.

Nothing is done about them automatically: a proxy or a NAT may be behind one address.
"""

from collections.abc import Callable, Iterable

from xdpctl.base.net.prefix import Prefix
from xdpctl.base.net.tcp_peers import Peers
from xdpctl.base.periodic import PeriodicTask

_SECONDS = 10.0
_MANY = 100  # established connections with one address
_TIMES = 3  # checks in a row: connections that are really used end
_NAMED = 3
_TROUBLE = "slow connections are not looked for"


class SlowConnections:
    """`peers` reads the established connections; `ours` says whether an address is our own."""

    def __init__(self, peers: Callable[[], Peers], ours: Callable[[Prefix], bool]) -> None:
        self._peers, self._ours = peers, ours
        self._seen: dict[bytes, int] = {}
        self._counts: dict[bytes, int] = {}
        beat = PeriodicTask("slow connections", _SECONDS, self.step, _TROUBLE)
        self.start, self.stop = beat.start, beat.stop

    def step(self, _: float = 0.0) -> None:
        peers = self._peers()
        many = {peer: n for peer in peers if (n := peers.connections((peer,))) >= _MANY}
        counts = {peer: n for peer, n in many.items() if not self._ours(_prefix(peer))}
        self._seen = {peer: self._seen.get(peer, 0) + 1 for peer in counts}
        self._counts = counts

    @property
    def suspects(self) -> Iterable[tuple[Prefix, int]]:
        """Addresses that have held many connections for a while, with their number."""
        lasting = [peer for peer, times in self._seen.items() if times >= _TIMES]
        lasting.sort(key=lambda peer: -self._counts[peer])
        return [(_prefix(peer), self._counts[peer]) for peer in lasting]

    def warnings(self) -> list[str]:
        """A sentence for each, with what can be done."""
        warnings = []
        for prefix, count in list(self.suspects)[:_NAMED]:
            address = str(prefix).split("/")[0]
            warnings.append(
                f"{address} has held {count:,} connections with this host for half a minute; if it "
                f"is an attack: xdpctl block {address} --ttl 1h --reset"
            )
        return warnings


def _prefix(packed: bytes) -> Prefix:
    return Prefix(packed, len(packed) * 8)
