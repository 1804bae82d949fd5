# SPDX-License-Identifier: GPL-2.0-or-later
"""A fleet in namespaces: nodes with a real filter, three of them with etcd, real certificates.

Each node has a link to the hub (10.77.0.N), over which the nodes speak, and a link to an attacker.
Both are filtered, and the hub is outside.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Self

from tests.support.packets import address, ethernet, ipv4, udp
from xdpctl.fleet.authority.daemon import Daemon
from xdpctl.fleet.authority.layout import Layout
from xdpctl.lab.box import Box
from xdpctl.lab.flood import interface
from xdpctl.lab.namespaces import Host, Lab, LabError
from xdpctl.lab.waits import until

_OUTSIDE = 'interfaces = ["isp0", {name = "hub0", side = "outside"}]'
_ETH_P_IP = 0x0800
_STEP = 0.001


class Edge:
    """One node: its namespace, its box, and etcd's process where it is a member."""

    def __init__(self, fleet: "FleetLab", number: int) -> None:
        self.name, self.number, self.fleet = f"edge{number}", number, fleet
        self.address = f"10.77.0.{number}"
        self.host: Host = fleet.lab.host(self.name)
        fleet.lab.cable(fleet.hub, f"port{number}", self.host, "hub0")
        fleet.hub.ip(f"link set port{number} master br0")
        self.host.ip(f"addr add {self.address}/24 dev hub0")
        fleet.lab.cable(fleet.attacker, f"wire{number}", self.host, "isp0")
        self.host.ip(f"addr add 192.0.2.{number}/24 dev isp0")
        # what the nodes say to each other is filtered, too
        self.box = Box(self.host, ["isp0", "hub0"])
        self.etcd = 0
        self.settings = _OUTSIDE  # besides [fleet]

    @property
    def config(self) -> Path:
        return self.box.directory / "fleet.toml"

    def admin(self, *words: str) -> Any:
        """Run a command of `xdpctl fleet` as root on this node; return its output."""
        command = (sys.executable, "-m", "xdpctl", "--socket", str(self.box.socket), "fleet")
        more = ("--config", str(self.config), "--state-dir", str(self.box.directory / "state"))
        quiet = words[0] not in ("init", "token", "join", "renew", "replace", "promote")
        output = self.host.sh(*command, *words, *more, *([] if quiet else ["--json"]))
        return output if quiet else json.loads(output)

    def cli(self, *words: str) -> Any:
        """Run a command of xdpctl on this node; return its output."""
        command = (sys.executable, "-m", "xdpctl", "--socket", str(self.box.socket))
        return json.loads(self.host.sh(*command, *words, "--json"))

    def start(self) -> None:
        """Start the node's box with its configuration."""
        self.box.settings = self.settings + "\n" + self.config.read_text()
        self.box.start()

    def call(self, method: str, path: str, **more: Any) -> Any:
        return self.box.client.call(method, path, **more)

    def block(self, source: str, **more: Any) -> Any:
        body = {"match": {"source": source}, "action": "drop", **more}
        return self.call("POST", "/v1/rules", json=body)

    def sources(self) -> dict[str, str]:
        """The rules on this node: mode, action and origin by source."""
        return {
            r["text"]: f"{r['mode']} {r['action']} {r['origin']}" for r in self.box.client.pages()
        }

    def join(self, host: "Edge", token: str) -> None:
        """Join at a node with a token; etcd's process is noted if this one is a member then."""
        self.etcd = self.admin("join", host.address, "--token", token)["etcd"]

    def restart(self) -> None:
        """Start the box again with its configuration as it is now."""
        self.box.stop()
        self.start()

    def lose(self) -> None:
        """End everything of this node, as if its host were gone."""
        self.kill_etcd()
        self.etcd = 0
        self.box.stop()
        self.cut()

    def refusal(self, *words: str) -> str:
        """The error of a command of `xdpctl fleet`."""
        try:
            self.admin(*words)
        except LabError as error:
            return str(error)
        raise AssertionError(f"{words} was not refused")

    def troubles(self) -> list[str]:
        """What this node says is wrong with the fleet."""
        return list(self.call("GET", "/v1/fleet")["troubles"])

    def engine(self) -> str:
        """What this node says about the engine."""
        return str(self.call("GET", "/v1/fleet")["engine"]["text"])

    def cut(self) -> None:
        """Disconnect the node from the hub."""
        self.fleet.hub.ip(f"link set port{self.number} down")

    def heal(self) -> None:
        self.fleet.hub.ip(f"link set port{self.number} up")

    def kill_etcd(self, how: int = signal.SIGKILL) -> None:
        os.kill(self.etcd, how)

    def find_etcd(self) -> None:
        """Note the process of etcd that a command has started."""
        layout = Layout(self.box.directory / "state", "xdpctl", "xdpctl")
        self.etcd = Daemon(layout).process
        assert self.etcd

    def start_etcd(self) -> None:
        """Start etcd again after it was killed."""
        file = self.box.directory / "state" / "engine" / "etcd.env"
        with (file.parent / "log").open("ab") as log:
            command = ("setpriv", "--reuid=etcd", "--regid=etcd", "--clear-groups")
            shell = ("sh", "-c", 'set -a; . "$0"; exec etcd', str(file))
            process = self.host.popen(*command, *shell, stdout=log, stderr=log)
        self.fleet.ends.callback(_end_process, process)
        self.etcd = process.pid


