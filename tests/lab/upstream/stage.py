# SPDX-License-Identifier: GPL-2.0-or-later
"""A narrow link between a provider and a box that routes, with people and attackers outside.

The provider's router is FRR, BIRD or GoBGP. People run real programs: pages by curl, a call and an
upload by iperf3, a resolver inside that asks outside.
"""

import socket
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests import reference_signatures
from tests.lab.serving import serving
from tests.lab.upstream.line import Line, Router
from tests.lab.upstream.sender import NETWORK, VICTIM
from tests.lab.upstream.tables import Shown
from xdpctl.base.system.children import python
from xdpctl.lab.box import Box
from xdpctl.lab.namespaces import Host, Lab
from xdpctl.lab.waits import eventually

PEOPLE = "198.18.0.2"
_SNAP, _CALL = 96, 8801  # bytes of a frame that are kept; port of a call with video
SETTINGS = """
interfaces = [{{name = "isp0", side = "outside"}}, {extra}"lan0"]
protected = ["{network}.0/28"]
outside = {{allow = ["203.0.113.0/24", "198.18.0.0/15", "192.0.0.0/16"]}}
[upstream]
uplinks = [{uplinks}]
own = ["{network}.0/24"]
ttl = "{ttl}"
probe = "5s"
{peers}
"""
PEER = """
[[upstream.peers]]
name = "isp{n}"
address = "192.0.{n}.1"
local_address = "192.0.{n}.2"
peer_as = 64496
local_as = 64500
{more}
"""


class Tap:
    """Keeps the beginnings of the frames that come in on an interface, and their lengths."""

    def __init__(self, host: Host, interface: str) -> None:
        self.frames: list[tuple[float, bytes, int]] = []
        self._socket = host.call(lambda: self._open(interface))
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @staticmethod
    def _open(interface: str) -> socket.socket:
        tap = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        tap.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32 << 20)
        tap.bind((interface, 3))  # ETH_P_ALL
        tap.settimeout(0.2)
        return tap

    def _run(self) -> None:
        while self._socket.fileno() >= 0:
            try:
                frame, address = self._socket.recvfrom(2_048)
            except TimeoutError:
                continue
            except OSError:
                return
            if address[2] != socket.PACKET_OUTGOING:
                self.frames.append((time.monotonic(), frame[:_SNAP], len(frame)))

    def close(self) -> None:
        self._socket.close()
        self._thread.join()

    def bytes_taken(self, routes: list[Shown], since: float) -> tuple[int, int]:
        """The bytes that came since then, and those that one of the routes takes."""
        every = taken = 0
        for at, frame, length in list(self.frames):
            if at < since or frame[12:14] != b"\x08\x00":
                continue
            has = reference_signatures.fields(frame)
            every += length
            taken += length * any(reference_signatures.takes(r.components, has) for r in routes)
        return every, taken


@dataclass
class Stage:
    """The hosts of the lab, and operations on them."""

    world: Host
    people: Host
    isp: Host
    box: Box
    server: Host
    line: Line
    rate: int
    taps: dict[str, Tap] = field(default_factory=dict)
    asked: dict[str, list[bool]] = field(default_factory=lambda: defaultdict(list))

    def upstream(self) -> dict[str, Any]:
        state: dict[str, Any] = self.box.client.call("GET", "/v1/upstream")
        return state

    def up(self, name: str = "isp2") -> bool:
        return any(peer["up"] for peer in self.upstream()["peers"] if peer["name"] == name)

    def proposals(self) -> list[dict[str, Any]]:
        return [e for e in self.upstream()["announcements"] if e["state"] == "proposed"]

    def share(self) -> float:
        return float(self.upstream()["uplinks"][0]["share"] or 0.0)

    @contextmanager
    def attack(self, name: str, bits: float, seconds: float) -> Iterator[None]:
        """Send an attack for at most so many seconds."""
        words = python("tests.lab.upstream.sender", name, str(bits), str(seconds))
        sending = self.world.popen(*words)
        try:
            yield
        finally:
            sending.terminate()
            sending.wait()

    def lost(self) -> float:
        """The share of pages that people asked for lately and did not get."""
        last = self.asked["page"][-10:]
        return 1 - sum(last) / len(last) if last else 0.0


_RESOLVER = """
import socket, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
if sys.argv[1] == "serve":
    s.bind(("0.0.0.0", 53))
    while True:
        data, to = s.recvfrom(600)
        s.sendto(bytes(300), to)
while True:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(0.1)
        try:
            s.sendto(bytes(40), (sys.argv[2], 53)); s.recv(600)
        except OSError:
            pass
    time.sleep(0.02)
"""


