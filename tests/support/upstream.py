# SPDX-License-Identifier: GPL-2.0-or-later
"""Settings of an uplink with peers, and a speaker that only listens."""

from collections.abc import Iterable
from typing import Any

from xdpctl.base.problems import Problems
from xdpctl.base.typed import convert
from xdpctl.config.settings import Settings
from xdpctl.upstream.bgp.messages import PeerRoute, Report, Session, Told, Wanted
from xdpctl.upstream.settings import UpstreamSettings

PEER: dict[str, Any] = {
    "name": "isp1",
    "address": "192.0.2.1",
    "local_address": "192.0.2.2",
    "peer_as": 64496,
    "local_as": 64500,
}
FAMILIES = ("ipv4 flow", "ipv6 flow", "ipv4 unicast")
OWN = ["198.51.100.0/24", "2001:db8::/32"]
UPLINKS = [{"interface": "eth0", "bits_in": 8_000_000}]


def table(*peers: dict[str, Any], **more: Any) -> UpstreamSettings:
    """The settings of a table with these peers; ConfigError for what is wrong."""
    upstream = {"uplinks": UPLINKS, "own": OWN, "peers": list(peers or (PEER,))} | more
    problems = Problems()
    settings = convert({"upstream": upstream}, Settings, problems).upstream
    problems.check()
    return settings


class FakeSpeaker:
    """Does what it is told at once; its session is up."""

    def __init__(self, families: tuple[str, ...] = FAMILIES) -> None:
        self.session = Session("192.0.2.1", up=True, families=families)
        self.announced: dict[PeerRoute, float] = {}
        self.orders: list[int] = []
        self.away = self.refuses = False

    @property
    def report(self) -> Report | None:
        if self.away:
            return None
        problem = "the speaker refused" if self.refuses else ""
        return Report([self.session], [Told(route, problem) for route in self.announced])

    def announce(self, wanted: Iterable[Wanted]) -> bool:
        self.announced = {item.route: item.seconds for item in wanted}
        self.orders.append(len(self.announced))
        return True
