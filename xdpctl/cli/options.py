"""The options that commands share."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from xdpctl.model import rule
from xdpctl.service import defaults

if TYPE_CHECKING:
    from xdpctl.service.client import Client

Json = Annotated[bool, typer.Option("--json", help="JSON on standard output.")]
Socket = Annotated[
    Path,
    typer.Option("--socket", envvar="XDPCTL_SOCKET", help="The control plane's Unix socket."),
]
Url = Annotated[
    str | None,
    typer.Option("--url", envvar="XDPCTL_URL", help="Its URL instead of the socket."),
]
Token = Annotated[
    str | None, typer.Option("--token", envvar="XDPCTL_TOKEN", help="Token for --url.")
]
Config = Annotated[
    Path | None, typer.Option("--config", help=f"Settings file, else {defaults.CONFIG_FILE}.")
]
StateDir = Annotated[Path | None, typer.Option("--state-dir", help="Where rules are kept.")]
PinDir = Annotated[Path | None, typer.Option("--pin-dir", help="Where the maps are pinned.")]
Source = Annotated[str, typer.Argument(help="Address or prefix: 203.0.113.7, 2001:db8::/32")]
RuleName = Annotated[str, typer.Argument(help="Its source, its id (sig-…), or its match.")]
Reason = Annotated[str, typer.Option("--reason", help="Why; kept in the audit log.")]
Monitor = Annotated[bool, typer.Option("--monitor", help="Only count what it would hit.")]
Tags = Annotated[list[str] | None, typer.Option("--tag", help="May be given several times.")]
Mode = Annotated[rule.Mode, typer.Argument(help="enforce or monitor")]
Ttl = Annotated[str | None, typer.Option("--ttl", help="How long: 90, 15m, 1h30m. None: for good.")]


class Door(NamedTuple):
    """Which control plane is meant: its socket, or a URL with a token."""

    socket: Path
    url: str | None
    token: str | None


def client(context: typer.Context) -> "Client":
    """The client for the global options; loaded late, since it takes time that not all need."""
    from xdpctl.service.client import Client

    door: Door = context.obj
    return Client(*door)
