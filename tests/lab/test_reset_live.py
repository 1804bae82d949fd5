# SPDX-License-Identifier: GPL-2.0-or-later
"""`block --reset` on a running box: the places that a source holds are free when it returns."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from tests.conftest import need
from tests.lab.questions import in_store
from tests.lab.slots import ANSWER, PORT, SlotServer
from xdpctl.base.net.prefix import parse_prefix
from xdpctl.base.system.tcp_sockets import Closing, Sockets
from xdpctl.lab.box import Box
from xdpctl.lab.namespaces import Host, Lab
from xdpctl.lab.waits import eventually

SLOW, PLACES = 400, 403
REQUEST = b"GET / HTTP/1.0\r\nX-a: "  # not yet ended
SERVERS = {4: "192.0.2.1", 6: "2001:db8::1"}
ATTACKERS = {4: "203.0.113.7", 6: "2001:db8:bad::7"}
GOOD = {4: "192.0.2.200", 6: "2001:db8::200"}
INSIDE = "198.51.100.2"  # a server behind the box
PATIENT = 20.0


@dataclass(slots=True)
class Site:
    """A box that serves and forwards, an attacker before it and a server behind it."""

    box: Host
    far: Host
    inner: Host
    open: list[socket.socket] = field(default_factory=list)

    def connect(self, source: str, to: str, seconds: float = PATIENT) -> socket.socket:
        made = self.far.call(lambda: socket.create_connection((to, PORT), seconds, (source, 0)))
        self.open.append(made)
        made.sendall(REQUEST)
        return made


@pytest.fixture
def site() -> Iterator[Site]:
    need(os.geteuid() == 0, "root")
    with Lab("reset") as lab:
        site = Site(lab.host("box"), lab.host("far"), lab.host("inner"))
        lab.cable(site.box, "isp0", site.far, "far0")
        lab.cable(site.box, "lan0", site.inner, "lan0")
        site.box.ip(f"addr add {SERVERS[4]}/24 dev isp0")
        site.box.ip(f"addr add {SERVERS[6]}/64 dev isp0")
        site.box.ip("addr add 198.51.100.1/24 dev lan0")
        site.box.ip("route add 203.0.113.0/24 dev isp0")
        site.box.ip("-6 route add 2001:db8:bad::/64 dev isp0")
        site.box.sysctl("net.ipv4.ip_forward", 1)
        site.inner.ip(f"addr add {INSIDE}/24 dev lan0")
        site.inner.ip("route add default via 198.51.100.1")
        for address in (*ATTACKERS.values(), *GOOD.values(), "203.0.113.9"):
            site.far.ip(f"addr add {address}/{64 if ':' in address else 24} dev far0")
        site.far.ip(f"route add 198.51.100.0/24 via {SERVERS[4]}")
        yield site
        for one in site.open:
            one.close()


@pytest.fixture
def box(site: Site) -> Iterator[Box]:
    box = Box(site.box, ["isp0"])
    try:
        box.start()
        yield box
    finally:
        box.remove()


def cli(box: Box, *words: str, wrapper: tuple[str, ...] = ()) -> "subprocess.CompletedProcess[str]":
    """Run a command in the box's namespace, where its sockets are."""
    command = (*wrapper, sys.executable, "-m", "xdpctl", "--socket", str(box.socket), *words)
    env = {key: value for key, value in os.environ.items() if key != "SSH_CONNECTION"}
    pipe = subprocess.PIPE
    process = box.host.popen(*command, stdout=pipe, stderr=pipe, env=env)
    out, err = process.communicate()
    return subprocess.CompletedProcess(command, process.returncode, out.decode(), err.decode())


def hear(connection: socket.socket) -> bytes:
    """Read until the other end closes."""
    connection.settimeout(PATIENT)
    heard = b""
    while data := connection.recv(64):
        heard += data
    return heard


def served(connection: socket.socket) -> bool:
    """Whether a connection is answered after its request is completed."""
    connection.sendall(b"b\r\n\r\n")
    return hear(connection) == ANSWER


