# SPDX-License-Identifier: GPL-2.0-or-later
"""Many agents on one engine: `make fleet-scale`.

The agents are the real ones, with real controllers and stores, on a kernel that is plain memory:
what they would cost in the kernel is not counted. Groups of them share a process.
"""

import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

from tests.fleet.boxes import Node
from tests.fleet.engines import Etcd, free_port
from tests.support.fakes import ask
from xdpctl.base.clock import Now
from xdpctl.fleet import keys
from xdpctl.fleet.engine.client import Engine
from xdpctl.fleet.engine.values import Swap
from xdpctl.fleet.intent import VERSION, Intent, content, encode
from xdpctl.model.capacity import Capacity
from xdpctl.model.rule import Rule

_A_PROCESS = 25  # agents
_PREFIX = "scale/"
_BULK, _PATIENCE, _IDLE_SECONDS = 1_000, 400.0, 10.0


class Case(NamedTuple):
    """How many agents, with how many rules, and whether through `etcd grpc-proxy`."""

    nodes: int
    rules: int
    proxy: bool = False


CASES = (
    *(Case(nodes, 1_000, proxy) for nodes in (10, 30, 100, 200, 300) for proxy in (False, True)),
    *(Case(10, rules) for rules in (10_000, 100_000)),
    Case(50, 100_000),
)


def _intent(source: str) -> tuple[str, bytes]:
    rule, now = Rule(match=ask(source).match, action=ask(source).action), Now(0, time.time(), "x")
    intent = Intent(VERSION, "bench", "bench", now.unix, data=content("rules", rule, now))
    return keys.intent(f"rules/{rule.id}"), encode(intent)


def load(engine: Engine, first: int, count: int) -> None:
    """Write rules into the engine."""
    for start in range(first, first + count, 500):
        numbers = range(start, min(start + 500, first + count))
        named = (f"11.{n >> 16 & 255}.{n >> 8 & 255}.{n & 255}/32" for n in numbers)
        engine.swap([Swap(*_intent(source), None) for source in named])


