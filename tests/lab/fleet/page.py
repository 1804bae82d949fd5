# SPDX-License-Identifier: GPL-2.0-or-later
"""Measures a fleet of three members and five nodes, and writes docs/results/fleet.md of it."""

import platform
import random
import sys
import time
from pathlib import Path
from typing import Any

from tests.lab.fleet.edges import Edge, FleetLab, Traffic, until

_TRIALS, _BULK, _LARGE = 100, 100_000, 1_000_000
PLAIN = {"Content-Type": "text/plain"}
_BEGIN, _END = "<!-- measured: begin -->", "<!-- measured: end -->"


def latencies(fleet: FleetLab) -> list[float]:
    """Seconds from the request to the last packet that passed on any node, sorted."""
    traffic, found = Traffic(fleet), []
    for number in range(_TRIALS):
        source = f"203.0.{113 + number // 200}.{number % 200 + 20}"
        edge = fleet.edges[number % len(fleet.edges)]

        def act(edge: Edge = edge, source: str = source) -> Any:
            return edge.block(f"{source}/32")

        passed, _ = traffic.run(source, 0.3, act)
        found.append(max(passed.values()))
    traffic.close()
    return sorted(found)


def everywhere(fleet: FleetLab, what: Any, seconds: float = 120.0) -> None:
    """Wait until every node has it, and nothing waits to be sent."""
    until(lambda: all(what(edge) for edge in fleet.edges), seconds)


def dotted(n: int) -> str:
    return f"{n >> 24}.{n >> 16 & 255}.{n >> 8 & 255}.{n & 255}"


def sets(fleet: FleetLab) -> list[tuple[str, float]]:
    """How long a set of a million takes to be on all nodes, and a change of one per cent."""
    rng, first = random.Random(1), fleet.edges[0]
    numbers = rng.sample(range(16 << 24, 200 << 24), _LARGE + _LARGE // 200)
    whole = sorted(numbers[:_LARGE])
    gone = set(rng.sample(whole, _LARGE // 200))
    changed = sorted([n for n in whole if n not in gone] + numbers[_LARGE:])
    found = []
    for name, listed in (("a set of 1,000,000", whole), ("1 % of it changed", changed)):
        body = "\n".join(map(dotted, listed))
        began = time.perf_counter()
        more = {"headers": PLAIN, "params": {"action": "drop"}}
        first.box.client.call("PUT", "/v1/sets/large", 150, content=body.encode(), **more)

        def there(edge: Edge) -> bool:
            fleet_now = edge.call("GET", "/v1/fleet")
            return not fleet_now["unsent"] and all(n["behind"] == 0 for n in fleet_now["nodes"])

        until(lambda: there(first), 120)
        took = time.perf_counter() - began
        counts = {str(edge.call("GET", "/v1/sets")["sets"][0]["entries"]) for edge in fleet.edges}
        assert len(counts) == 1
        found.append((name, took))
    first.call("DELETE", "/v1/sets/large")
    return found


def bulk(fleet: FleetLab) -> float:
    """How long so many rules take to be on all nodes."""
    first = fleet.edges[0]
    lines = (f"11.{n >> 16 & 255}.{n >> 8 & 255}.{n & 255}" for n in range(_BULK))
    began = time.perf_counter()
    body = "\n".join(lines).encode()
    first.box.client.call("POST", "/v1/rules/bulk", 150, content=body, headers=PLAIN)

    def there() -> bool:
        nodes = first.call("GET", "/v1/fleet")["nodes"]
        return all(node["rules"] >= _BULK for node in nodes)

    until(there, 180)
    return time.perf_counter() - began


def measured() -> str:
    with FleetLab() as fleet:
        for edge in fleet.edges:
            edge.settings = "capacity = 150000\ncapacity_ipv4 = 1400000\n"
        fleet.found()
        found = latencies(fleet)
        large = sets(fleet)
        rules = bulk(fleet)
    p50, p99 = found[len(found) // 2] * 1e3, found[int(len(found) * 0.99)] * 1e3
    rows = [("POST on one node to the last packet that passes on any: p50", f"{p50:.1f} ms", "20"),
            (f"the same, p99 of {_TRIALS}", f"{p99:.1f} ms", "100")]  # fmt: skip
    rows += [
        (name, f"{took:.2f} s", bar) for (name, took), bar in zip(large, ("3", "1"), strict=True)
    ]
    rows.append((f"{_BULK:,} rules in bulk", f"{rules:.1f} s", "5"))
    table = "\n".join(f"| {name} | {value} | {bar} |" for name, value, bar in rows)
    where = f"Linux {platform.release()}, 2 cores shared by all nodes and members"
    return f"{_BEGIN}\n{where}, {time.strftime('%Y-%m-%d')}.\n\n| what | measured | bar |\n|---|---|---|\n{table}\n{_END}"  # noqa: E501


def main() -> None:
    page = Path(sys.argv[1]) / "fleet.md"
    text, table = page.read_text(), measured()
    before, _, rest = text.partition(_BEGIN)
    page.write_text(before + table + rest.partition(_END)[2])
    print(table)


if __name__ == "__main__":
    main()