class FleetLab:
    """Nodes `edge1`, `edge2`, ...; the first `members` have etcd. A context manager."""

    def __init__(self, nodes: int = 5, members: int = 3) -> None:
        self.ends = ExitStack()
        self._count, self._members = nodes, members
        self.edges: list[Edge] = []

    def __enter__(self) -> Self:
        try:
            self._build()
        except BaseException:
            self.ends.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.ends.close()

    def _build(self) -> None:
        self.lab = self.ends.enter_context(Lab("fleet"))
        self.hub, self.attacker = self.lab.host("hub"), self.lab.host("attacker")
        self.hub.ip("link add br0 type bridge")
        self.hub.ip("link set br0 up")
        for number in range(1, self._count + 1):
            self.another(number)

    def found(self) -> None:
        """Found the fleet, and let all nodes in; they are started."""
        first, *others = self.edges
        first.etcd = first.admin("init", first.name, "--address", first.address)["etcd"]
        first.start()
        for edge in others:
            self.let_in(edge, member=edge.number <= self._members)
            edge.start()
        until(lambda: all(len(self.live(edge)) == self._count for edge in self.edges))

    def let_in(self, edge: Edge, member: bool, publish: bool = True, *more: str) -> None:
        words = ["token", edge.name, "--address", edge.address, *more]
        words += ["--member"] if member else ["--publish"] if publish else []
        token = self.edges[0].admin(*words)["token"]
        edge.join(self.edges[0], token)

    def another(self, number: int) -> Edge:
        """A new host, which is in no fleet yet."""
        edge = Edge(self, number)
        self.edges.append(edge)
        self.ends.callback(edge.box.remove)
        self.ends.callback(_end, edge)
        return edge

    def live(self, edge: Edge) -> list[str]:
        """The nodes that one node knows as live."""
        return [n["name"] for n in edge.call("GET", "/v1/fleet")["nodes"] if n["live"]]

    def leader(self) -> Edge:
        """Wait for a leader; return its node."""
        return until(self._leader, "nobody leads")

    def _leader(self) -> Edge | None:
        first = self.edges[0].box.directory / "state" / "authority"
        members = [edge for edge in self.edges if edge.etcd]
        for member in members:
            try:
                output = member.host.sh(*self._status(members, first))
            except LabError:
                continue
            for answer in json.loads(output):
                if answer["Status"]["header"]["member_id"] == answer["Status"].get("leader"):
                    where = answer["Endpoint"].partition(":")[0]
                    return next(edge for edge in members if edge.address == where)
        return None

    def _status(self, members: Sequence[Edge], first: Path) -> tuple[str, ...]:
        return (
            *("etcdctl", "--endpoints", ",".join(f"{e.address}:2379" for e in members)),
            *("--cacert", str(first / "ca.crt"), "--cert", str(first / "admin.crt")),
            *("--key", str(first / "admin.key"), "endpoint", "status", "-w", "json"),
        )


def _end_process(process: "subprocess.Popen[bytes]") -> None:
    process.send_signal(signal.SIGCONT)
    process.kill()
    process.wait()


