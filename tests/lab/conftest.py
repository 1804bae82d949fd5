# SPDX-License-Identifier: GPL-2.0-or-later
"""A server and a flooding host, or a box with xdpctl, in separate namespaces for each test."""

import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import ip_address

import pytest

from tests.conftest import need
from tests.kernel.conftest import _able, compiled, datapath, loader, pins
from xdpctl.base.net.prefix import parse_prefix
from xdpctl.lab.box import Box
from xdpctl.lab.flood import Generator, Sent, compile_generator, interface, udp_frame
from xdpctl.lab.namespaces import Host, Lab
from xdpctl.lab.sniffer import Sniffer

__all__ = ["_able", "compiled", "datapath", "loader", "pins"]
FLOOD_SECONDS = 120.0  # an upper bound, if the test fails to stop it
_TURN = 1 << 18  # packets a run; a run takes some 20 ms to set up
SERVER = "192.0.2.1"


@dataclass(frozen=True, slots=True)
class Street:
    """The server's end of the cable is `isp0`, the attacker's `far0`."""

    server: Host
    attacker: Host
    generator: Generator

    @property
    def mac(self) -> str:
        """The MAC address of the server's card."""
        return interface(self.server, "isp0")[1]

    @contextmanager
    def flood(self, sources: Sequence[str], to: str = SERVER) -> Iterator["Future[Sent]"]:
        """Flood the server from these sources until the block ends, as fast as possible."""
        self._aim(sources, to)
        sent = self.attacker.start(self._keep_on)
        try:
            yield sent
        finally:
            self.generator.stop.set()
            sent.result()

    def send(self, sources: Sequence[str], packets: int) -> None:
        """Send this number of packets, and wait until they are sent."""
        self._aim(sources)
        self.attacker.call(lambda: self.generator.send(packets))

    def sniffer(self, network: str) -> Sniffer:
        """Counts the packets from this network that reach the server's network stack."""
        return Sniffer(self.server, "isp0", parse_prefix(network))

    def _aim(self, sources: Sequence[str], to: str = SERVER) -> None:
        index, _ = interface(self.attacker, "far0")
        _, mac = interface(self.server, "isp0")
        self.generator.stop.clear()
        packed = b"".join(ip_address(source).packed for source in sources)
        self.generator.aim(udp_frame(mac, to, 53), packed, index)

    def _keep_on(self) -> Sent:
        began, packets = time.monotonic(), 0
        while not self.generator.stop.is_set() and time.monotonic() < began + FLOOD_SECONDS:
            self.generator.send(_TURN)
            packets += _TURN
        return Sent(packets, time.monotonic() - began)


@pytest.fixture(scope="session")
def generator(_able: None) -> Iterator[Generator]:
    new_generator = Generator(compile_generator())
    yield new_generator
    new_generator.close()


@pytest.fixture
def street(generator: Generator) -> Iterator[Street]:
    with Lab("street") as lab:
        server, attacker = lab.host("server"), lab.host("attacker")
        lab.cable(server, "isp0", attacker, "far0")
        server.ip(f"addr add {SERVER}/24 dev isp0")
        yield Street(server, attacker, generator)


@pytest.fixture
def host() -> Iterator[Host]:
    need(os.geteuid() == 0, "root")
    with Lab("box") as lab:
        host, other = lab.host("box"), lab.host("far")
        lab.cable(host, "isp0", other, "far0")
        host.ip("addr add 192.0.2.1/24 dev isp0")
        yield host


@pytest.fixture
def box(host: Host) -> Iterator[Box]:
    box = Box(host, ["isp0"])
    yield box
    box.remove()


@pytest.fixture
def street_box(street: Street) -> Iterator[Box]:
    """A box on the street's server; the test starts it."""
    box = Box(street.server, ["isp0"])
    try:
        yield box
    finally:
        box.remove()
