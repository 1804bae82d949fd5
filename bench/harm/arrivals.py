# SPDX-License-Identifier: GPL-2.0-or-later
"""Counts what a client sends to a service, and what of it arrives behind the box."""

import json

from tests.lab.behind.places import Place
from xdpctl.lab.namespaces import Host


class Arrivals:
    """Packets from one address that match `sent`, in nftables' words, as in "udp dport 53"."""

    def __init__(self, place: Place, client: str, sent: str) -> None:
        self._ends = place.world, place.server
        for host, hook in zip(self._ends, ("output", "input"), strict=True):
            chain = f"{{ type filter hook {hook} priority 0; }}"
            rule = f"add rule ip arrivals asked ip saddr {client} {sent} counter"
            host.sh("nft", f"add table ip arrivals; add chain ip arrivals asked {chain}; {rule}")

    def read(self) -> tuple[int, int]:
        """The number of packets that were sent, and of those that arrived."""
        sent, arrived = (_packets(host) for host in self._ends)
        return sent, arrived


def _packets(host: Host) -> int:
    shown = json.loads(host.sh("nft", "-j", "list", "table", "ip", "arrivals"))["nftables"]
    (rule,) = (each["rule"]["expr"] for each in shown if "rule" in each)
    (packets,) = (each["counter"]["packets"] for each in rule if "counter" in each)
    return int(packets)
