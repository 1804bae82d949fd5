# SPDX-License-Identifier: GPL-2.0-or-later
"""Measures a fleet of three members and five nodes, and writes docs/results/fleet.md."""

import os
import platform
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from tests.lab.fleet.edges import Edge, FleetLab, Traffic
from xdpctl.lab.waits import until

_TRIALS, _BULK, _LARGE = 100, 100_000, 1_000_000
PLAIN = {"Content-Type": "text/plain"}
_BEGIN, _END = "<!-- measured: begin -->", "<!-- measured: end -->"


def latencies(fleet: FleetLab) -> list[float]:
    """Seconds from the request to the last packet that passed on any node, sorted."""
    traffic, seconds = Traffic(fleet), []
    for number in range(_TRIALS):
        source = f"203.0.{113 + number // 200}.{number % 200 + 20}"
        edge = fleet.edges[number % len(fleet.edges)]

        def act(edge: Edge = edge, source: str = source) -> Any:
            return edge.block(f"{source}/32")

        passed, _ = traffic.run(source, 0.3, act)
        seconds.append(max(passed.values()))
    traffic.close()
    return sorted(seconds)


def everywhere(fleet: FleetLab, what: Any) -> None:
    """Wait until every node has the rule, and no change is unsent."""
    until(lambda: all(what(edge) for edge in fleet.edges))


def dotted(n: int) -> str:
    return f"{n >> 24}.{n >> 16 & 255}.{n >> 8 & 255}.{n & 255}"


def busy(fleet: FleetLab) -> list[float]:
    """Seconds of CPU that each node has used so far, without etcd."""
    seconds = []
    for edge in fleet.edges:
        stats = [Path(f"/proc/{pid}/stat").read_text() for pid in edge.box.processes()]
        fields = [stat.rsplit(")", 1)[1].split() for stat in stats]
        ticks = sum(int(values[11]) + int(values[12]) for values in fields)
        seconds.append(ticks / os.sysconf("SC_CLK_TCK"))
    return seconds


class Took(NamedTuple):
    """The seconds of an operation, and the median CPU seconds of the nodes that followed it."""

    seconds: float
    cpu: float


