# SPDX-License-Identifier: GPL-2.0-or-later
"""A name server inside, a resolver in the world, and what people wait who ask the resolver."""

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bench.harm.servers import Addresses, files
from tests.lab.behind.floods import question
from tests.lab.behind.places import Place
from xdpctl.lab.namespaces import Host
from xdpctl.lab.waits import eventually

ZONE = "school.example"  # of bench/harm/servers.py: it has every name
_PORT = 5300
_PATIENT_SECONDS = 10.0
_TC = 2  # of the third byte
_UNBOUND = """
server:
  interface: 127.0.0.1@{port}
  outgoing-interface: {client}
  access-control: 127.0.0.0/8 allow
  do-daemonize: no
  username: ""
  chroot: ""
  directory: "{folder}"
  pidfile: "{folder}/unbound.pid"
  logfile: "{folder}/unbound.log"
  use-syslog: no
  num-threads: 1
  module-config: "iterator"
remote-control:
  control-enable: no
stub-zone:
  name: {zone}
  stub-addr: {server}
"""


def ask(host: Host, to: tuple[str, int], name: str, source: str = "") -> tuple[bytes, float]:
    """The answer to a query over UDP, empty if there is none, and the seconds that it took."""

    def work() -> tuple[bytes, float]:
        kind = socket.AF_INET6 if ":" in to[0] else socket.AF_INET
        with socket.socket(kind, socket.SOCK_DGRAM) as asking:
            if source:
                asking.bind((source, 0))
            asking.settimeout(_PATIENT_SECONDS)
            began = time.monotonic()
            with suppress(OSError):
                asking.sendto(question(name), to)
                return asking.recv(4096), time.monotonic() - began
            return b"", time.monotonic() - began

    return host.call(work)


def is_truncated(answer: bytes) -> bool:
    return bool(answer[2] & _TC)


def has_address(answer: bytes) -> bool:
    """Whether there is an answer without an error, and with a record."""
    return len(answer) > 12 and not answer[3] & 15 and answer[6:8] != b"\0\0"


class Resolver:
    """Asks the resolver of the world for names that it has not seen."""

    def __init__(self, place: Place, server: str) -> None:
        self.place, self.server = place, server
        self._asked = 0

    def ask(self) -> float | None:
        """The seconds until a name is known; None if it is not."""
        self._asked += 1
        name = f"pupil{self._asked}.{ZONE}"
        answer, seconds = ask(self.place.world, ("127.0.0.1", _PORT), name)
        return seconds if has_address(answer) else None


@contextmanager
def resolving(place: Place, folder: Path, six: bool = False) -> Iterator[Resolver]:
    """Run both; the resolver asks from the first client's address."""
    at = Addresses(six)
    files(folder, at)
    fields = {"folder": folder, "client": at.client(0), "server": at.server}
    (folder / "unbound").write_text(_UNBOUND.format(port=_PORT, zone=ZONE, **fields))
    with (
        place.server.popen("nsd", "-d", "-c", str(folder / "nsd.inside")) as server,
        place.world.popen("unbound", "-d", "-c", str(folder / "unbound")) as resolver,
    ):
        try:
            made = Resolver(place, at.server)
            assert eventually(lambda: made.ask() is not None), "the resolver does not answer"
            yield made
        finally:
            for each in (resolver, server):
                each.terminate()
