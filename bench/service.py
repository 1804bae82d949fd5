# SPDX-License-Identifier: GPL-2.0-or-later
"""The real `xdpctl run` in a lab, and what its control plane takes."""

import os
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from bench.errors import BenchError
from bench.wire import Connection, request
from xdpctl.datapath.loader.loader import take_down
from xdpctl.lab.box import Box
from xdpctl.lab.namespaces import Host

_IDLE_SECONDS = 6  # two rounds of its upkeep
_BOOT_SECONDS = 20
_MAPPED = "anon_inode:bpf-map"


class Service(Box):
    """A box with its control plane's memory and time; figures are of now."""

    def rss_mb(self) -> float:
        """What the kernel calls resident: with the maps of the source table."""
        return _megabytes(self._read("status"), "VmRSS:")

    def peak_mb(self) -> float:
        """The most it ever was since it started."""
        return _megabytes(self._read("status"), "VmHWM:")

    def maps_mb(self) -> float:
        """Of it, the kernel's maps, which are mapped into it and not its own memory."""
        found = False
        total = 0.0
        for line in self._read("smaps").splitlines():
            if "-" in line.split()[0]:
                found = line.endswith(_MAPPED)
            elif found and line.startswith("Rss:"):
                total += int(line.split()[1]) * 1024 / 1e6
        return total

    def own_mb(self) -> float:
        return self.rss_mb() - self.maps_mb()

    def kernel_mb(self) -> float:
        """All maps together, by the kernel's account."""
        status = Connection(self.socket).json(request("GET", "/v1/status"))
        return float(sum(status["kernel_memory"].values())) / 1e6

    def cpu_seconds(self) -> float:
        ticks = self._read("stat").rpartition(")")[2].split()[11:13]
        return sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")

    def idle_percent(self) -> float:
        """Of a core, over a while in which nobody asks for anything."""
        before = self.cpu_seconds()
        time.sleep(_IDLE_SECONDS)
        return (self.cpu_seconds() - before) / _IDLE_SECONDS * 100

    def put(self, name: str, listing: bytes) -> float:
        """Seconds to make a set that list; BenchError unless all of it is applied."""
        connection = Connection(self.socket)
        start = time.perf_counter()
        answer = connection.json(request("PUT", f"/v1/sets/{name}", listing, "text/plain"))
        seconds = time.perf_counter() - start
        connection.close()
        if answer["applied"]["ipv4"] != listing.count(b"\n"):
            raise BenchError(f"of the set {name} not all is applied: {answer}")
        return seconds

    def boot(self) -> float:
        """Seconds from nothing in the kernel until systemd would be told that rules are back."""
        self.kill()
        self.host.call(lambda: take_down(self.pins))
        with ThreadPoolExecutor() as pool, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
            door = self.directory / "ready"
            told.bind(str(door))
            door.chmod(0o777)  # the control plane's user is another one
            told.settimeout(_BOOT_SECONDS)
            self.environment["NOTIFY_SOCKET"] = str(door)
            began = time.monotonic()
            starting = pool.submit(self.start)
            for _ in ("the loader", "the control plane"):
                told.recv(16)
            seconds = time.monotonic() - began
            starting.result()
        del self.environment["NOTIFY_SOCKET"]
        return seconds

    def _read(self, name: str) -> str:
        return Path(f"/proc/{self.control_plane()}/{name}").read_text()


def _megabytes(status: str, field: str) -> float:
    return int(status.partition(field)[2].split()[0]) * 1024 / 1e6


@contextmanager
def service(host: Host, interface: str, settings: str = "") -> Iterator[Service]:
    """`xdpctl run` on `interface`, gone with its pins and files afterwards."""
    running = Service(host, [interface])
    running.settings = settings
    try:
        running.start()
        yield running
    finally:
        running.remove()
