"""Commands about sets: named lists of prefixes with one action."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from xdpctl.cli import options, show
from xdpctl.model import Action

app = typer.Typer()
set_app = typer.Typer(no_args_is_help=True, help="Named lists of prefixes: feeds, countries.")
app.add_typer(set_app, name="set")


class ListFormat(StrEnum):
    """What `--format` takes; `auto` looks at the content."""

    AUTO = "auto"
    PLAIN = "plain"
    CSV = "csv"
    JSON = "json"
    NDJSON = "ndjson"
    DSHIELD = "dshield"


Name = Annotated[str, typer.Argument(help="The set's name: a-z, 0-9, '-', '_' and '.'")]
ActionOption = Annotated[Action, typer.Option("--action", help="drop or accept")]
Monitor = Annotated[bool, typer.Option("--monitor", help="Only count what it would hit.")]
FormatOption = Annotated[ListFormat, typer.Option("--format", help="Of the list.")]
Column = Annotated[str, typer.Option("--column", help="Of CSV, or the field of JSON objects.")]
AllowPrivate = Annotated[
    bool, typer.Option("--allow-private", help="Keep private and special-purpose prefixes.")
]
Aggregate = Annotated[
    bool, typer.Option("--aggregate", help="Merge exactly: nobody gains or loses a verdict.")
]
WidenIpv4 = Annotated[
    int, typer.Option("--widen-ipv4", help="Lossy: widen longer prefixes to this length.")
]
WidenIpv6 = Annotated[int, typer.Option("--widen-ipv6", help="The same for IPv6.")]
AtMost = Annotated[
    int, typer.Option("--at-most", help="Lossy: merge to so many entries of each family.")
]
Force = Annotated[bool, typer.Option("--force", help="Also if it shrinks by more than half.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Check and count, change nothing.")]
ListFile = Annotated[
    Path | None, typer.Argument(help="The list; - is standard input.", allow_dash=True)
]
FeedUrl = Annotated[str | None, typer.Option("--url", help="Fetch it from here, again and again.")]
FeedFile = Annotated[
    str | None, typer.Option("--local", help="Read it from feeds.directory, again and again.")
]
Refresh = Annotated[str, typer.Option("--refresh", help="How often, of --url and --local.")]


@set_app.command("put")
def put(
    context: typer.Context,
    name: Name,
    file: ListFile = None,
    url: FeedUrl = None,
    local: FeedFile = None,
    refresh: Refresh = "1h",
    action: ActionOption = Action.DROP,
    monitor: Monitor = False,
    reason: options.Reason = "",
    format: FormatOption = ListFormat.AUTO,
    column: Column = "",
    allow_private: AllowPrivate = False,
    aggregate: Aggregate = False,
    widen_ipv4: WidenIpv4 = 0,
    widen_ipv6: WidenIpv6 = 0,
    at_most: AtMost = 0,
    force: Force = False,
    dry_run: DryRun = False,
    as_json: options.Json = False,
) -> None:
    """Make a set, or give the one of that name another list, without a gap."""
    if sum(given is not None for given in (file, url, local)) != 1:
        raise typer.BadParameter("give one of FILE, --url and --local")
    choices = choose(action, monitor, reason, force, dry_run) | {
        "allow_private": allow_private,
        "aggregate": aggregate,
        "widen_ipv4": widen_ipv4,
        "widen_ipv6": widen_ipv6,
        "at_most": at_most,
    }
    kind = {"format": format.value, "column": column}
    if file is not None:
        return put_list(context, name, _read(file), choices | kind, as_json)
    feed = {"url": url or "", "file": local or "", "refresh": refresh, **kind}
    found = options.client(context).call("PUT", f"/v1/sets/{name}", json={**choices, "feed": feed})
    show.emit(found) if as_json else _told(found)


def choose(
    action: Action, monitor: bool, reason: str, force: bool, dry_run: bool
) -> dict[str, Any]:
    """What every set is put with, as the API names it."""
    mode = "monitor" if monitor else "enforce"
    named = {"action": action.value, "mode": mode, "reason": reason}
    return {**named, "force": force, "dry_run": dry_run}


def _read(path: Path) -> bytes:
    try:
        return sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()
    except OSError as error:
        raise typer.BadParameter(f"{path}: {error.strerror}") from None


def put_list(
    context: typer.Context, name: str, data: bytes, choices: dict[str, Any], as_json: bool
) -> None:
    """PUT a list as the body, and tell what became of it."""
    given = {key: value for key, value in choices.items() if value not in ("", False, 0)}
    headers = {"content-type": "application/octet-stream"}
    path = f"/v1/sets/{name}"
    found = options.client(context).call("PUT", path, params=given, content=data, headers=headers)
    show.emit(found) if as_json else _told(found)


def _told(found: dict[str, Any]) -> None:
    report = found["report"]
    verb = "would be " if found["dry_run"] else ""
    verb += "made" if found["created"] else "replaced"
    mode = " (monitor: counts only)" if found["mode"] == "monitor" else ""
    show.out.print(
        f"{verb}: {show.coloured(found['action'])} {found['name']}{mode}, "
        f"{report['entries']:,} entries: {report['added']:,} added, {report['removed']:,} removed"
    )
    notes = {
        "rejected": "lines rejected",
        "duplicates": "duplicates",
        "too_wide": "left out, too wide for a list (wider than /8, IPv6 /16)",
        "private": "left out, private or special-purpose (--allow-private keeps them)",
        "protected": "not applied, inside protected prefixes",
        "saved": "entries saved by merging",
        "extra_addresses": "addresses that the list did not name",
    }
    for key, text in notes.items():
        if report.get(key):
            show.err.print(f"[yellow]note:[/yellow] {text}: {report[key]:,}")
    for reject in found["rejects"][:5]:
        line = f"line {reject['line']}: {reject['error']}. {reject['fix']}"
        show.err.print(f"  {escape(line)}", soft_wrap=True)


@set_app.command("list")
def list_sets(context: typer.Context, as_json: options.Json = False) -> None:
    """Every set with its size and hits."""
    sets = options.client(context).call("GET", "/v1/sets")["sets"]
    if as_json:
        return show.emit(sets)
    columns = ("set", "action", "mode", ">IPv4", ">IPv6", ">packets", ">bytes", "feed")
    if not show.table(columns, map(_row, sets)):
        show.out.print("no sets")


def _row(held: dict[str, Any]) -> tuple[str, ...]:
    feed = held["feed"]
    state = "-" if feed is None else f"failing: {feed['error']}" if feed["error"] else "good"
    counts = (f"{held['entries'][family]:,}" for family in ("ipv4", "ipv6"))
    hits = (show.si(held["packets"]), show.si(held["bytes"]))
    return held["name"], held["action"], held["mode"], *counts, *hits, state


@set_app.command("show")
def show_set(context: typer.Context, name: Name, as_json: options.Json = False) -> None:
    """One set, whole."""
    held = options.client(context).call("GET", f"/v1/sets/{name}")
    if as_json:
        return show.emit(held)
    lines = {
        "set": held["name"],
        "action": f"{show.coloured(held['action'])}, {held['mode']}",
        "reason": escape(held["reason"]) or "-",
        "entries": ", ".join(f"{n:,} {family}" for family, n in held["entries"].items()),
        "in the kernel": ", ".join(f"{n:,} {family}" for family, n in held["applied"].items()),
        "hits": f"{show.si(held['packets'])} packets, {show.si(held['bytes'])}B",
        "changed": held["changed_at"],
        "report": ", ".join(f"{key} {n:,}" for key, n in held["report"].items()),
    }
    feed = held["feed"]
    if feed:
        lines["feed"] = escape(feed["url"] or feed["file"])
        lines["checked"] = f"{feed['checked_at'] or 'not since the start'}, next {feed['next_at']}"
        if feed["error"]:
            lines["failing"] = f"[red]{escape(feed['error'])}[/red] ({feed['failures']} times)"
    show.fields(lines)


@set_app.command("entries")
def entries(context: typer.Context, name: Name) -> None:
    """Its prefixes, one a line."""
    print(options.client(context).call("GET", f"/v1/sets/{name}/entries"), end="")


@set_app.command("mode")
def mode(
    context: typer.Context,
    name: Name,
    mode: options.Mode,
    as_json: options.Json = False,
) -> None:
    """Let it decide, or only count: at once for all its entries."""
    body = {"mode": mode.value}
    held = options.client(context).call("PATCH", f"/v1/sets/{name}", json=body)
    show.emit(held) if as_json else show.out.print(f"{held['name']}: {held['mode']}")


@set_app.command("refresh")
def refresh(
    context: typer.Context, name: Name, force: Force = False, as_json: options.Json = False
) -> None:
    """Look at its feed now."""
    query = {"force": force}
    held = options.client(context).call("POST", f"/v1/sets/{name}/refresh", params=query)
    if as_json:
        return show.emit(held)
    if held["changed"]:
        _told(held)
    else:
        show.out.print(f"{held['name']}: nothing new")


@set_app.command("top")
def top(
    context: typer.Context,
    name: Name,
    seconds: Annotated[float, typer.Option(help="How long to watch.")] = 5.0,
    every: Annotated[int, typer.Option(help="One packet in so many; a power of two.")] = 64,
    as_json: options.Json = False,
) -> None:
    """Which of its entries are hit, by samples."""
    query = {"seconds": seconds, "every": every}
    found = options.client(context).call("GET", f"/v1/sets/{name}/top", params=query)
    if as_json:
        return show.emit(found)
    took = f"{found['samples']:,} samples in {found['seconds']:.1f} s, one packet in {every}"
    show.out.print(took)
    for row in found["entries"]:
        packets = show.si(row["packets"])
        show.out.print(f"  {row['prefix']:<20} {packets:>8} packets  {row['share']:6.1%}")


@set_app.command("remove")
def remove(context: typer.Context, name: Name, as_json: options.Json = False) -> None:
    """Take it away, at once for all its entries."""
    held = options.client(context).call("DELETE", f"/v1/sets/{name}")
    if as_json:
        return show.emit(held)
    hits = f"{show.si(held['packets'])} packets"
    show.out.print(f"removed: {held['action']} {held['name']}; it had hit {hits}")
