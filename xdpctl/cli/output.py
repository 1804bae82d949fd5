# SPDX-License-Identifier: GPL-2.0-or-later
"""Output for people: tables, fields, colours, and the words of rules."""

import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.text import Text

from xdpctl.base.durations import show_duration
from xdpctl.base.units import si
from xdpctl.cli import words

if TYPE_CHECKING:
    pass

# output into a pipe or a file is not wrapped
out = Console(highlight=False, soft_wrap=not sys.stdout.isatty())
err = Console(stderr=True, highlight=False, soft_wrap=not sys.stderr.isatty())
_COLOURS = {"drop": "red", "accept": "green", "pass": "green"}
_REJECTS = 20  # printed one by one
_EXACT = 100  # a larger rate is shown without decimals
_LEAST = 8  # characters that a shortened column keeps
_ANSI = {"drop": 31, "accept": 32}


def coloured(word: str) -> str:
    """The word as rich markup, in its colour if it has one."""
    colour = _COLOURS.get(word)
    return f"[{colour}]{word}[/{colour}]" if colour else word


def plural(number: int, singular: str, several: str) -> str:
    """A number with its noun: `1 entry`, `2,000 entries`."""
    return f"{number:,} {singular if number == 1 else several}"


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


def afterwards(answer: dict[str, Any]) -> str:
    """Lines after a change: how to undo it and, in a fleet, where it is in force."""
    fleet, change = answer.get("fleet"), answer.get("change")
    text = f"\n  in force on {escape(fleet['text'])}" if fleet else ""
    return text + (f"\n  undo it with: xdpctl undo {change}" if change else "")


def warnings(answer: dict[str, Any]) -> None:
    """Print an answer's warnings on standard error."""
    for warning in answer["warnings"]:
        err.print(f"[yellow]note:[/yellow] {escape(words.spoken(warning))}")


def ends(rule: dict[str, Any]) -> str:
    """When a rule ends, in words."""
    if rule["confirm_in"] is not None:
        return f"in {show_duration(rule['confirm_in'])} unless confirmed"
    seconds = rule["expires_in"]
    return "never" if seconds is None else f"in {show_duration(seconds)}"


def table(
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    wide: bool = False,
    spare: Sequence[str] = (),
) -> int:
    """Print aligned rows; return their number. A column named `>name` is right-aligned.

    On a terminal, and unless `wide`, it is at most as wide as the terminal: columns of `spare` are
    left out, in that order, then cells are shortened. Does not use rich, which would take too long
    for tens of thousands of rules.
    """
    listed = [[column.lstrip(">") for column in columns], *rows]
    if len(listed) == 1:
        return 0
    whole = [max(map(len, column)) for column in zip(*listed, strict=True)]
    if not out.is_terminal:
        pairs = zip(columns, whole, strict=True)
        cells = [f"{{:{'>' if name.startswith('>') else '<'}{width}}}" for name, width in pairs]
        layout = "  ".join(cells).format
        sys.stdout.write("".join(f"{layout(*row).rstrip()}\n" for row in listed))
    else:
        widths = whole if wide else _fitted(columns, whole, spare, out.width)
        _draw(columns, listed, widths)
    return len(listed) - 1


def _draw(columns: Sequence[str], listed: Sequence[Sequence[str]], widths: list[int]) -> None:
    """Print rows for a terminal, then the names of columns that were left out (width 0)."""
    for number, row in enumerate(listed):
        cells = [
            _cell(cell, width, column.startswith(">"))
            for cell, width, column in zip(row, widths, columns, strict=True)
            if width
        ]
        sys.stdout.write("  ".join(map(_painted, cells) if number else cells).rstrip() + "\n")
    left_out = [name for name, width in zip(listed[0], widths, strict=True) if not width]
    if left_out:
        sys.stdout.flush()
        err.print(f"left out: {', '.join(left_out)}; -o wide shows all", style="dim")


def _fitted(columns: Sequence[str], whole: list[int], spare: Sequence[str], most: int) -> list[int]:
    """The widths of columns that fit; 0 for one that is left out."""
    widths = list(whole)

    def excess(last: int) -> int:
        used = [width for width in (*widths[:-1], last) if width]
        return sum(used) + 2 * len(used) - 2 - most

    for name in spare:
        if excess(min(_LEAST, widths[-1])) > 0:
            widths[columns.index(name)] = 0
    widths[-1] = max(min(_LEAST, widths[-1]), widths[-1] - max(0, excess(widths[-1])))
    while excess(widths[-1]) > 0 and max(widths) > _LEAST:
        # the first column names the row
        inner = max(widths[1:-1], default=0)
        widest = widths.index(inner, 1) if inner > _LEAST else 0
        widths[widest] -= 1
    return widths


def _cell(text: str, width: int, right: bool) -> str:
    shown = text if len(text) <= width else text[: width - 1] + "…"
    return shown.rjust(width) if right else shown.ljust(width)


def _painted(cell: str) -> str:
    """The cell in the colour of its word."""
    code = _ANSI.get(cell.strip())
    return f"\x1b[{code}m{cell}\x1b[0m" if code else cell


def where(rule: dict[str, Any]) -> str:
    """What the rule matches: its source alone, or its match as text."""
    only = of_source(rule) and not rule["limit"]
    source: str = rule["match"]["source"] if only else rule["text"]
    return source


def of_source(rule: dict[str, Any]) -> bool:
    """Whether the rule's match is only a source, which is then the rule's name."""
    return bool(rule["match"].keys() == {"source"})


def _id(rule: dict[str, Any]) -> str:
    return "" if of_source(rule) else str(rule["id"])


def name(rule: dict[str, Any]) -> str:
    """The name of the rule for other commands: its id or its source."""
    return str(rule["match"]["source"] if of_source(rule) else rule["id"])


def rate(limit: dict[str, Any]) -> str:
    """The limit as text: `10,000 pps per source`."""
    number, unit = (limit["pps"], "pps") if limit["pps"] else (limit["bps"], "bps")
    per = "" if limit["per"] == "all" else f" per {limit['per']}"
    amount = f"{number:,.0f}" if float(number).is_integer() or number >= _EXACT else f"{number:g}"
    return f"{amount} {unit}{per}"


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
            *(ends(rule), si(rule["packets"]), si(rule["bytes"]), _id(rule)),
            *(_wide(rule) if wide else ()),
            rule["reason"],
        )
        for rule in rules
    ]
    return table((*columns, *more, "reason"), rows, wide, (">bytes", "origin", "id"))


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
    if rule["collateral"]:
        lines["people"] = escape(rule["collateral"]["text"])
    fields(lines)


def fields(lines: dict[str, str]) -> None:
    """Print names and values in two columns; values are rich markup."""
    width = max(map(len, lines))
    for name, value in lines.items():
        text = Text.from_markup(value)
        parts = text.wrap(out, max(_LEAST, out.width - width - 2)) if out.is_terminal else [text]
        for number, part in enumerate(parts or [text]):
            head = Text(f"{'' if number else name:<{width}}  ", "bold")
            out.print(Text.assemble(head, part), soft_wrap=True)
