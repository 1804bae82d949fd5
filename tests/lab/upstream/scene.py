# SPDX-License-Identifier: GPL-2.0-or-later
"""A narrow uplink that a flood fills: the world, a provider with FRR, a box that routes, a server.

FRR shows FlowSpec routes and does not enforce them, so `Line` does what a router's line card
would: it drops in the provider's namespace what FRR's table has.
"""

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tests.lab.upstream.line import Line
from tests.lab.upstream.routers import Frr
from xdpctl.lab.box import Box
from xdpctl.lab.namespaces import Host, Lab

VICTIM, RATE = "198.51.100.7", 20_000_000  # bits/s
_FLOOD = """
import socket, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("", 53))
body, until = bytes(900), time.monotonic() + float(sys.argv[2])
while time.monotonic() < until:
    for _ in range(3):
        try:
            s.sendto(body, (sys.argv[1], 9999))
        except OSError:
            pass
    time.sleep(0.0001)
"""
SETTINGS = """
[upstream]
uplinks = [{interface = "isp0", bits_in = %(rate)d}]
own = ["198.51.100.0/24"]
ttl = "%(ttl)s"
probe = "5s"
[[upstream.peers]]
name = "isp1"
address = "192.0.2.1"
local_address = "192.0.2.2"
peer_as = 64496
local_as = 64500
mode = "%(mode)s"
%(peer)s
"""


@dataclass
class Scene:
    """The hosts of the lab, and operations on them."""

    lab: Lab
    world: Host
    isp: Host
    box: Box
    server: Host
    frr: Frr
    line: Line

    def configure(self, mode: str = "ask", ttl: str = "5m", peer: str = "") -> None:
        self.box.settings = SETTINGS % {"rate": RATE, "ttl": ttl, "mode": mode, "peer": peer}

    @contextmanager
    def flood(self, seconds: float) -> Iterator[None]:
        """Send some 100 Mbit/s from port 53 to the victim, for at most this many seconds."""
        words = (sys.executable, "-c", _FLOOD, VICTIM, str(seconds))
        flooding = self.world.popen(*words, stdout=subprocess.DEVNULL)
        try:
            yield
        finally:
            flooding.terminate()
            flooding.wait()

    def lost(self, count: int = 20) -> float:
        """The share of a client's pings of 1,000 bytes that the server does not answer."""
        done = subprocess.run(
            [
                "nsenter",
                f"--net={self.world.path}",
                "ping",
                "-q",
                "-c",
                str(count),
                "-i",
                "0.05",
                "-s",
                "1000",
                "-W",
                "1",
                VICTIM,
            ],
            capture_output=True,
            text=True,
        )
        share = re.search(r"(\d+(?:\.\d+)?)% packet loss", done.stdout)
        assert share, done.stdout + done.stderr
        return float(share[1]) / 100

    def upstream(self) -> dict[str, Any]:
        state: dict[str, Any] = self.box.client.call("GET", "/v1/upstream")
        return state

    def up(self, name: str = "isp1") -> bool:
        return any(peer["up"] for peer in self.upstream()["peers"] if peer["name"] == name)

    def proposed(self, kind: str = "flowspec") -> dict[str, Any] | None:
        listed = self.upstream()["announcements"]
        return next((e for e in listed if e["kind"] == kind and e["state"] == "proposed"), None)

    def share(self) -> float:
        return self.upstream()["uplinks"][0]["share"] or 0.0


@contextmanager
def played() -> Iterator[Scene]:
    """Build the scene; everything is removed at the end."""
    with Lab("full") as lab:
        world, isp, host, server = (lab.host(n) for n in ("world", "isp", "box", "server"))
        lab.cable(world, "net0", isp, "net0")
        lab.cable(isp, "cust0", host, "isp0")
        lab.cable(host, "lan0", server, "eth0")
        for on, device, address in (
            (world, "net0", "203.0.113.1/24"),
            (isp, "net0", "203.0.113.254/24"),
            (isp, "cust0", "192.0.2.1/24"),
            (host, "isp0", "192.0.2.2/24"),
            (host, "lan0", "198.51.100.1/24"),
            (server, "eth0", f"{VICTIM}/24"),
        ):
            on.ip(f"addr add {address} dev {device}")
        for on in (isp, host):
            on.sysctl("net.ipv4.ip_forward", 1)
        world.ip("route add default via 203.0.113.254")
        isp.ip("route add 198.51.100.0/24 via 192.0.2.2")
        host.ip("route add default via 192.0.2.1")
        server.ip("route add default via 198.51.100.1")
        shape = f"qdisc add dev cust0 root tbf rate {RATE} burst 32kb limit 64kb"
        isp.sh("tc", *shape.split())
        frr = Frr(isp, "192.0.2.1", "192.0.2.2")
        box = Box(host, ["isp0", "lan0"])
        scene = Scene(lab, world, isp, box, server, frr, Line(frr, isp))
        scene.configure()
        try:
            frr.start()
            scene.line.start()
            yield scene
        finally:
            scene.line.stop()
            box.remove()
            frr.stop()