@pytest.mark.parametrize(
    ("version", "family"),
    [(4, socket.AF_INET), (4, socket.AF_INET6), (6, socket.AF_INET6)],
    ids=["IPv4", "IPv4 at an IPv6 socket", "IPv6"],
)
def test_four_hundred_held_connections_are_closed_when_the_command_returns(
    site: Site, box: Box, version: int, family: socket.AddressFamily
) -> None:
    server = SlotServer(site.box, PLACES, family)
    attacker, to = ATTACKERS[version], SERVERS[version]
    slow = [site.connect(attacker, to) for _ in range(SLOW)]
    good = [site.connect(GOOD[version], to) for _ in range(PLACES - SLOW)]
    assert eventually(lambda: server.held == PLACES)
    waiting = site.connect(GOOD[version], to)  # in the backlog: every place is taken
    # --force: it holds more than half of all connections
    assert cli(box, "block", attacker, "--force").returncode == 0
    assert server.held == PLACES, "a drop alone frees nothing"
    done = cli(box, "block", attacker, "--force", "--reset")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"closed {SLOW} connections of this host with {attacker}\n" in done.stdout
    assert not site.box.call(lambda: list(Sockets().within(parse_prefix(attacker))))
    assert eventually(lambda: server.held == PLACES - SLOW + 1)
    assert all(map(served, (waiting, *good, site.connect(GOOD[version], to))))
    with pytest.raises(ConnectionResetError):
        hear(slow[0])
    server.close()


def test_json_has_the_number_and_an_accepted_source_stays_connected(site: Site, box: Box) -> None:
    server = SlotServer(site.box, PLACES, socket.AF_INET)
    for _ in range(7):
        site.connect(ATTACKERS[4], SERVERS[4])
    accepted = site.connect("203.0.113.9", SERVERS[4])
    assert eventually(lambda: server.held == 8)
    assert cli(box, "allow", "203.0.113.9").returncode == 0
    done = cli(box, "block", "203.0.113.0/24", "--force", "--reset", "--json")
    assert done.returncode == 0, done.stderr
    rule = json.loads(done.stdout)
    assert (rule["match"]["source"], rule["closed"]) == ("203.0.113.0/24", 7)
    kept = "kept 1 connection with 203.0.113.9: the filter does not drop its packets (accepted)"
    assert kept in done.stderr
    assert served(accepted)
    server.close()


def test_the_command_says_that_forwarded_connections_end_elsewhere(site: Site, box: Box) -> None:
    server = SlotServer(site.inner, PLACES, socket.AF_INET)
    for _ in range(7):
        site.connect(ATTACKERS[4], INSIDE)
    assert eventually(lambda: server.held == 7)
    done = cli(box, "block", ATTACKERS[4], "--reset")
    assert (done.returncode, done.stderr) == (0, "")
    assert f"closed no connection: this host has none with {ATTACKERS[4]}. " in done.stdout
    assert "that it forwards end on other hosts and cannot be closed from here" in done.stdout
    assert server.held == 7
    assert in_store(box) == {f"{ATTACKERS[4]}/32"}
    server.close()


def test_without_the_capability_the_reset_is_refused(site: Site, box: Box) -> None:
    dropped = ("setpriv", "--bounding-set=-net_admin")
    done = cli(box, "block", ATTACKERS[4], "--reset", wrapper=dropped)
    assert done.returncode == 2
    assert "Nothing was done. Use sudo" in done.stderr
    assert in_store(box) == set()


def test_connections_in_every_state_are_closed_except_time_wait(site: Site) -> None:
    def states() -> list[str]:
        lines = site.box.sh("ss", "-Htan", "dst", "203.0.113.0/24").splitlines()
        return sorted(line.split()[0] for line in lines)

    def listen() -> tuple[socket.socket, socket.socket]:
        deferring = socket.create_server((SERVERS[4], PORT + 1))
        # a connection stays in SYN-RECV until something is sent
        deferring.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, 60)
        return socket.create_server((SERVERS[4], PORT)), deferring

    def unanswered() -> socket.socket:
        made = socket.socket()
        made.setblocking(False)
        made.connect_ex(("203.0.113.99", PORT))
        return made

    def connect(port: int) -> socket.socket:
        return socket.create_connection((SERVERS[4], port), PATIENT, (ATTACKERS[4], 0))

    listener, deferring = site.box.call(listen)
    site.open += [listener, deferring, site.box.call(unanswered)]
    site.open.append(site.far.call(lambda: connect(PORT + 1)))
    pairs = [(site.far.call(lambda: connect(PORT)), listener.accept()[0]) for _ in range(4)]
    site.open += [end for pair in pairs for end in pair]
    pairs[1][0].shutdown(socket.SHUT_WR)
    pairs[2][1].shutdown(socket.SHUT_WR)
    pairs[3][1].close()
    assert pairs[3][0].recv(1) == b""
    pairs[3][0].close()
    held = ["CLOSE-WAIT", "ESTAB", "FIN-WAIT-2", "SYN-RECV", "SYN-SENT"]
    assert eventually(lambda: states() == [*held, "TIME-WAIT"]), states()
    closing = Closing(parse_prefix("203.0.113.0/24"), lambda one: True, Sockets())
    site.box.call(closing.run)
    assert (closing.closed, closing.left) == (len(held), 0)
    assert states() == ["TIME-WAIT"]