@contextmanager
def _programs(stage: Stage) -> Iterator[None]:
    """People at their programs, for a block."""
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    stopping = threading.Event()

    def pages() -> None:
        curl = ("curl", "-s", "-m", "2", "-o", "/dev/null", f"http://{VICTIM}/")
        while not stopping.wait(0.1):
            with stage.people.popen(*curl, **quiet) as client:
                stage.asked["page"].append(client.wait() == 0)

    with ExitStack() as stack:
        stack.enter_context(serving(stage.server))
        run = [
            (stage.server, ("iperf3", "-s", "-p", str(_CALL))),
            (stage.server, ("iperf3", "-s", "-p", "5201")),
            (stage.people, (sys.executable, "-c", _RESOLVER, "serve")),
            (stage.server, (sys.executable, "-c", _RESOLVER, "ask", PEOPLE)),
        ]
        running = [host.popen(*words, **quiet) for host, words in run]
        time.sleep(1)
        call = ("-p", str(_CALL), "-u", "--bidir", "-b", "1M", "-l", "900", "-t", "600")
        upload = ("-p", "5201", "-b", "1M", "-t", "600")
        running += [
            stage.people.popen("iperf3", "-c", VICTIM, *words, **quiet) for words in (call, upload)
        ]
        thread = threading.Thread(target=pages, daemon=True)
        thread.start()
        try:
            yield
        finally:
            stopping.set()
            thread.join()
            for process in running:
                process.terminate()
            for process in running:
                process.wait()


@contextmanager
def staged(
    make: Callable[[Host, str, str], Router],
    rate: int = 20_000_000,
    peer: str = "",
    second: bool = False,
    ttl: str = "5m",
    more: str = "",
) -> Iterator[Stage]:
    """Build it all, and start it; everything is removed at the end.

    `peer` is added to the settings of the peer. With `second`, there is another uplink, whose peer
    has no router. `more` is added to the settings of the uplink.
    """
    with Lab("twelve") as lab, ExitStack() as stack:
        world, people, isp, host, server = (
            lab.host(name) for name in ("world", "people", "isp", "box", "server")
        )
        for left, left_name, right, right_name in (
            (world, "w0", isp, "w0"),
            (people, "p0", isp, "p0"),
            (isp, "cust0", host, "isp0"),
            (host, "lan0", server, "eth0"),
        ):
            lab.cable(left, left_name, right, right_name)
        for on, device, address in (
            (world, "w0", "203.0.113.1/24"),
            (isp, "w0", "203.0.113.254/24"),
            (people, "p0", f"{PEOPLE}/24"),
            (isp, "p0", "198.18.0.1/24"),
            (isp, "cust0", "192.0.2.1/24"),
            (host, "isp0", "192.0.2.2/24"),
            (host, "lan0", f"{NETWORK}.1/24"),
            (server, "eth0", f"{VICTIM}/24"),
        ):
            on.ip(f"addr add {address} dev {device}")
        for each, device in ((people, "p0"), (server, "eth0")):
            each.sh("ethtool", "-K", device, "tso", "off", "gso", "off")
        for on in (isp, host):
            on.sysctl("net.ipv4.ip_forward", 1)
        world.ip("route add default via 203.0.113.254")
        people.ip("route add default via 198.18.0.1")
        isp.ip(f"route add {NETWORK}.0/24 via 192.0.2.2")
        isp.ip("route add blackhole default")  # answers to forged sources end here
        host.ip("route add default via 192.0.2.1")
        server.ip(f"route add default via {NETWORK}.1")
        isp.sh("tc", *f"qdisc add dev cust0 root tbf rate {rate} burst 32kb limit 64kb".split())
        uplinks = [f'{{interface = "isp0", bits_in = {rate}{more}}}']
        peers = [PEER.format(n=2, more=f'uplink = "isp0"\n{peer}')]
        names = ["isp0", "lan0"]
        if second:
            other = lab.host("isp2")
            lab.cable(other, "cust0", host, "isp1")
            host.ip("addr add 192.0.3.2/24 dev isp1")
            uplinks.append('{interface = "isp1", bits_in = 20_000_000}')
            peers.append(PEER.format(n=3, more='uplink = "isp1"'))
            names.insert(1, "isp1")
        box = Box(host, names)
        box.detects = True
        box.settings = SETTINGS.format(
            network=NETWORK,
            ttl=ttl,
            uplinks=", ".join(uplinks),
            peers="".join(peers),
            extra='{name = "isp1", side = "outside"}, ' if second else "",
        )
        router = make(isp, "192.0.2.1", "192.0.2.2")
        stack.callback(router.stop)
        router.start()
        stack.callback(box.remove)
        line = Line(router, isp)
        stage = Stage(world, people, isp, box, server, line, rate)
        box.start()
        assert eventually(stage.up), stage.upstream()["peers"]
        line.start()
        stack.callback(line.stop)
        for name, device in (("attack", "w0"), ("people", "p0")):
            stage.taps[name] = Tap(isp, device)
            stack.callback(stage.taps[name].close)
        stack.enter_context(_programs(stage))
        yield stage
