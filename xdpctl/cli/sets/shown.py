# SPDX-License-Identifier: GPL-2.0-or-later
"""How a set is shown: a row of a list, and all its fields."""

from typing import Any

from rich.markup import escape

from xdpctl.base.units import si
from xdpctl.cli import output

_STATE = 50  # characters of a feed's state in a list
_SENDERS = 20  # inside, that are shown


def action(record: dict[str, Any]) -> str:
    """What a set does, as text with markup."""
    return output.coloured(record["action"]) + _direction(record)


def _direction(record: dict[str, Any]) -> str:
    return " out" if record["out"] else ""


def summary(record: dict[str, Any], wide: bool) -> tuple[str, ...]:
    feed = record["feed"]
    state = "-" if feed is None else f"failing: {feed['error']}" if feed["error"] else "good"
    state = state if wide or len(state) <= _STATE else f"{state[: _STATE - 1]}…"
    changed = record["changed_at"][:19].replace("T", " ")
    more = (record["spare"], changed, record["reason"]) if wide else ()
    counts = (f"{record['entries'][family]:,}" for family in ("ipv4", "ipv6"))
    hits = (si(record["packets"]), si(record["bytes"]))
    done = record["action"] + _direction(record)
    return record["name"], done, record["mode"], *counts, *hits, *more, state


def _spared(spared: dict[str, Any] | None) -> str:
    """The sources that a set spares, as text."""
    if spared is None:
        return "not measured"
    if not spared["sources"]:
        return "nobody in the last minute"
    who = output.plural(spared["sources"], "source", "sources")
    examples = escape(", ".join(spared["examples"]))
    return f"{who} in conversation with this network in the last minute, such as {examples}"


def _senders(record: dict[str, Any]) -> dict[str, str]:
    """Who inside sends to an out set, the last ones first."""
    senders = record["senders"]
    lines = {
        f"sent by {number}": f"{each['address']}{' at ' if each['mac'] else ''}{each['mac']}: "
        f"{si(each['packets'])} packets, the last one to {each['destination']}"
        for number, each in enumerate(senders[:_SENDERS], 1)
    }
    more = f"{len(senders) - _SENDERS} more addresses" if len(senders) > _SENDERS else ""
    return lines | ({"and by": more} if more else {}) if senders else {"sent by": "nobody so far"}


def fields(record: dict[str, Any]) -> dict[str, str]:
    """All fields of a set, as text with markup."""
    lines = {
        "set": record["name"],
        "action": f"{action(record)}, {record['mode']}",
        "spare": record["spare"],
        "reason": escape(record["reason"]) or "-",
        "entries": ", ".join(f"{n:,} {family}" for family, n in record["entries"].items()),
        "in the kernel": ", ".join(f"{n:,} {family}" for family, n in record["applied"].items()),
        "hits": f"{si(record['packets'])} packets, {si(record['bytes'])}B",
        **(_senders(record) if record["out"] else {"spared": _spared(record["spared"])}),
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
