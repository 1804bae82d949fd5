# SPDX-License-Identifier: GPL-2.0-or-later
"""How a set is shown: a row of a list, and all its fields."""

from typing import Any

from rich.markup import escape

from xdpctl.base.units import si
from xdpctl.cli import output

_STATE = 50  # characters of a feed's state in a list


def summary(record: dict[str, Any], wide: bool) -> tuple[str, ...]:
    feed = record["feed"]
    state = "-" if feed is None else f"failing: {feed['error']}" if feed["error"] else "good"
    state = state if wide or len(state) <= _STATE else f"{state[: _STATE - 1]}…"
    changed = record["changed_at"][:19].replace("T", " ")
    more = (record["spare"], changed, record["reason"]) if wide else ()
    counts = (f"{record['entries'][family]:,}" for family in ("ipv4", "ipv6"))
    hits = (si(record["packets"]), si(record["bytes"]))
    return record["name"], record["action"], record["mode"], *counts, *hits, *more, state


def _spared(spared: dict[str, Any] | None) -> str:
    """The sources that a set spares, as text."""
    if spared is None:
        return "not measured"
    if not spared["sources"]:
        return "nobody in the last minute"
    who = output.plural(spared["sources"], "source", "sources")
    examples = escape(", ".join(spared["examples"]))
    return f"{who} in conversation with this network in the last minute, such as {examples}"


def fields(record: dict[str, Any]) -> dict[str, str]:
    """All fields of a set, as text with markup."""
    lines = {
        "set": record["name"],
        "action": f"{output.coloured(record['action'])}, {record['mode']}",
        "spare": record["spare"],
        "reason": escape(record["reason"]) or "-",
        "entries": ", ".join(f"{n:,} {family}" for family, n in record["entries"].items()),
        "in the kernel": ", ".join(f"{n:,} {family}" for family, n in record["applied"].items()),
        "hits": f"{si(record['packets'])} packets, {si(record['bytes'])}B",
        "spared": _spared(record["spared"]),
        "changed": record["changed_at"],
        "report": ", ".join(
            f"{key.replace('_', ' ')} {n:,}" for key, n in record["report"].items() if n
        ),
    }
    feed = record["feed"]
    if feed:
        lines["feed"] = escape(feed["url"] or feed["file"])
        lines["checked"] = f"{feed['checked_at'] or 'not since the start'}, next {feed['next_at']}"
        if feed["error"]:
            often = output.plural(feed["failures"], "time", "times")
            lines["failing"] = f"[red]{escape(feed['error'])}[/red] ({often})"
    return lines