def agents(pipe: Connection, endpoint: str, first: int, count: int, capacity: int) -> None:
    """Run a process with some agents; answer how many rules its slowest agent has."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    folder = Path(tempfile.mkdtemp(prefix="xdpctl-scale-"))
    all_nodes = [
        Node(
            f"n{first + number}",
            folder / str(number),
            [endpoint],
            _PREFIX,
            capacity=capacity,
            tables=Capacity(capacity, capacity, 16),
        )
        for number in range(count)
    ]
    for node in all_nodes:
        node.start()
    pipe.send("started")
    while (question := pipe.recv()) != "end":
        if question == "rules":
            pipe.send(min(len(node.controller.state.rules) for node in all_nodes))
        elif question == "has":
            source = ask(pipe.recv()).match.source
            while not all(source in node.controller.state.rules for node in all_nodes):
                time.sleep(0.002)
            pipe.send(time.time())
        elif question == "cpu":
            used = resource.getrusage(resource.RUSAGE_SELF)
            pipe.send((used.ru_utime + used.ru_stime, used.ru_maxrss / 1024))
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(0)


def cpu(pid: int) -> float:
    """Seconds of CPU that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def rss(pid: int) -> float:
    """Megabytes of memory that a process holds."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096 / 1e6


class Fleet:
    """Processes with agents."""

    def __init__(self, endpoint: str, nodes: int, capacity: int) -> None:
        context = get_context("spawn")
        self.pipes: list[Connection] = []
        self._processes = []
        began = time.monotonic()
        for first in range(0, nodes, _A_PROCESS):
            mine, theirs = context.Pipe()
            count = min(_A_PROCESS, nodes - first)
            arguments = (theirs, endpoint, first, count, capacity)
            process = context.Process(target=agents, args=arguments, daemon=True)
            process.start()
            self._processes.append(process)
            self.pipes.append(mine)
        for pipe in self.pipes:
            pipe.recv()
        self.started = time.monotonic() - began

    def ask(self, *words: str) -> list[Any]:
        """The answers of all processes."""
        for pipe in self.pipes:
            for word in words:
                pipe.send(word)
        return [pipe.recv() for pipe in self.pipes]

    def converge(self, rules: int, seconds: float) -> float:
        """Seconds until all have so many rules; infinite if they have not in time."""
        began = time.monotonic()
        while time.monotonic() - began < seconds:
            if min(self.ask("rules")) >= rules:
                return time.monotonic() - began
            time.sleep(0.2)
        return float("inf")

    def end(self) -> None:
        """End all processes."""
        for pipe in self.pipes:
            pipe.send("end")
        for process in self._processes:
            process.join()


@contextmanager
def proxied(etcd: Etcd, proxy: bool) -> Iterator[str]:
    """The endpoint that the agents connect to."""
    if not proxy:
        yield etcd.endpoint
        return
    endpoint = f"127.0.0.1:{free_port()}"
    command = ["etcd", "grpc-proxy", "start", "--endpoints", etcd.endpoint]
    with subprocess.Popen(
        [*command, "--listen-addr", endpoint],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as through:
        time.sleep(1)
        try:
            yield endpoint
        finally:
            through.kill()


def one_rule(fleet: Fleet, engine: Engine) -> tuple[float, float]:
    """Seconds until half of all processes have a rule on every agent, and until all have."""
    latencies = []
    for number in range(5):
        source, began = f"203.0.113.{number + 1}", time.time()
        engine.put(*_intent(source))
        times = sorted(moment - began for moment in fleet.ask("has", source))
        latencies.append((times[len(times) // 2], times[-1]))
    return sorted(latencies)[len(latencies) // 2]


def measure(case: Case) -> dict[str, Any]:
    """Measure a case: seconds, shares of a core, and megabytes."""
    etcd = Etcd()
    try:
        with proxied(etcd, case.proxy) as endpoint:
            return case._asdict() | _figures(case, etcd, endpoint)
    finally:
        etcd.remove()


def _figures(case: Case, etcd: Etcd, endpoint: str) -> dict[str, Any]:
    engine, pid = Engine([etcd.endpoint], prefix=_PREFIX), etcd.pid
    load(engine, 0, case.rules)
    before = cpu(pid)
    fleet = Fleet(endpoint, case.nodes, max(1 << 14, 4 * case.rules))
    try:
        booted = fleet.started + fleet.converge(case.rules, _PATIENCE)
        figures = {"boot_engine_cpu": cpu(pid) - before}
        if booted == float("inf"):
            return figures | {"boot": None}
        figures["boot"] = booted
        figures["half_have_rule"], figures["all_have_rule"] = one_rule(fleet, engine)
        began = time.monotonic()
        load(engine, case.rules, _BULK)
        fleet.converge(case.rules + _BULK + 5, _PATIENCE)
        figures["bulk"] = time.monotonic() - began
        engine_cpu, agents_cpu = cpu(pid), sum(used for used, _ in fleet.ask("cpu"))
        time.sleep(_IDLE_SECONDS)
        figures["idle_engine_cpu"] = (cpu(pid) - engine_cpu) / _IDLE_SECONDS
        used = fleet.ask("cpu")
        figures["idle_agents_cpu"] = (
            sum(seconds for seconds, _ in used) - agents_cpu
        ) / _IDLE_SECONDS
        figures["engine_mb"] = rss(pid)
        figures["agent_mb"] = sum(mb for _, mb in used) / case.nodes
        return figures
    finally:
        fleet.end()
        engine.close()


def main() -> None:
    """Measure the cases of the page, and write them: `python -m bench.fleet.scale FILE`."""
    results = []
    for case in CASES:
        results.append(measure(case))
        print(json.dumps(results[-1]), flush=True)
        Path(sys.argv[1]).write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
