# SPDX-License-Identifier: GPL-2.0-or-later
"""The options that commands share."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from xdpctl.base.durations import parse_duration
from xdpctl.base.system.logs import LogFormat
from xdpctl.cli import completion
from xdpctl.cli.formats import Format, chosen
from xdpctl.config import paths
from xdpctl.model import effect
from xdpctl.model.wait import Wait

if TYPE_CHECKING:
    from xdpctl.client import Client

Output = Annotated[
    Format,
    typer.Option(
        "-o",
        "--output",
        callback=chosen,
        metavar="FORMAT",
        help="table, wide, json, yaml, or csv with a line a record.",
    ),
]
Socket = Annotated[
    Path,
    typer.Option("--socket", envvar="XDPCTL_SOCKET", help="Unix socket of the control plane."),
]
Url = Annotated[
    str | None,
    typer.Option(
        "--url", envvar="XDPCTL_URL", help="URL of the control plane, instead of the socket."
    ),
]
Token = Annotated[
    str | None, typer.Option("--token", envvar="XDPCTL_TOKEN", help="Token for --url.")
]
Node = Annotated[
    str,
    typer.Option("--node", help="In a fleet: ask this node, or all of them (--node all)."),
]
Scope = Annotated[
    str,
    typer.Option("--scope", help="In a fleet: change only node:NAME or group:NAME; default: all."),
]
Local = Annotated[bool, typer.Option("--local", help="In a fleet: change only this node.")]
WaitFor = Annotated[
    Wait | None,
    typer.Option("--wait", help="In a fleet, what to wait for: local, majority, or all (default)."),
]
Canary = Annotated[
    str,
    typer.Option(
        "--canary",
        help="In a fleet: this node tries the change first; then all have it, or it is taken back.",
    ),
]
CanaryFor = Annotated[
    str, typer.Option("--for", help="With --canary: how long it is tried; default: 10m.")
]
Config = Annotated[
    Path | None,
    typer.Option("--config", help=f"Configuration file; default: {paths.CONFIG_FILE}."),
]
StateDir = Annotated[
    Path | None, typer.Option("--state-dir", help="Folder where rules are stored.")
]
PinDir = Annotated[
    Path | None, typer.Option("--pin-dir", help="Folder where the BPF maps are pinned.")
]
RuleName = Annotated[
    str,
    typer.Argument(help="Source, id (m-…) or match of the rule.", autocompletion=completion.rules),
]
Log = Annotated[
    LogFormat | None,
    typer.Option("--log", help="Format of the log: auto (text, or for the journal), text, json."),
]
Reason = Annotated[str, typer.Option("--reason", help="Reason, kept in the audit log.")]
Monitor = Annotated[
    bool,
    typer.Option("--monitor", help="Monitor mode: count what the rule would hit, and let it pass."),
]
Tags = Annotated[list[str] | None, typer.Option("--tag", help="Tag; may be given several times.")]
Mode = Annotated[effect.Mode, typer.Argument(help="enforce, or monitor to count only.")]
ForceChange = Annotated[
    bool,
    typer.Option(
        "--force",
        help="Also make a change that may cut off many: a wide drop, or one of most connections.",
    ),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would change; change nothing.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


def not_empty(value: str | None) -> str | None:
    """An option's value; BadParameter if it is empty, as from an unset variable of a script."""
    if value is not None and not value.strip():
        raise typer.BadParameter("it is empty; leave the option out, or give a duration")
    return value


Ttl = Annotated[
    str | None,
    typer.Option(
        "--ttl", callback=not_empty, help="Time to live: 90, 15m, 1h30m; default: no expiry."
    ),
]


class Endpoint(NamedTuple):
    """Address of the control plane: its socket, or a URL with a token; in a fleet also the node.

    `stated` has the parameters of each change: its scope, and what to wait for.
    """

    socket: Path
    url: str | None
    token: str | None
    node: str = ""
    stated: Mapping[str, str] = {}


def canary_scope(lasting: str) -> str:
    """The scope of a change that a node tries first for a duration; RuleError."""
    return f"canary:{parse_duration(lasting, 'for'):.0f}"


def tried_first(context: typer.Context) -> bool:
    """Whether one node is to try the change first."""
    endpoint: Endpoint = context.obj
    return endpoint.stated.get("scope", "").startswith("canary:")


def client(context: typer.Context) -> "Client":
    """The client for the global options. Its module is imported late, as the import takes time."""
    from xdpctl.client import Client

    endpoint: Endpoint = context.obj
    return Client(*endpoint, warn=_warn)


def _warn(text: str) -> None:
    from rich.markup import escape  # imported late: few answers have a warning

    from xdpctl.cli import output

    output.err.print(f"[yellow]note:[/yellow] {escape(text)}")
