# SPDX-License-Identifier: GPL-2.0-or-later
"""The printed tables, and bench.json."""

import json
import os
import platform
import re
import subprocess
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.report.results import Bar, Case, Results
from bench.report.taken import figure

_TITLES = {
    "packet": "(a) ns a packet, BPF_PROG_TEST_RUN; CPU time, over: median difference in a round",
    "signature": "(b) ns a packet with signatures and limits; over: the same without any",
    "veth": "(c) Mpps one core sends and drops over a veth pair; CPU time, all sources listed",
    "bridge": "(d) Mpps one core takes through a bridge, sender and receiver included; CPU time",
    "control": "(e) rules in, over the Unix socket; nft beside it",
}


def machine() -> dict[str, Any]:
    """The facts about this machine that the figures depend on."""
    text = Path("/proc/cpuinfo").read_text()
    model = next((x.split(":")[1].strip() for x in text.splitlines() if "model name" in x), "?")
    return {
        "date": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "kernel": platform.release(),
        "cpu": model,
        "cores": os.cpu_count(),
        "caches": _caches(),
        "spectre_v2": _line(Path("/sys/devices/system/cpu/vulnerabilities/spectre_v2")),
        "python": platform.python_version(),
        "peers": ", ".join(filter(None, map(_version, ("nft", "xdp-filter")))),
        "load_before": os.getloadavg()[0],
    }


def _line(path: Path) -> str:
    return path.read_text().strip() if path.exists() else "?"


def _caches() -> str:
    """The data caches of the first core: `L1 32K, L2 1024K, L3 32768K`."""
    sizes = {}
    for cache in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        if _line(cache / "type") != "Instruction":
            sizes[_line(cache / "level")] = _line(cache / "size")
    return ", ".join(f"L{level} {size}" for level, size in sizes.items())


def _version(tool: str) -> str:
    try:
        done = subprocess.run((tool, "--version"), capture_output=True, text=True)
    except OSError:
        return ""
    return f"{tool} {version[0]}" if (version := re.search(r"\d[\w.]+", done.stdout)) else tool


def write(path: Path, facts: dict[str, Any], results: Results) -> None:
    document = {"machine": facts, "notes": results.notes, "cases": results.document()}
    path.write_text(json.dumps(document, indent=1) + "\n")


def show(results: Results, facts: dict[str, Any], console: Console) -> None:
    """Print a table for each part, then the missed bars."""
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
    for case, bar in missed:
        console.print(f"[red]bar missed:[/red] {case.name}: {_bar(results, case, bar)}")
    if not missed:
        console.print("[green]no bar was missed[/green]")


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
            *(figure(value) for value in (case.median, min(case.rounds), max(case.rounds))),
            case.unit,
            *(extra if compared else ()),
            ", ".join(filter(None, (_bar(results, case, bar) for bar in case.bars))),
        )
    return table


def _bar(results: Results, case: Case, bar: Bar) -> str:
    limit = results.limit(case, bar)
    if limit is None:
        return ""
    sign = ">=" if bar.at_least else "<="
    peer = f" {bar.case.split(',')[0]}'s " if bar.case else " +" if bar.over else " "
    cleared = results.cleared(case, bar)
    verdict = "[green]pass[/green]" if cleared else "[red]MISSED[/red]"
    bound = figure(limit) if bar.case else f"{limit:,g}"
    return f"{verdict} {sign}{peer}{bound}"
