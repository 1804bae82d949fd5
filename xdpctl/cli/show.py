"""How things look: tables for people, JSON for programs."""

import json
import sys
from collections.abc import Iterable
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from xdpctl.durations import show_duration

# in a pipe nothing is wrapped or shortened
out = Console(highlight=False, width=None if sys.stdout.isatty() else 400)
err = Console(stderr=True, highlight=False)
_COLOURS = {"drop": "red", "accept": "green", "pass": "green"}


def emit(value: Any) -> None:
    """One JSON document on standard output."""
    json.dump(value, sys.stdout, indent=2)
    sys.stdout.write("\n")


def coloured(word: str) -> str:
    colour = _COLOURS.get(word)
    return f"[{colour}]{word}[/{colour}]" if colour else word


def si(number: float) -> str:
    """`1.2 M`; three digits are enough to look at."""
    for unit in ("", " k", " M", " G", " T"):
        if abs(number) < 1000:
            return f"{number:.3g}{unit}" if unit else f"{number:g}"
        number /= 1000
    return f"{number:.3g} P"


def ends(rule: dict[str, Any]) -> str:
    if rule["confirm_in"] is not None:
        return f"confirm within {show_duration(rule['confirm_in'])}"
    left = rule["expires_in"]
    return "never" if left is None else f"in {show_duration(left)}"


def rules_table(rules: Iterable[dict[str, Any]]) -> int:
    """Print a table; how many rows."""
    rules = list(rules)
    widest = max((len(rule["match"]["source"]) for rule in rules), default=0)
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("source", no_wrap=True, min_width=widest)  # never shortened
    for name in ("action", "mode", "origin", "ends", "packets", "bytes", "reason"):
        table.add_column(name, justify="right" if name in ("packets", "bytes") else "left")
    for rule in rules:
        table.add_row(
            rule["match"]["source"],
            coloured(rule["action"]),
            rule["mode"],
            rule["origin"],
            ends(rule),
            si(rule["packets"]),
            si(rule["bytes"]),
            escape(rule["reason"]),
        )
    if table.row_count:
        out.print(table)
    return table.row_count


def rule_details(rule: dict[str, Any]) -> None:
    lines = {
        "rule": rule["id"],
        "source": rule["match"]["source"],
        "action": f"{coloured(rule['action'])}, {rule['mode']}",
        "origin": rule["origin"],
        "reason": escape(rule["reason"]) or "-",
        "tags": ", ".join(rule["tags"]) or "-",
        "since": rule["created_at"],
        "ends": ends(rule),
        "hits": f"{si(rule['packets'])} packets, {si(rule['bytes'])}B",
        "slot": str(rule["slot"]),
    }
    fields(lines)


def fields(lines: dict[str, str]) -> None:
    width = max(map(len, lines))
    for name, value in lines.items():
        out.print(f"[bold]{name:<{width}}[/bold]  {value}")
