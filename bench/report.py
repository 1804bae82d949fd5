"""The tables for people and bench.json for programs."""

import json
import os
import platform
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.results import Case, Results

_TITLES = {
    "packet": "(a) ns a packet, BPF_PROG_TEST_RUN; CPU time, over: median difference in a round",
    "veth": "(b) Mpps one core sends and drops over a veth pair; CPU time, all sources listed",
    "control": "(c) rules in, over the Unix socket; nft beside it",
}


def machine() -> dict[str, Any]:
    """What the figures depend on."""
    text = Path("/proc/cpuinfo").read_text()
    model = next((x.split(":")[1].strip() for x in text.splitlines() if "model name" in x), "?")
    return {
        "date": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "kernel": platform.release(),
        "cpu": model,
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "load_before": os.getloadavg()[0],
    }


def write(path: Path, facts: dict[str, Any], results: Results) -> None:
    document = {"machine": facts, "notes": results.notes, "cases": results.document()}
    path.write_text(json.dumps(document, indent=1) + "\n")


def show(results: Results, facts: dict[str, Any], console: Console) -> None:
    """A table for each part, then what was missed."""
    console.print(
        f"{facts['cpu']}, {facts['cores']} cores, kernel {facts['kernel']}, {facts['date']}, "
        f"load {facts['load_before']:.1f} before; "
        "medians of rounds that take each case in turn",
    )
    for part, title in _TITLES.items():
        cases = results.part(part)
        if cases:
            console.print(_table(results, title, cases))
    for note in results.notes:
        console.print(f"[yellow]note:[/yellow] {note}")
    missed = results.missed()
    for case in missed:
        console.print(f"[red]bar missed:[/red] {case.name}: {_bar(results, case)}")
    if not missed:
        console.print("[green]every bar was cleared[/green]")


def _table(results: Results, title: str, cases: list[Case]) -> Table:
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    compared = any(results.over(case) for case in cases)
    table.add_column("case")
    for name in ("median", "min", "max", "", *(("x bare", "ns over") if compared else ()), "bar"):
        table.add_column(name, justify="left" if name in ("", "bar") else "right")
    for case in cases:
        over = results.over(case)
        extra = (f"{over[0]:.2f}", f"{over[1]:+.1f}") if over else ("", "")
        table.add_row(
            case.name,
            *(_figure(value) for value in (case.median, min(case.rounds), max(case.rounds))),
            case.unit,
            *(extra if compared else ()),
            _bar(results, case),
        )
    return table


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}" if value < 10 else f"{value:.1f}"


def _bar(results: Results, case: Case) -> str:
    limit, cleared = results.limit(case), results.cleared(case)
    if case.bar is None or limit is None:
        return ""
    sign = ">=" if case.bar.at_least else "<="
    peer = f" {case.bar.case.split(',')[0]}'s" if case.bar.case else ""
    verdict = "[green]pass[/green]" if cleared else "[red]MISSED[/red]"
    return f"{verdict} {sign}{peer} {_figure(limit)}"
