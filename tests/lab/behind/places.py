# SPDX-License-Identifier: GPL-2.0-or-later
"""The three places of a box: a bridge or a router before a server, or the server itself.

The world is one host with many addresses, from which both clients and attackers come. It is the
server's gateway, so what the server says to forged sources goes out as well.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from xdpctl.datapath.loader import netlink
from xdpctl.lab.namespaces import Host, Lab

NETWORKS = ("203.0.113", "198.51.100")
CLIENTS = [f"{network}.{n}" for network in NETWORKS for n in range(1, 101)]
SETTINGS = """
interfaces = [{name = "out0", side = "outside"}]
[outside]
special_purpose = false
"""
PLACES = ("bridge", "router", "host")
_WORLD, _OUT, _INSIDE = "10.66.0.2", "10.66.0.1", "10.67.0.2"


@dataclass(frozen=True, slots=True)
class Place:
    """The hosts, and the server's address. The box's outer card is `out0`, the world's `far0`."""

    lab: Lab
    kind: str
    world: Host
    box: Host
    server: Host
    address: str

    def cable_world(self, pass_fd: int) -> None:
        """Connect the world and the box, at first or again."""
        self.lab.cable(self.world, "far0", self.box, "out0")
        for host, card, last in ((self.world, "far0", 2), (self.box, "out0", 1)):
            host.ip(f"link set {card} address 02:66:00:00:00:0{last}")
        self.world.call(lambda: _receive_answers(pass_fd))
        self.world.ip(f"addr add {_WORLD}/24 dev far0")
        if self.kind == "bridge":
            self.box.ip("link set out0 master br0")
        else:
            self.box.ip(f"addr add {_OUT}/24 dev out0")
            self.box.ip(f"route replace default via {_WORLD}")
        if self.kind == "router":
            self.world.ip(f"route replace 10.67.0.0/24 via {_OUT}")

    def cut_cable(self) -> None:
        """Remove both cards of the outer cable."""
        self.box.ip("link del out0")


def _receive_answers(pass_fd: int) -> None:
    """A veth end receives what XDP_TX sends back if it has a program itself."""
    (far,) = (link for link in netlink.links() if link.name == "far0")
    netlink.attach(far, pass_fd, "native")


@contextmanager
def place(kind: str, pass_fd: int) -> Iterator[Place]:
    """Build it; everything is deleted when the block ends."""
    with Lab(f"behind-{kind}") as lab:
        world, box = lab.host("world"), lab.host("box")
        server = box if kind == "host" else lab.host("server")
        address = _INSIDE if kind == "router" else _OUT
        made = Place(lab, kind, world, box, server, address)
        for client in CLIENTS:
            world.ip(f"addr add {client}/32 dev lo")
        for host in {world.name: world, box.name: box, server.name: server}.values():
            for name in ("all", "default"):
                host.sysctl(f"net.ipv4.conf.{name}.rp_filter", 0)
        if kind == "bridge":
            box.ip("link add br0 type bridge")
            box.ip("link set br0 up")
        if kind != "host":
            lab.cable(box, "in0", server, "eth0")
        if kind == "bridge":
            box.ip("link set in0 master br0")
            server.ip(f"addr add {_OUT}/24 dev eth0")
        if kind == "router":
            box.sysctl("net.ipv4.ip_forward", 1)
            box.ip("addr add 10.67.0.1/24 dev in0")
            server.ip(f"addr add {_INSIDE}/24 dev eth0")
        made.cable_world(pass_fd)
        if kind != "host":
            via = "10.67.0.1" if kind == "router" else _WORLD
            server.ip(f"route add default via {via}")
        yield made
