# SPDX-License-Identifier: GPL-2.0-or-later
"""Writes docs/results/fleet-scale.md from the results of `bench.fleet.scale`."""

import json
import platform
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from bench.report import drawing

_BEGIN, _END = "<!-- measured: begin -->", "<!-- measured: end -->"
_SMALL = 1_000  # rules of the cases that are drawn
Found = dict[str, Any]


def _seconds(value: float | None) -> str:
    if value is None:
        return "not in 400 s"
    return f"{value * 1000:.0f} ms" if value < 1 else f"{value:.1f} s"


_COLUMNS: tuple[tuple[str, Callable[[Found], str]], ...] = (
    (
        "agents",
        lambda result: f"{result['nodes']:,}{' followers' if result['followers'] else ''}",
    ),
    ("rules", lambda result: f"{result['rules']:,}"),
    ("relays", lambda result: f"{result['relays']}"),
    ("boot storm", lambda result: _seconds(result.get("boot"))),
    ("etcd then: CPU", lambda result: _seconds(result.get("boot_engine_cpu"))),
    ("a rule: half have it", lambda result: _seconds(result.get("half_have_rule"))),
    ("all have it", lambda result: _seconds(result.get("all_have_rule"))),
    ("1,000 more rules", lambda result: _seconds(result.get("bulk"))),
    ("etcd, idle: cores", lambda result: f"{result.get('idle_engine_cpu', 0):.2f}"),
    ("relays, idle: cores", lambda result: f"{result.get('idle_relays_cpu', 0):.2f}"),
    ("agents, idle: cores", lambda result: f"{result.get('idle_agents_cpu', 0):.2f}"),
    ("etcd: MB", lambda result: f"{result.get('engine_mb', 0):.0f}"),
    ("a relay: MB", lambda result: f"{result.get('relay_mb', 0):.0f}"),
    ("an agent: MB", lambda result: f"{result.get('agent_mb', 0):.0f}"),
)


def table(results: Sequence[Found]) -> str:
    """All cases as a table."""
    head = " | ".join(name for name, _ in _COLUMNS)
    rows = [" | ".join(cell(result) for _, cell in _COLUMNS) for result in results]
    return "\n".join([f"| {head} |", "|---" * len(_COLUMNS) + "|", *(f"| {row} |" for row in rows)])


def picture(results: Sequence[Found]) -> Figure:
    """The plot of the figures that grow with the number of agents."""
    whole = Figure(figsize=(8, 2.9), layout="constrained")
    time_pane, cpu_pane = whole.subplots(1, 2)
    for relays, who, name in ((False, "ours", "direct"), (True, "theirs", "through relays")):
        drawn = [
            result
            for result in results
            if result["rules"] == _SMALL and bool(result["relays"]) is relays
        ]
        drawn = [result for result in drawn if result.get("boot") is not None]
        nodes, colour = [result["nodes"] for result in drawn], drawing.COLOURS[who]
        for figure, dashes, what in (("boot", "-", "boot storm"), ("all_have_rule", ":", "a rule")):
            values = [result[figure] for result in drawn]
            label = f"{what}, {name}"
            time_pane.plot(nodes, values, "o", ls=dashes, color=colour, ms=4, label=label)
        for figure, dashes, what in (("idle_engine_cpu", "-", "etcd"),
                                     ("idle_agents_cpu", ":", "agents")):  # fmt: skip
            values = [result[figure] for result in drawn]
            label = f"{what}, {name}"
            cpu_pane.plot(nodes, values, "o", ls=dashes, color=colour, ms=4, label=label)
    time_pane.set(title="seconds until all have it", yscale="log")
    cpu_pane.set(title="cores in use with nothing to do", yscale="log")
    for pane in (time_pane, cpu_pane):
        pane.set(xscale="log", xlabel="agents")
        pane.grid()
        pane.legend(fontsize=7)
    return whole


def main() -> None:
    """`python -m bench.fleet.scale_page RESULTS.json docs/results`."""
    results, folder = json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2])
    page = folder / "fleet-scale.md"
    before, _, rest = page.read_text().partition(_BEGIN)
    where = f"Linux {platform.release()}, 2 cores for all agents and etcd together"
    measured = f"{where}, {time.strftime('%Y-%m-%d')}.\n\n{table(results)}"
    page.write_text(f"{before}{_BEGIN}\n{measured}\n{_END}{rest.partition(_END)[2]}")
    with drawing.style():
        drawing.save(picture(results), folder / "img" / "fleet-scale.svg")


if __name__ == "__main__":
    main()
