# SPDX-License-Identifier: GPL-2.0-or-later
"""Many agents on one engine: `make fleet-scale`.

The agents are the real ones, with real controllers and stores, on a kernel that is plain memory:
what they would cost in the kernel is not counted. Groups of them share a process. Followers are
less: they read and follow as an agent does, and take nothing over.
"""

import json
import os
import resource
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

from tests.fleet.boxes import Node
from tests.fleet.engines import Etcd
from tests.fleet.relays import Relays
from tests.support.fakes import ask
from xdpctl.base.clock import Now
from xdpctl.errors import EngineError
from xdpctl.fleet import keys
from xdpctl.fleet.credentials import Credentials
from xdpctl.fleet.endpoints import spread
from xdpctl.fleet.engine.client import Engine
from xdpctl.fleet.engine.values import Swap
from xdpctl.fleet.intent import VERSION, Intent, content, encode
from xdpctl.fleet.settings import RELAY_NAME, SERVER_NAME
from xdpctl.model.capacity import Capacity
from xdpctl.model.rule import Rule

_A_PROCESS, _FOLLOWERS = 25, 125  # agents, or followers
_PREFIX = "scale/"
_BULK, _PATIENCE, _IDLE_SECONDS = 1_000, 400.0, 10.0


class Case(NamedTuple):
    """How many agents, with how many rules, and through how many relays; or `followers` instead."""

    nodes: int
    rules: int
    relays: int = 0
    followers: bool = False


