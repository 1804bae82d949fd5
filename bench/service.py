# SPDX-License-Identifier: GPL-2.0-or-later
"""A real `xdpctl run` in a lab, and its control plane's memory and CPU time."""

import os
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from bench.errors import BenchError
from bench.wire import Connection, request
from xdpctl.datapath.loader.take_down import take_down
from xdpctl.lab.box import Box
from xdpctl.lab.namespaces import Host

_IDLE_SECONDS = 6  # two rounds of the controller's upkeep
_BOOT_SECONDS = 20
_MAPPED = "anon_inode:bpf-map"


class Service(Box):
    """A box that also measures its control plane's memory and CPU time."""

    def rss_mb(self) -> float:
        """Resident memory in MB, which includes the mapped maps."""
        return _megabytes(self._read("status"), "VmRSS:")

    def peak_mb(self) -> float:
        """The largest resident memory since the start, in MB."""
        return _megabytes(self._read("status"), "VmHWM:")

    def maps_mb(self) -> float:
        """The part of the resident memory that is mapped BPF maps, in MB."""
        mapped = False
        total = 0.0
        for line in self._read("smaps").splitlines():
            if "-" in line.split()[0]:
                mapped = line.endswith(_MAPPED)
            elif mapped and line.startswith("Rss:"):
                total += int(line.split()[1]) * 1024 / 1e6
        return total

    def own_mb(self) -> float:
        return self.rss_mb() - self.maps_mb()

    def kernel_mb(self) -> float:
        """The kernel memory of all maps, in MB."""
        status = Connection(self.socket).json(request("GET", "/v1/status"))
        return float(sum(status["kernel_memory"].values())) / 1e6

    def cpu_seconds(self) -> float:
        ticks = self._read("stat").rpartition(")")[2].split()[11:13]
        return sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")

    def idle_percent(self) -> float:
        """The CPU use in percent of a core, over some seconds without requests."""
        before = self.cpu_seconds()
        time.sleep(_IDLE_SECONDS)
        return (self.cpu_seconds() - before) / _IDLE_SECONDS * 100

    def put(self, name: str, listing: bytes) -> float:
        """Put a set; the seconds, or BenchError unless all entries are applied."""
        connection = Connection(self.socket)
        start = time.perf_counter()
        answer = connection.json(request("PUT", f"/v1/sets/{name}", listing, "text/plain"))
        seconds = time.perf_counter() - start
        connection.close()
        if answer["applied"]["ipv4"] != listing.count(b"\n"):
            raise BenchError(f"not all entries of the set {name} were applied: {answer}")
        return seconds

    def boot(self) -> float:
        """The seconds from an empty kernel until both halves notify systemd that they are ready."""
        self.kill()
        self.host.call(lambda: take_down(self.pins))
        kind = socket.AF_UNIX, socket.SOCK_DGRAM
        with ThreadPoolExecutor() as pool, socket.socket(*kind) as notifications:
            path = self.directory / "ready"
            notifications.bind(str(path))
            path.chmod(0o777)  # the control plane runs as another user
            notifications.settimeout(_BOOT_SECONDS)
            self.environment["NOTIFY_SOCKET"] = str(path)
            began = time.monotonic()
            starting = pool.submit(self.start)
            for _ in ("the loader", "the control plane"):
                notifications.recv(16)
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
    """`xdpctl run` on `interface`; it is removed afterwards with its pins and files."""
    running = Service(host, [interface])
    running.settings = settings
    try:
        running.start()
        yield running
    finally:
        running.remove()
