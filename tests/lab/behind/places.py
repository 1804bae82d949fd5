# SPDX-License-Identifier: GPL-2.0-or-later
"""The three places of a box: a bridge or a router before a server, or the server itself.

The world is one host with many addresses, from which both clients and attackers come. It is the
server's gateway, so what the server says to forged sources goes out as well.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from xdpctl.datapath.loader import netlink
from xdpctl.lab.flood import interface
from xdpctl.lab.namespaces import Host, Lab

NETWORKS = ("203.0.113", "198.51.100")
CLIENTS = [f"{network}.{n}" for network in NETWORKS for n in range(1, 101)]
SETTINGS = """
interfaces = [{name = "out0", side = "outside"}]
protected = ["192.0.2.0/24"]
[outside]
allow = ["203.0.113.0/24", "198.51.100.0/24", "198.18.0.0/15", "2001:db8:cb::/48"]
"""
PLACES = ("bridge", "router", "host")
SERVER, OTHER = "192.0.2.1", "192.0.2.2"
SERVER6, CLIENTS6 = "2001:db8:1::1", [f"2001:db8:cb::{n:x}" for n in range(1, 101)]
SETTINGS6 = SETTINGS.replace('["192.0.2.0/24"]', '["192.0.2.0/24", "2001:db8:1::/64"]')
_NEAR6 = "2001:db8:1::fe"  # of the world, behind a bridge
_NEAR = "192.0.2.254"  # the server's gateway: the world, or the router
_WORLD, _ROUTER = "198.18.0.2", "198.18.0.1"  # of the cable before the router


@dataclass(frozen=True, slots=True)
class Place:
    """The hosts; the server is SERVER and OTHER. The outer cable is from `out0` to `far0`."""

    lab: Lab
    kind: str
    world: Host
    box: Host
    server: Host

    @property
    def attacker(self) -> Host:
        """The host that attacks: the world."""
        return self.world

    @property
    def mac(self) -> str:
        """The MAC address of the next hop: the router, or the server behind a bridge."""
        where = (self.server, "eth0") if self.kind == "bridge" else (self.box, "out0")
        return interface(*where)[1]

    def cable_world(self, pass_fd: int) -> None:
        """Connect the world and the box, for the first time or again."""
        self.lab.cable(self.world, "far0", self.box, "out0")
        for host, card, last in ((self.world, "far0", 2), (self.box, "out0", 1)):
            host.ip(f"link set {card} address 02:66:00:00:00:0{last}")
        # People's packets wait in a queue while the flood fills the cable's ring (Linux 6.16)
        self.world.sh("tc", "qdisc", "replace", "dev", "far0", "root", "pfifo", "limit", "10000")
        self.world.call(lambda: _receive_answers(pass_fd))
        near = _WORLD if self.kind == "router" else _NEAR
        self.world.ip(f"addr add {near}/24 dev far0")
        if self.kind == "bridge":
            self.box.ip("link set out0 master br0")
            return
        addresses = (_ROUTER,) if self.kind == "router" else (SERVER, OTHER)
        for address in addresses:
            self.box.ip(f"addr add {address}/24 dev out0")
        self.box.ip(f"route replace default via {near}")
        if self.kind == "router":
            self.world.ip(f"route replace 192.0.2.0/24 via {_ROUTER}")

    def add_six(self) -> None:
        """Add IPv6 behind a bridge: SERVER6 and CLIENTS6."""
        self.server.ip(f"addr add {SERVER6}/64 dev eth0")
        self.world.ip(f"addr add {_NEAR6}/64 dev far0")
        for client in CLIENTS6:
            self.world.ip(f"addr add {client}/128 dev lo")
        self.server.ip(f"-6 route add default via {_NEAR6}")
        self.world.ip(f"-6 route replace 2001:db8:1::/64 dev far0 src {CLIENTS6[20]} metric 1")

    def speak_from(self, client: str) -> None:
        """Set the default source address of the world.

        Its own address is one of the protected network, so it would be taken for spoofed.
        """
        way = f"via {_ROUTER}" if self.kind == "router" else "dev far0"
        self.world.ip(f"route replace 192.0.2.0/24 {way} src {client}")

    def cut_cable(self) -> None:
        """Remove both cards of the outer cable."""
        self.box.ip("link del out0")


def _receive_answers(pass_fd: int) -> None:
    """Attach a program: a veth end receives XDP_TX packets only if it has one itself."""
    (far,) = (link for link in netlink.links() if link.name == "far0")
    netlink.attach(far, pass_fd, "native")


@contextmanager
def place(kind: str, pass_fd: int) -> Iterator[Place]:
    """Build a place; everything is deleted when the block ends."""
    with Lab(f"behind-{kind}") as lab:
        world, box = lab.host("world"), lab.host("box")
        server = box if kind == "host" else lab.host("server")
        new_place = Place(lab, kind, world, box, server)
        for client in CLIENTS:
            world.ip(f"addr add {client}/32 dev lo")
        if kind == "bridge":
            box.ip("link add br0 type bridge")
            box.ip("link set br0 up")
        if kind != "host":
            lab.cable(box, "in0", server, "eth0")
        if kind == "bridge":
            box.ip("link set in0 master br0")
        if kind == "router":
            box.sysctl("net.ipv4.ip_forward", 1)
            box.ip(f"addr add {_NEAR}/24 dev in0")
        for address in (SERVER, OTHER) if kind != "host" else ():
            server.ip(f"addr add {address}/24 dev eth0")
        new_place.cable_world(pass_fd)
        if kind != "host":
            server.ip(f"route add default via {_NEAR}")
        yield new_place