CASES = (
    *(Case(n, 1_000, relays) for n in (10, 30, 100) for relays in (0, max(1, n // 33))),
    Case(200, 1_000),
    *(Case(10, rules) for rules in (10_000, 100_000)),
    *(Case(n, 100_000, relays, True) for n in (100, 300) for relays in (0, n // 33)),
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


class Agent:
    """A real agent, with its controller."""

    def __init__(self, relays: Relays, name: str, where: Sequence[str], capacity: int) -> None:
        behind = list(where) != relays.endpoints
        if behind:
            relays.settings(name)
        self._node = Node(
            name,
            relays.folder / name,
            list(where),
            _PREFIX,
            capacity=capacity,
            tables=Capacity(capacity, capacity, 16),
            behind_relays=behind,
        ).start()

    @property
    def rules(self) -> int:
        return len(self._node.controller.state.rules)

    def has(self, source: str) -> bool:
        return ask(source).match.source in self._node.controller.state.rules


class Follower:
    """Reads all rules, and follows, in a thread of its own; it keeps their keys alone."""

    def __init__(self, relays: Relays, name: str, where: Sequence[str], _: int) -> None:
        behind = list(where) != relays.endpoints
        credentials = Credentials(relays.settings(name)) if behind else None
        self._engine = Engine(
            where,
            credentials.load if credentials else lambda: None,
            _PREFIX,
            RELAY_NAME if credentials else SERVER_NAME,
        )
        self.rules, self._new = 0, set[str]()
        threading.Thread(target=self._run, daemon=True).start()

    def has(self, source: str) -> bool:
        return _intent(source)[0] in self._new

    def _run(self) -> None:
        revision = 0
        while True:
            try:
                if not revision:
                    self.rules = 0
                    for page in self._engine.pages(keys.SHARED):
                        self.rules += len(page.held)
                    revision = page.revision
                for batch in self._engine.watch(keys.SHARED, revision):
                    self.rules += len(batch.changes)
                    self._new.update(kv.key for kv in batch.changes)
                    revision = batch.revision
            except EngineError:
                time.sleep(0.2)


def agents(
    pipe: Connection,
    relays: Relays,
    endpoints: Sequence[str],
    first: int,
    count: int,
    case: Case,
) -> None:
    """Run a process with some agents; answer how many rules its slowest agent has."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    kind = Follower if case.followers else Agent
    capacity, names = max(1 << 14, 4 * case.rules), [f"n{first + n}" for n in range(count)]
    every = [kind(relays, name, spread(name, endpoints)[:2], capacity) for name in names]
    pipe.send("started")
    while (question := pipe.recv()) != "end":
        if question == "rules":
            pipe.send(min(one.rules for one in every))
        elif question == "has":
            source = pipe.recv()
            while not all(one.has(source) for one in every):
                time.sleep(0.002)
            pipe.send(time.time())
        elif question == "cpu":
            used = resource.getrusage(resource.RUSAGE_SELF)
            pipe.send((used.ru_utime + used.ru_stime, used.ru_maxrss / 1024))
    os._exit(0)


def relay(pipe: Connection, relays: Relays, name: str) -> None:
    """Run a process with a relay, until it is ended."""
    with relays.relay(name) as (where, _):
        pipe.send(where)
        threading.Event().wait()


def cpu(pid: int) -> float:
    """Seconds of CPU that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def rss(pid: int) -> float:
    """Megabytes of memory that a process holds."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096 / 1e6


class Fleet:
    """Processes with agents."""

    def __init__(self, relays: Relays, endpoints: Sequence[str], case: Case) -> None:
        context = get_context("spawn")
        self.pipes: list[Connection] = []
        self._processes = []
        began = time.monotonic()
        most = _FOLLOWERS if case.followers else _A_PROCESS
        for first in range(0, case.nodes, most):
            mine, theirs = context.Pipe()
            count = min(most, case.nodes - first)
            arguments = (theirs, relays, endpoints, first, count, case)
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
def relayed(relays: Relays, count: int) -> Iterator[tuple[list[str], list[int]]]:
    """The endpoints that the agents connect to, and the processes of the relays there."""
    context, processes = get_context("spawn"), list[Any]()
    endpoints = []
    try:
        for number in range(count):
            mine, theirs = context.Pipe()
            process = context.Process(target=relay, args=(theirs, relays, f"relay{number}"))
            process.start()
            processes.append(process)
            endpoints.append(mine.recv())
        yield endpoints or relays.endpoints, [process.pid for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.join()


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
    etcd, folder = Etcd(), Path(tempfile.mkdtemp(prefix="xdpctl-scale-"))
    try:
        load(Engine([etcd.endpoint], prefix=_PREFIX), 0, case.rules)
        relays = Relays(folder, [etcd.endpoint], _PREFIX)
        with relayed(relays, case.relays) as (endpoints, processes):
            return case._asdict() | _figures(case, etcd, relays, endpoints, processes)
    finally:
        etcd.remove()
        shutil.rmtree(folder, ignore_errors=True)


def _figures(
    case: Case, etcd: Etcd, relays: Relays, endpoints: Sequence[str], processes: Sequence[int]
) -> dict[str, Any]:
    engine, pid = Engine([etcd.endpoint], prefix=_PREFIX), etcd.pid
    before, of_relays = cpu(pid), sum(map(cpu, processes))
    fleet = Fleet(relays, endpoints, case)
    try:
        booted = fleet.started + fleet.converge(case.rules, _PATIENCE)
        figures = {
            "boot_engine_cpu": cpu(pid) - before,
            "boot_relays_cpu": sum(map(cpu, processes)) - of_relays,
        }
        if booted == float("inf"):
            return figures | {"boot": None}
        figures["boot"] = booted
        figures["half_have_rule"], figures["all_have_rule"] = one_rule(fleet, engine)
        began = time.monotonic()
        load(engine, case.rules, _BULK)
        fleet.converge(case.rules + _BULK + 5, _PATIENCE)
        figures["bulk"] = time.monotonic() - began
        engine_cpu, agents_cpu = cpu(pid), sum(used for used, _ in fleet.ask("cpu"))
        of_relays = sum(map(cpu, processes))
        time.sleep(_IDLE_SECONDS)
        figures["idle_engine_cpu"] = (cpu(pid) - engine_cpu) / _IDLE_SECONDS
        figures["idle_relays_cpu"] = (sum(map(cpu, processes)) - of_relays) / _IDLE_SECONDS
        used = fleet.ask("cpu")
        figures["idle_agents_cpu"] = (
            sum(seconds for seconds, _ in used) - agents_cpu
        ) / _IDLE_SECONDS
        figures["engine_mb"] = rss(pid)
        figures["relay_mb"] = max(map(rss, processes), default=0.0)
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