def timed(fleet: FleetLab, act: Callable[[], None]) -> Took:
    """Measure an operation on the first node until all nodes have it."""
    before, began = busy(fleet), time.perf_counter()
    act()
    took = time.perf_counter() - began
    used = sorted(now - was for now, was in zip(busy(fleet)[1:], before[1:], strict=True))
    return Took(took, used[len(used) // 2])


def sets(fleet: FleetLab) -> list[Took]:
    """Measure until a set of a million, and a change of 1 % of it, are on all nodes."""
    rng, first = random.Random(1), fleet.edges[0]
    numbers = rng.sample(range(16 << 24, 200 << 24), _LARGE + _LARGE // 200)
    whole = sorted(numbers[:_LARGE])
    gone = set(rng.sample(whole, _LARGE // 200))
    changed = sorted([n for n in whole if n not in gone] + numbers[_LARGE:])
    times = []
    for listed in (whole, changed):
        body = "\n".join(map(dotted, listed)).encode()

        def put(body: bytes = body) -> None:
            more = {"headers": PLAIN, "params": {"action": "drop"}}
            first.box.client.call("PUT", "/v1/sets/large", 150, content=body, **more)
            until(lambda: there(first))

        times.append(timed(fleet, put))
        counts = {str(edge.call("GET", "/v1/sets")["sets"][0]["entries"]) for edge in fleet.edges}
        assert len(counts) == 1
    first.call("DELETE", "/v1/sets/large")
    return times


def there(edge: Edge) -> bool:
    """Whether a node has no unsent change, and no node is behind."""
    fleet = edge.call("GET", "/v1/fleet")
    return not fleet["unsent"] and all(node["behind"] == 0 for node in fleet["nodes"])


def bulk(fleet: FleetLab) -> tuple[Took, list[float]]:
    """Measure how long many rules take until they are on all nodes, and single blocks meanwhile."""
    first = fleet.edges[0]
    lines = (f"11.{n >> 16 & 255}.{n >> 8 & 255}.{n & 255}" for n in range(_BULK))
    body = "\n".join(lines).encode()

    def have() -> bool:
        nodes = first.call("GET", "/v1/fleet")["nodes"]
        return all(node["rules"] >= _BULK for node in nodes)

    singles: list[float] = []

    def post() -> None:
        first.box.client.call("POST", "/v1/rules/bulk", 150, content=body, headers=PLAIN)
        while not have():
            began = time.perf_counter()
            answer = first.block(f"203.0.113.{len(singles) + 1}/32")
            if answer["fleet"]["text"] == f"{len(fleet.edges)} of {len(fleet.edges)}":
                singles.append(time.perf_counter() - began)
            else:
                singles.append(float("inf"))  # it took longer than the answer waits

    return timed(fleet, post), sorted(singles)


def said(fleet: FleetLab) -> float:
    """Seconds from the end of a member's etcd until another node says so."""
    *_, asked = fleet.edges
    until(lambda: not asked.call("GET", "/v1/fleet")["troubles"])
    member = fleet.edges[2]
    member.kill_etcd()
    began = time.perf_counter()
    until(lambda: member.name in str(asked.call("GET", "/v1/fleet")["troubles"]))
    took = time.perf_counter() - began
    member.start_etcd()
    return took


def measured() -> str:
    with FleetLab() as fleet:
        for edge in fleet.edges:
            edge.settings = "capacity = 150000\ncapacity_ipv4 = 1400000\n"
        fleet.found()
        many = latencies(fleet)
        large = sets(fleet)
        dead = sorted(said(fleet) for _ in range(5))
        rules, singles = bulk(fleet)
    with FleetLab(3, 3) as fleet:
        fleet.found()
        few = latencies(fleet)
    p50, p99 = many[len(many) // 2] * 1e3, many[int(len(many) * 0.99)] * 1e3
    rows = [
        (
            "POST on one node to the last packet that passes on any: p50",
            f"{p50:.1f} ms",
            "15 ms",
            "",
        ),
        (f"the same, p99 of {_TRIALS}", f"{p99:.1f} ms", "50 ms", ""),
        ("p50 with three nodes", f"{few[len(few) // 2] * 1e3:.1f} ms", "", ""),
    ]
    named = ("a set of 1,000,000", "1 % of it changed", f"{_BULK:,} rules in bulk")
    rows += [
        (name, f"{took.seconds:.2f} s", bar, f"{took.cpu:.2f} s")
        for name, took, bar in zip(named, (*large, rules), ("2.5 s", "1 s", "5 s"), strict=True)
    ]
    often = f"{singles[len(singles) // 2]:.2f} s, {singles[int(len(singles) * 0.95)]:.2f} s"
    rows += [
        (f"a single block meanwhile, p50 and p95 of {len(singles)}", often, "0.2 s", ""),
        (
            "a dead member is said: median of 5, last",
            f"{dead[2]:.1f} s, {dead[-1]:.1f} s",
            "5 s",
            "",
        ),
    ]
    table = "\n".join("| " + " | ".join(row) + " |" for row in rows)
    where = f"Linux {platform.release()}, 2 cores shared by all nodes and members"
    head = "| what | measured | bar | CPU of one node that follows |\n|---|---|---|---|"
    return f"{_BEGIN}\n{where}, {time.strftime('%Y-%m-%d')}.\n\n{head}\n{table}\n{_END}"


def main() -> None:
    page = Path(sys.argv[1]) / "fleet.md"
    text, table = page.read_text(), measured()
    before, _, rest = text.partition(_BEGIN)
    page.write_text(before + table + rest.partition(_END)[2])
    print(table)


if __name__ == "__main__":
    main()
