# SPDX-License-Identifier: GPL-2.0-or-later
"""Creates or replaces a set: the shared options, the request, and the printed result."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from xdpctl.base.units import si
from xdpctl.cli import completion, options, output
from xdpctl.cli.formats import Format, printed
from xdpctl.client import SLOW_SECONDS, Client, path
from xdpctl.errors import Refused, Unreachable
from xdpctl.model.effect import Spare
from xdpctl.model.names import check_name


def _named(name: str) -> str:
    if "://" in name:
        raise typer.BadParameter(f"name the set first: xdpctl set put NAME --url {name[:200]}")
    return check_name(name, "name")


class ListFormat(StrEnum):
    """The values of `--format`; `auto` detects the format from the content."""

    AUTO = "auto"
    PLAIN = "plain"
    CSV = "csv"
    JSON = "json"
    NDJSON = "ndjson"
    DSHIELD = "dshield"


class SetAction(StrEnum):
    """The actions of a set."""

    DROP = "drop"
    ACCEPT = "accept"


Name = Annotated[
    str,
    typer.Argument(
        help="Name of the set: a-z, 0-9, '-', '_' and '.'.",
        callback=_named,
        autocompletion=completion.sets,
    ),
]
ActionOption = Annotated[
    SetAction | None,
    typer.Option("--action", help="drop or accept; default: unchanged, or drop for a new set."),
]
Monitor = Annotated[
    bool | None,
    typer.Option("--monitor/--enforce", help="Count only, or enforce; default: unchanged."),
]
Reason = Annotated[str | None, typer.Option("--reason", help="Reason; default: unchanged.")]
FormatOption = Annotated[ListFormat, typer.Option("--format", help="Format of the list.")]
Column = Annotated[str, typer.Option("--column", help="Column of a CSV, or field of JSON objects.")]
AllowPrivate = Annotated[
    bool, typer.Option("--allow-private", help="Keep private and special-purpose prefixes.")
]
Aggregate = Annotated[
    bool,
    typer.Option(
        "--aggregate", help="Merge prefixes exactly: no address gains or loses a verdict."
    ),
]
WidenIpv4 = Annotated[
    int, typer.Option("--widen-ipv4", help="Widen longer IPv4 prefixes to this length (lossy).")
]
WidenIpv6 = Annotated[
    int, typer.Option("--widen-ipv6", help="Widen longer IPv6 prefixes to this length (lossy).")
]
AtMost = Annotated[
    int,
    typer.Option("--at-most", help="Merge to at most this many entries of each family (lossy)."),
]
Force = Annotated[
    bool,
    typer.Option(
        "--force", help="Apply even if the list shrinks by more than half or the action changes."
    ),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Check and count; change nothing.")]
SpareOption = Annotated[
    Spare | None,
    typer.Option(
        "--spare",
        help="known: let packets of known flows pass; established: of this host's TCP connections; "
        "none. Default: none, and known for a new feed that drops.",
    ),
]
ListFile = Annotated[
    Path | None, typer.Argument(help="File with the list; - for standard input.", allow_dash=True)
]
FeedUrl = Annotated[
    str | None, typer.Option("--url", help="URL to fetch periodically (see --refresh).")
]
FeedFile = Annotated[
    str | None,
    typer.Option("--local", help="File in feeds.directory to read periodically (see --refresh)."),
]
Refresh = Annotated[
    str | None, typer.Option("--refresh", help="Interval of --url and --local; default: 1h.")
]


def choose(
    action: SetAction | None,
    monitor: bool | None,
    reason: str | None,
    force: bool,
    dry_run: bool,
    spare: Spare | None = None,
) -> dict[str, Any]:
    """The options that were given, as parameters of the API."""
    mode = None if monitor is None else "monitor" if monitor else "enforce"
    values = {"action": action and action.value, "mode": mode, "reason": reason}
    values["spare"] = spare and spare.value
    flags = {"force": force or None, "dry_run": dry_run or None}
    return {key: value for key, value in {**values, **flags}.items() if value is not None}


def read(path: Path) -> bytes:
    """A file's content, or standard input's."""
    try:
        return sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()
    except OSError as error:
        raise typer.BadParameter(f"{path}: {error.strerror}") from None


def put_list(
    context: typer.Context, name: str, data: bytes, choices: dict[str, Any], form: Format
) -> None:
    """PUT a list as the request body, and print the result."""
    headers = {"content-type": "application/octet-stream"}
    _put(context, name, form, params=choices, content=data, headers=headers)


def put_feed(
    context: typer.Context,
    name: str,
    feed: dict[str, Any],
    choices: dict[str, Any],
    form: Format,
) -> None:
    """PUT the address of a feed, and print the result."""
    _put(context, name, form, json={**choices, "feed": feed})


def _put(context: typer.Context, name: str, form: Format, **how: Any) -> None:
    client = options.client(context)
    try:
        result = client.call("PUT", path("sets", name), seconds=SLOW_SECONDS, **how)
    except Refused as refused:
        raise Refused({**refused.problem, "stands": _standing(client, name)}) from None
    if not printed(result, form):
        print_result(result)


def _standing(client: Client, name: str) -> str:
    """The state of a set after a refused PUT, as text; empty if it is not known."""
    try:
        entries = client.call("GET", path("sets", name))["entries"]
    except Refused as refused:
        return f"there is no set {name}" if refused.problem.get("status") == 404 else ""
    except Unreachable:
        return ""
    number = output.plural(sum(entries.values()), "entry", "entries")
    return f"the set {name} is unchanged, with {number}"


_NOTES = {
    "rejected": "lines rejected",
    "duplicates": "duplicates",
    "too_wide": "left out, too wide for a list (wider than /8, IPv6 /16)",
    "private": "left out, private or special-purpose (--allow-private keeps them)",
    "protected": "not applied, inside protected prefixes",
    "saved": "entries saved by merging",
    "extra_addresses": "addresses in the set that are not in the list",
}
_ADDRESSES = {"protected": "protected_addresses"}


def print_result(result: dict[str, Any]) -> None:
    """Print the result of a PUT or a refresh: changes, warnings, and rejected lines."""
    report = result["report"]
    verb = "would be " if result["dry_run"] else ""
    verb += "created" if result["created"] else "replaced" if result["changed"] else "unchanged"
    mode = " (monitor: counts only)" if result["mode"] == "monitor" else ""
    output.out.print(
        f"{verb}: {output.coloured(result['action'])} {result['name']}{mode}, "
        f"{output.plural(report['entries'], 'entry', 'entries')}: "
        f"{report['added']:,} added, {report['removed']:,} removed"
    )
    for warning in result["warnings"]:
        output.err.print(f"[yellow]note:[/yellow] {escape(warning)}", soft_wrap=True)
    for key, text in _NOTES.items():
        if report.get(key):
            addresses = report.get(_ADDRESSES.get(key, ""))
            more = f" ({si(addresses)} IPv4 addresses)" if addresses else ""
            output.err.print(f"[yellow]note:[/yellow] {text}: {report[key]:,}{more}")
    if left_out := report.get("left_out_addresses"):
        output.err.print(
            f"[yellow]note:[/yellow] the list names {si(left_out)} IPv4 addresses that the set "
            "does not have"
        )
    output.rejects(result["rejects"], report.get("rejected", 0))
