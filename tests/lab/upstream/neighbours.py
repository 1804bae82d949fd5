# SPDX-License-Identifier: GPL-2.0-or-later
"""A box between a provider, which runs FRR, and a scrubbing centre, which runs GoBGP."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.lab.upstream.routers import Frr, Gobgp
from xdpctl.lab.box import Box
from xdpctl.lab.namespaces import Host, Lab
from xdpctl.lab.waits import eventually

VICTIM = "198.51.100.7"
DNS = f"udp src-port 53 dst {VICTIM}"
SPEAKER = "exabgp_main server"  # of its command line
SETTINGS = """
interfaces = [{name = "isp0", side = "outside"}, "scrub0"]
[upstream]
uplinks = [{interface = "isp0", bits_in = 20_000_000}]
own = ["198.51.100.0/24"]
ttl = "%(ttl)s"
probe = "4s"

[[upstream.peers]]
name = "isp1"
address = "192.0.2.1"
local_address = "192.0.2.2"
peer_as = 64496
local_as = 64500
%(isp)s

[[upstream.peers]]
name = "scrubber"
address = "203.0.113.1"
local_address = "203.0.113.2"
peer_as = 64497
local_as = 64500
mode = "off"
receive = "enforce"
receive_most = 200
"""


@dataclass
class Site:
    """The box, and both neighbours."""

    box: Box
    host: Host
    isp: Host
    frr: Frr
    gobgp: Gobgp

    def configure(self, ttl: str = "5m", isp: str = "", **more: Any) -> None:
        self.box.settings = SETTINGS % {"ttl": ttl, "isp": isp} + str(more.get("more", ""))

    def start(self, sessions: int = 2) -> None:
        """Start the box, and wait until so many sessions are up."""
        self.box.start()
        assert eventually(lambda: sum(self.up().values()) >= sessions)

    def upstream(self) -> dict[str, Any]:
        state: dict[str, Any] = self.box.client.call("GET", "/v1/upstream")
        return state

    def up(self) -> dict[str, bool]:
        return {peer["name"]: peer["up"] for peer in self.upstream()["peers"]}

    def peer(self, name: str) -> dict[str, Any]:
        return next(peer for peer in self.upstream()["peers"] if peer["name"] == name)

    def announce(self, match: str = DNS, **more: Any) -> dict[str, Any]:
        """Announce a route to the provider, by hand."""
        body = {"match": match, "peer": "isp1", "confirm": f"{VICTIM}/32", **more}
        made: dict[str, Any] = self.box.client.call("POST", "/v1/upstream/announcements", json=body)
        return made

    def blackhole(self) -> dict[str, Any]:
        return self.announce(f"dst {VICTIM}", kind="rtbh")

    def rules(self) -> list[str]:
        """The matches of the scrubbing centre's rules."""
        rules = self.box.client.call("GET", "/v1/rules?limit=1000")["rules"]
        return [str(rule["match"]) for rule in rules if rule["origin"] == "bgp.scrubber"]

    def child(self, words: str) -> int:
        """The process of the box whose command line has these words; 0 if there is none."""
        for pid in self.box.processes(of_threads=True):
            try:
                line = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue
            if words in line:
                return pid
        return 0

    def send(self, words: str, number: int) -> int:
        """Send a signal to the process of the box whose command line has these words."""
        pid = self.child(words)
        assert pid, f"{words} does not run"
        os.kill(pid, number)
        return pid


@contextmanager
def between() -> Iterator[Site]:
    """A configured box with running neighbours; everything is removed at the end."""
    with Lab("bgp") as lab:
        host, isp, scrub = lab.host("box"), lab.host("isp"), lab.host("scrub")
        lab.cable(host, "isp0", isp, "cust0")
        lab.cable(host, "scrub0", scrub, "cust0")
        host.ip("addr add 192.0.2.2/24 dev isp0")
        host.ip("addr add 203.0.113.2/24 dev scrub0")
        isp.ip("addr add 192.0.2.1/24 dev cust0")
        scrub.ip("addr add 203.0.113.1/24 dev cust0")
        frr = Frr(isp, "192.0.2.1", "192.0.2.2")
        gobgp = Gobgp(scrub, "203.0.113.1", "203.0.113.2")
        box = Box(host, ["isp0", "scrub0"])
        site = Site(box, host, isp, frr, gobgp)
        site.configure()
        try:
            frr.start()
            gobgp.start()
            yield site
        finally:
            box.remove()
            frr.stop()
            site.gobgp.kill()  # a test may have put another in its place
