"""How fast rules get in: the real `xdpctl run`, asked over its Unix socket."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from bench import nft, sources
from bench.errors import BenchError
from bench.results import Bar, Case, Results, percentile
from bench.wire import Connection, concurrent, request, rule, sequential
from xdpctl.lab.namespaces import Host, Lab, sh

PART = "control"
CLIENTS = 16
_READY_SECONDS = 30
_IDLE_SECONDS = 6  # two rounds of its upkeep


@dataclass(frozen=True, slots=True)
class Size:
    """How much to do."""

    loaded: int = 100_000
    posts: int = 2_000
    concurrent_posts: int = 10_000
    rounds: int = 3
    nft_rules: int = 10


@dataclass(frozen=True, slots=True)
class Service:
    """A running control plane: its API's socket and its process."""

    socket: Path
    pid: int

    def rss_mb(self) -> float:
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) * 1024 / 1e6

    def cpu_seconds(self) -> float:
        ticks = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[11:13]
        return sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")

    def idle_percent(self) -> float:
        """Of a core, over a while in which nobody asks for anything."""
        before = self.cpu_seconds()
        time.sleep(_IDLE_SECONDS)
        return (self.cpu_seconds() - before) / _IDLE_SECONDS * 100


@contextmanager
def service(host: Host, interface: str) -> Iterator[Service]:
    """`xdpctl run` on `interface`, gone with its pins and files afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="xdpctl-bench-"))
    folder.chmod(0o755)
    pins, socket, log = folder / "bpf", folder / "api.sock", folder / "log"
    program = Path(sys.executable).with_name("xdpctl")
    command = [str(program), "run", "-i", interface, "--state-dir", str(folder / "state")]
    command += ["--pin-dir", str(pins), "--socket", str(socket), "--port", "0"]
    with log.open("wb") as out:
        process = host.popen(*command, stdout=out, stderr=out)
    try:
        _await(socket, process, log)
        yield Service(socket, _child(process.pid))
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
        host.sh(str(program), "down", "--pin-dir", str(pins))
        while pins.is_mount():
            sh("umount", str(pins))
        shutil.rmtree(folder)


def _await(socket: Path, process: "subprocess.Popen[bytes]", log: Path) -> None:
    end = time.monotonic() + _READY_SECONDS
    while process.poll() is None and time.monotonic() < end:
        try:
            Connection(socket).json(request("GET", "/v1/status"))
            return
        except OSError:
            time.sleep(0.05)
    raise BenchError(f"xdpctl run did not come up:\n{log.read_text()}")


def _child(parent: int) -> int:
    """The control plane's process under `xdpctl run` (nsenter becomes it)."""
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    for child in map(int, children):
        if b"xdpctl_api" in Path(f"/proc/{child}/cmdline").read_bytes():
            return child
    raise BenchError("there is no control plane under xdpctl run")


def measure(results: Results, size: Size) -> None:
    """Loads, single rules, many clients, memory; nft beside it."""
    with Lab("bench") as lab:
        host, far = lab.host("control"), lab.host("far")
        lab.cable(host, "isp0", far, "far0")
        host.ip("addr add 192.0.2.1/24 dev isp0")
        for _ in range(size.rounds):
            with service(host, "isp0") as running:
                _round(results, size, running)
        _nft(results, size, host)


def _round(results: Results, size: Size, running: Service) -> None:
    k = f"{size.loaded:,}"

    def take(name: str, unit: str, value: float, bar: Bar | None = None) -> None:
        results.declare(Case(PART, name, unit, bar=bar)).rounds.append(value)

    take("memory of the empty control plane", "MB", running.rss_mb())
    listing = "\n".join(sources.texts(sources.exact(size.loaded))).encode()
    connection = Connection(running.socket)
    start, used = time.perf_counter(), running.cpu_seconds()
    answer = connection.json(request("POST", "/v1/rules/bulk", listing, "text/plain"))
    seconds = time.perf_counter() - start
    if answer["added"] != size.loaded:
        raise BenchError(f"of {size.loaded} rules {answer['added']} were added: {answer}")
    take(f"load {k} rules, durable and in the kernel", "s", seconds, Bar(2))
    take("its CPU time for that", "s", running.cpu_seconds() - used)
    take(f"memory with {k} rules", "MB", running.rss_mb(), Bar(120))
    take(f"idle with {k} rules", "% of a core", running.idle_percent())
    fresh = sources.texts(sources.exact(size.loaded + size.posts + size.concurrent_posts))
    fresh = fresh[size.loaded :]
    times = sequential(running.socket, [rule(text) for text in fresh[: size.posts]])
    take(f"one more rule with {k}, p50", "ms", percentile(times, 50), Bar(2))
    take(f"one more rule with {k}, p99", "ms", percentile(times, 99), Bar(10))
    bodies = [rule(text) for text in fresh[size.posts :]]
    used = running.cpu_seconds()
    seconds, times = concurrent(running.socket, CLIENTS, bodies)
    faster = Bar(2000, at_least=True)
    take(f"{CLIENTS} clients posting", "rules/s", len(bodies) / seconds, faster)
    used = (running.cpu_seconds() - used) / len(bodies) * 1e3
    take("its CPU time for one of these", "ms", used)
    take(f"{CLIENTS} clients posting, p99", "ms", percentile(times, 99))
    take("memory after that", "MB", running.rss_mb(), Bar(120))


def _nft(results: Results, size: Size, host: Host) -> None:
    exact, prefixes = (
        sources.texts(sources.exact(size.loaded)),
        sources.texts(sources.mixed(10_000)),
    )
    load = results.declare(Case(PART, f"nft: load {size.loaded:,} into a set", "s"))
    one = results.declare(Case(PART, "nft: one more prefix in an interval set of 10,000", "ms"))
    more = sources.texts(sources.exact(2 * size.nft_rules * size.rounds))
    for number in range(size.rounds):
        load.rounds.append(nft.load(host, "isp0", exact, interval=False))
        nft.load(host, "isp0", prefixes, interval=True)
        fresh = more[number * size.nft_rules :][: size.nft_rules]
        one.rounds.append(median(nft.add(host, "isp0", fresh)))
