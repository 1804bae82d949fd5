# SPDX-License-Identifier: GPL-2.0-or-later
"""A scrubbing centre, which runs GoBGP: it draws prefixes, cleans them, and sends them back.

The world follows its routes, as the Internet would: `Centre` changes the world's routing table. The
session goes through the provider, so that it does not depend on the way back.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.lab.upstream.routers import Gobgp
from tests.lab.upstream.scene import Scene
from xdpctl.lab.namespaces import Host

ADDRESS, PREFIX, RETURNS = "203.0.113.130", "198.51.100.0/24", "scrub0"
_SOURCE = "src 203.0.113.1"  # people keep their addresses
PEER = f"""
[[upstream.peers]]
name = "centre"
address = "{ADDRESS}"
local_address = "192.0.2.2"
peer_as = 64497
local_as = 64500
flowspec = false
blackhole = []
divert = ["64497:1"]
returns = "{RETURNS}"
"""


@dataclass
class Centre:
    """Its router, and the world that follows it."""

    gobgp: Gobgp
    world: Host
    drawn: bool = False
    _stopping: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        self.gobgp.start()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()
        self.gobgp.kill()

    def _run(self) -> None:
        while not self._stopping.wait(0.05):
            wanted = PREFIX in self.gobgp.prefixes()
            if wanted != self.drawn:
                self.world.ip(
                    f"route {'add' if wanted else 'del'} {PREFIX} via 203.0.114.2 {_SOURCE}"
                )
                self.drawn = wanted


@contextmanager
def centre(scene: Scene) -> Iterator[Centre]:
    """A centre beside the provider of a scene; it drops what comes from port 53."""
    lab, host = scene.lab, scene.lab.host("centre")
    lab.cable(scene.isp, "centre0", host, "isp0")
    lab.cable(scene.world, "centre0", host, "net0")
    lab.cable(host, "back0", scene.box.host, RETURNS)
    for on, device, address in (
        (scene.isp, "centre0", "203.0.113.129/30"),
        (host, "isp0", f"{ADDRESS}/30"),
        (scene.world, "centre0", "203.0.114.1/24"),
        (host, "net0", "203.0.114.2/24"),
        (host, "back0", "203.0.115.1/24"),
        (scene.box.host, RETURNS, "203.0.115.2/24"),
    ):
        on.ip(f"addr add {address} dev {device}")
    host.sysctl("net.ipv4.ip_forward", 1)
    host.ip("route add default via 203.0.113.129")
    host.ip(f"route add {PREFIX} via 203.0.115.2")
    hook = "type filter hook forward priority 0; policy accept;"
    host.sh("nft", f"add table ip clean; add chain ip clean f {{ {hook} }}")
    host.sh("nft", "add rule ip clean f udp sport 53 drop")
    scene.box.interfaces.append(RETURNS)
    scene.box.settings += PEER
    made = Centre(Gobgp(host, ADDRESS, "192.0.2.2"), scene.world)
    try:
        made.start()
        yield made
    finally:
        made.stop()
