# SPDX-License-Identifier: GPL-2.0-or-later
"""Many agents on one engine: `python -m bench.fleet.scale NODES [RULES]`.

The agents are the real ones, with real controllers and stores, on a kernel that is plain memory:
what they would cost in the kernel is not counted. Groups of them share a process.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from tests.fleet.boxes import Node
from tests.fleet.engines import Etcd
from tests.support.fakes import ask
from xdpctl.base.clock import Now
from xdpctl.fleet import keys
from xdpctl.fleet.engine.client import Engine
from xdpctl.fleet.engine.values import Swap
from xdpctl.fleet.intent import VERSION, Intent, content, encode
from xdpctl.model.rule import Rule

_A_PROCESS = 25  # agents
_PREFIX = "scale/"


def load(engine: Engine, first: int, count: int) -> float:
    """Write rules into the engine; the seconds this took."""
    began, now = time.monotonic(), Now(0, time.time(), "x")
    for start in range(first, first + count, 500):
        swaps = []
        for number in range(start, min(start + 500, first + count)):
            source = f"11.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}/32"
            rule = Rule(source=ask(source).source, action=ask(source).action)
            intent = Intent(VERSION, "bench", "bench", now.unix, data=content("rules", rule, now))
            swaps.append(Swap(keys.intent(f"rules/{rule.id}"), encode(intent), None))
        engine.swap(swaps)
    return time.monotonic() - began


def agents(pipe: Connection, endpoint: str, first: int, count: int, capacity: int) -> None:
    """A process with some agents, which answers how many rules its slowest has."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    folder = Path(tempfile.mkdtemp(prefix="xdpctl-scale-"))
    made = [
        Node(f"n{first + number}", folder / str(number), [endpoint], _PREFIX, capacity=capacity)
        for number in range(count)
    ]
    for node in made:
        node.start()
    pipe.send("started")
    while (asked := pipe.recv()) != "end":
        if asked == "rules":
            pipe.send(min(len(node.controller.state.rules) for node in made))
        elif asked == "has":
            source = ask(pipe.recv()).source
            while not all(source in node.controller.state.rules for node in made):
                time.sleep(0.002)
            pipe.send(time.time())
        elif asked == "cpu":
            used = resource.getrusage(resource.RUSAGE_SELF)
            pipe.send((used.ru_utime + used.ru_stime, used.ru_maxrss / 1024))
    os._exit(0)


def cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def rss(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096 / 1e6


class Fleet:
    """Processes with agents."""

    def __init__(self, etcd: Etcd, endpoint: str, nodes: int, capacity: int) -> None:
        context = get_context("spawn")
        self.pipes: list[Connection] = []
        self.etcd, began = etcd, time.monotonic()
        for first in range(0, nodes, _A_PROCESS):
            mine, theirs = context.Pipe()
            count = min(_A_PROCESS, nodes - first)
            arguments = (theirs, endpoint, first, count, capacity)
            context.Process(target=agents, args=arguments, daemon=True).start()
            self.pipes.append(mine)
        for pipe in self.pipes:
            pipe.recv()
        self.started = time.monotonic() - began

    def ask(self, *words: str) -> list[Any]:
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
        for pipe in self.pipes:
            pipe.send("end")


def measure(nodes: int, rules: int, proxy: bool) -> dict[str, Any]:
    etcd = Etcd()
    endpoint, through = etcd.endpoint, None
    found: dict[str, Any] = {"nodes": nodes, "rules": rules, "proxy": proxy}
    try:
        engine = Engine([etcd.endpoint], prefix=_PREFIX)
        found["load"] = load(engine, 0, rules)
        if proxy:
            endpoint = "127.0.0.1:23790"
            through = subprocess.Popen(
                ["etcd", "grpc-proxy", "start", "--endpoints", etcd.endpoint,
                 "--listen-addr", endpoint], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )  # fmt: skip
            time.sleep(1)
        assert etcd._process
        pid = etcd._process.pid
        before = cpu(pid)
        fleet = Fleet(etcd, endpoint, nodes, max(1 << 14, 4 * rules))
        found["boot"] = fleet.started + fleet.converge(rules, 400)
        found["boot engine cpu"], found["engine MB"] = cpu(pid) - before, rss(pid)
        latencies = []
        for number in range(5):
            source = f"203.0.113.{number + 1}"
            began = time.time()
            rule = Rule(source=ask(source).source, action=ask(source).action)
            now = Now(0, time.time(), "x")
            intent = Intent(VERSION, "bench", "bench", now.unix, data=content("rules", rule, now))
            engine.put(keys.intent(f"rules/{rule.id}"), encode(intent))
            times = [each - began for each in fleet.ask("has", source)]
            latencies.append((sorted(times)[len(times) // 2], max(times)))
        found["one rule"] = sorted(latencies)[len(latencies) // 2]
        began = time.monotonic()
        load(engine, rules, 1_000)
        fleet.converge(rules + 1_005, 120)
        found["bulk 1000"] = time.monotonic() - began
        before, at = cpu(pid), time.monotonic()
        time.sleep(10)
        found["idle engine cpu"] = (cpu(pid) - before) / (time.monotonic() - at)
        used = fleet.ask("cpu")
        found["agent MB"] = sum(mb for _, mb in used) / nodes
        fleet.end()
        engine.close()
    finally:
        if through:
            through.kill()
        etcd.remove()
    return found


def main() -> None:
    nodes = int(sys.argv[1])
    rules = int(sys.argv[2]) if len(sys.argv) > 2 else 10_000
    for proxy in (False, True):
        print(json.dumps(measure(nodes, rules, proxy)), flush=True)


if __name__ == "__main__":
    main()
