# SPDX-License-Identifier: GPL-2.0-or-later
"""Output for people: tables, fields, colours, and the words of rules."""

import sys
from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape

from xdpctl.base.durations import show_duration
from xdpctl.base.units import si

# what goes into a pipe or a file is not wrapped
out = Console(highlight=False, soft_wrap=not sys.stdout.isatty())
err = Console(stderr=True, highlight=False, soft_wrap=not sys.stderr.isatty())
_COLOURS = {"drop": "red", "accept": "green", "pass": "green"}
_REJECTS = 20  # printed one by one
_ANSI = {"drop": 31, "accept": 32}


def coloured(word: str) -> str:
    """The word as rich markup, in its colour if it has one."""
    colour = _COLOURS.get(word)
    return f"[{colour}]{word}[/{colour}]" if colour else word


def plural(number: int, one: str, more: str) -> str:
    """A number with its noun: `1 entry`, `2,000 entries`."""
    return f"{number:,} {one if number == 1 else more}"


def rejects(listed: list[dict[str, Any]], rejected: int) -> None:
    """Print the first rejected lines, and how many more there are."""
    for reject in listed[:_REJECTS]:
        line = f"line {reject['line']}: {reject['error']}"
        fix = f". {reject['fix']}" if reject.get("fix") else ""
        err.print(line + fix, markup=False, soft_wrap=True)
    hidden = rejected - min(_REJECTS, len(listed))
    if hidden > 0:
        which = "them" if rejected <= len(listed) else f"the first {len(listed):,}"
        err.print(f"and {hidden:,} more; --json shows {which}")


def undo_hint(answer: dict[str, Any]) -> str:
    """How to undo what was just done, behind a semicolon; nothing if it cannot be undone."""
    number = answer.get("change")
    return f"; undo it with: xdpctl undo {number}" if number else ""


def warnings(answer: dict[str, Any]) -> None:
    """What an answer warns of, on standard error."""
    for warning in answer["warnings"]:
        err.print(f"[yellow]note:[/yellow] {escape(warning)}")


def ends(rule: dict[str, Any]) -> str:
    """When a rule ends, in words."""
    if rule["confirm_in"] is not None:
        return f"confirm within {show_duration(rule['confirm_in'])}"
    left = rule["expires_in"]
    return "never" if left is None else f"in {show_duration(left)}"


def table(columns: Sequence[str], rows: Iterable[Sequence[str]], wide: bool = False) -> int:
    """Print aligned rows; return their number. A column named `>name` is right-aligned.

    On a terminal the last column is shortened to its width, unless `wide`. Does not use rich,
    which would take too long for tens of thousands of rules.
    """
    names, numbers = [c.lstrip(">") for c in columns], [c.startswith(">") for c in columns]
    listed = [names, *rows]
    if len(listed) == 1:
        return 0
    widths = [max(map(len, column)) for column in zip(*listed, strict=True)]
    sides = ["<>"[right] for right in numbers]
    cells = [f"{{:{side}{width}}}" for side, width in zip(sides, widths, strict=True)]
    if out.is_terminal:
        left = None if wide else max(8, out.width - sum(widths[:-1]) - 2 * len(widths))
        lines = [_painted(row, cells, left) for row in listed]
    else:
        layout = "  ".join(cells).format
        lines = [layout(*row).rstrip() for row in listed]
    sys.stdout.write("\n".join(lines) + "\n")
    return len(listed) - 1


def _painted(row: Sequence[str], cells: Sequence[str], left: int | None) -> str:
    """A line for a terminal: the last cell has `left` columns, and some words have a colour."""
    *first, last = row
    shown = [
        cell.format(text)
        for cell, text in zip(cells, (*first, _shortened(last, left)), strict=True)
    ]
    codes = [_ANSI.get(text) for text in row]
    return "  ".join(
        f"\x1b[{code}m{text}\x1b[0m" if code else text
        for code, text in zip(codes, shown, strict=True)
    ).rstrip()


def _shortened(text: str, most: int | None) -> str:
    return text if most is None or len(text) <= most else text[: most - 1] + "…"


def where(rule: dict[str, Any]) -> str:
    """What the rule matches: its source alone, or its match as text."""
    only = rule["match"].keys() == {"source"} and not rule["limit"]
    source: str = rule["match"]["source"] if only else rule["text"]
    return source


def _signature(rule: dict[str, Any]) -> str:
    return str(rule["id"]) if rule["id"].startswith("sig-") else ""


def name(rule: dict[str, Any]) -> str:
    """The name of the rule for other commands: its id or its source."""
    return str(rule["id"] if rule["id"].startswith("sig-") else rule["match"]["source"])


def rate(limit: dict[str, Any]) -> str:
    """The limit as text: `10,000 pps per source`."""
    number, unit = (limit["pps"], "pps") if limit["pps"] else (limit["bps"], "bps")
    per = ""
    if limit["per"] == "source":
        lengths = limit["ipv4_length"], limit["ipv6_length"]
        per = " per source" if lengths == (32, 64) else f" per /{lengths[0]} and /{lengths[1]}"
    shown = f"{number:,.0f}" if float(number).is_integer() else f"{number:g}"
    return f"{shown} {unit}{per}"


def action(rule: dict[str, Any]) -> str:
    """The action as text: `drop`, or `limit 500 pps`."""
    return f"limit {rate(rule['limit'])}" if rule["limit"] else str(rule["action"])


def rules_table(rules: Iterable[dict[str, Any]], wide: bool = False) -> int:
    """Print a table of rules, with more columns if `wide`; return the number of rows."""
    more = ("spare", ">priority", "since", "tags") if wide else ()
    columns = ("match", "action", "mode", "origin", "ends", ">packets", ">bytes", "id")
    rows = [
        (
            *(where(rule), action(rule), rule["mode"], rule["origin"]),
            *(ends(rule), si(rule["packets"]), si(rule["bytes"]), _signature(rule)),
            *(_wide(rule) if wide else ()),
            rule["reason"],
        )
        for rule in rules
    ]
    return table((*columns, *more, "reason"), rows, wide)


def _wide(rule: dict[str, Any]) -> tuple[str, ...]:
    since = rule["created_at"][:19].replace("T", " ")
    return rule["spare"], str(rule["priority"]), since, ",".join(rule["tags"])


def rule_details(rule: dict[str, Any]) -> None:
    """Print one rule, one field per line."""
    lines = {
        "rule": rule["id"],
        "match": escape(where(rule)),
        "action": f"{coloured(rule['action'])}, {rule['mode']}"
        + (f", to {rate(rule['limit'])}" if rule["limit"] else ""),
        "spare": rule["spare"] + (f", priority {rule['priority']}" if rule["priority"] else ""),
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
    """Print names and values in two columns; values are rich markup."""
    width = max(map(len, lines))
    for name, value in lines.items():
        out.print(f"[bold]{name:<{width}}[/bold]  {value}")
