# SPDX-License-Identifier: GPL-2.0-or-later
"""The options of `set put`."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from xdpctl.cli import completion
from xdpctl.model.effect import Spare
from xdpctl.model.feed_format import FeedFormat
from xdpctl.model.names import check_name


def _named(name: str) -> str:
    if "://" in name:
        raise typer.BadParameter(f"name the set first: xdpctl set put NAME --url {name[:200]}")
    return check_name(name, "name")


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
FormatOption = Annotated[FeedFormat, typer.Option("--format", help="Format of the list.")]
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
OutOption = Annotated[
    bool,
    typer.Option(
        "--out",
        help="Drop what goes out to the prefixes, instead of what comes in from them; needs an "
        "outside interface.",
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
    out: bool = False,
) -> dict[str, Any]:
    """The options that were given, as parameters of the API."""
    mode = None if monitor is None else "monitor" if monitor else "enforce"
    values = {"action": action and action.value, "mode": mode, "reason": reason}
    values["spare"] = spare and spare.value
    flags = {"force": force or None, "dry_run": dry_run or None, "out": out or None}
    return {key: value for key, value in {**values, **flags}.items() if value is not None}