def _end(edge: Edge) -> None:
    """End etcd, which fleet init started."""
    if edge.etcd:
        try:
            os.kill(edge.etcd, signal.SIGCONT)
            os.kill(edge.etcd, signal.SIGKILL)
        except ProcessLookupError:
            return


class Traffic:
    """Sends a thousand packets a second from one source to every node, and notes when they pass."""

    def __init__(self, fleet: FleetLab) -> None:
        self.edges = fleet.edges
        self.far: dict[str, tuple[socket.socket, bytes]] = {}
        self.near: dict[str, socket.socket] = {}
        for edge in fleet.edges:
            mac = bytes.fromhex(interface(edge.host, "isp0")[1].replace(":", ""))
            wire = f"wire{edge.number}"
            self.far[edge.name] = fleet.attacker.call(partial(_packet_socket, wire)), mac
            self.near[edge.name] = edge.host.call(partial(_packet_socket, "isp0"))

    def close(self) -> None:
        for sender, _ in self.far.values():
            sender.close()
        for receiver in self.near.values():
            receiver.close()

    def frame(self, source: str, mac: bytes, number: int) -> bytes:
        payload = ipv4(address(source), address(f"192.0.2.{number}"), udp())
        return mac + ethernet(_ETH_P_IP, payload)[6:]

    def watch(self, source: str, stop: threading.Event) -> "Future[dict[str, int]]":
        """Send twenty packets a second from a source until `stop`; return the passed, by node."""
        return ThreadPoolExecutor(1).submit(_watch, self, source, stop)

    def run(
        self, source: str, seconds: float, act: Callable[[], Any]
    ) -> tuple[dict[str, float], Any]:
        """Send, and call `act` meanwhile; return the seconds to the last passed packet, by node.

        0: none passed after the act began; infinite: it passes still.
        """
        frames = {
            edge.name: (
                self.far[edge.name][0],
                self.frame(source, self.far[edge.name][1], edge.number),
            )
            for edge in self.edges
        }
        wanted = address(source)
        last: dict[str, float] = {}
        done: list[Any] = []
        began = [0.0]

        def acting() -> None:
            began[0] = time.perf_counter()
            done.append(act())

        for receiver in self.near.values():
            _drain(receiver, wanted)
        worker, start = threading.Thread(target=acting), time.perf_counter()
        started = False
        while (now := time.perf_counter()) - start < seconds:
            for sender, frame in frames.values():
                sender.send(frame)
            for name, receiver in self.near.items():
                if _drain(receiver, wanted):
                    last[name] = time.perf_counter()
            if not started and now - start > 0.02:
                started = True
                worker.start()
            time.sleep(_STEP)
        worker.join()
        end = time.perf_counter()
        return {
            edge.name: float("inf")
            if end - last.get(edge.name, 0.0) < 0.01
            else max(0.0, last.get(edge.name, 0.0) - began[0])
            for edge in self.edges
        }, done[0]


def _watch(traffic: Traffic, source: str, stop: threading.Event) -> dict[str, int]:
    wanted = address(source)
    passed = dict.fromkeys(traffic.near, 0)
    for receiver in traffic.near.values():
        _drain(receiver, wanted)
    while not stop.wait(0.05):
        for edge in traffic.edges:
            sender, mac = traffic.far[edge.name]
            sender.send(traffic.frame(source, mac, edge.number))
        for name, receiver in traffic.near.items():
            passed[name] += _drain(receiver, wanted)
    return passed


def _packet_socket(name: str) -> socket.socket:
    opened = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_IP))
    opened.bind((name, 0x0800))
    opened.setblocking(False)
    return opened


def _drain(receiver: socket.socket, source: bytes) -> bool:
    """Whether a packet of this source has come since the last look."""
    came = False
    while True:
        try:
            frame = receiver.recv(64)
        except BlockingIOError:
            return came
        came |= frame[26:30] == source


@contextmanager
def founded(nodes: int = 5, members: int = 3) -> Iterator[FleetLab]:
    with FleetLab(nodes, members) as fleet:
        fleet.found()
        yield fleet


def median(values: Sequence[float]) -> float:
    return sorted(values)[len(values) // 2]
