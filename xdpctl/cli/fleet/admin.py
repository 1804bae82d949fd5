# SPDX-License-Identifier: GPL-2.0-or-later
"""Commands that root runs on a node: found a fleet, join, leave, renew, revoke, back up."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from xdpctl.base.durations import parse_duration
from xdpctl.cli import options, output
from xdpctl.cli.formats import Format, printed
from xdpctl.errors import ConfigError, Refused, Unreachable
from xdpctl.service import config, defaults
from xdpctl.service.settings import Settings

if TYPE_CHECKING:
    from xdpctl.fleet.authority.authority import Authority

Name = Annotated[str, typer.Argument(help="Name of the node: edge1.")]
Address = Annotated[
    str, typer.Option("--address", help="Address at which other nodes reach the node.")
]
Groups = Annotated[
    list[str] | None, typer.Option("--group", help="Group of the node; may be given several times.")
]
_RESTART = "restart xdpctl, and then see: xdpctl fleet status"


def _settings(config_file: Path | None, state_dir: Path | None) -> Settings:
    if os.geteuid() != 0:
        raise ConfigError("this needs root, because it reads and writes keys. Use sudo.")
    fresh = config_file is not None and not config_file.exists()  # it will be made
    loaded = Settings() if fresh else config.load(config_file)
    return config.override(loaded, state_dir=state_dir)


def _authority(settings: Settings) -> "Authority":
    try:
        from xdpctl.fleet.authority.authority import Authority
        from xdpctl.fleet.authority.layout import Layout
    except ImportError as error:
        raise ConfigError(
            f"the extra fleet is not installed ({error.name}): pip install 'xdpctl[fleet]'"
        ) from None
    return Authority(Layout(settings.state_dir, settings.user, settings.group))


def init(
    name: Name,
    address: Address,
    group: Groups = None,
    config_file: options.Config = None,
    state_dir: options.StateDir = None,
    form: options.Output = Format.TABLE,
) -> None:
    """Found a fleet: make its certificate authority, and start this node's etcd.

    Example: xdpctl fleet init edge1 --address 192.0.2.1
    """
    from xdpctl.fleet.configuration import add_table, check_absent

    path = config_file or defaults.CONFIG_FILE
    settings = _settings(config_file, state_dir)
    check_absent(path)
    made, process = _authority(settings).found(name, address, group or ())
    add_table(path, made, settings.group)
    if printed({"name": name, "endpoints": list(made.endpoints), "etcd": process}, form):
        return
    output.out.print(f"founded: {name} is the first node. {_RESTART}")
    _etcd(process, settings)
    output.out.print("  let another node in: xdpctl fleet token edge2 --address ADDRESS")


def token(
    name: Name,
    address: Address,
    group: Groups = None,
    member: Annotated[
        bool,
        typer.Option("--member", help="It also runs etcd: an odd number of members is best."),
    ] = False,
    follow_only: Annotated[
        bool,
        typer.Option("--follow-only", help="It takes intents over, and nobody states any there."),
    ] = False,
    within: Annotated[str, typer.Option("--within", help="How long it can be used.")] = "1h",
    config_file: options.Config = None,
    state_dir: options.StateDir = None,
    form: options.Output = Format.TABLE,
) -> None:
    """Make a token with which one node joins; on the node where the fleet was founded.

    Example: xdpctl fleet token edge2 --address 192.0.2.2
    """
    settings = _settings(config_file, state_dir)
    seconds = parse_duration(within, "within")
    authority = _authority(settings)
    made = authority.token(name, address, group or (), member, not follow_only, seconds)
    here = next(iter(authority.record().members.values()))
    command = f"xdpctl fleet join {here}"
    if printed({"name": name, "token": made, "command": command}, form):
        return
    output.out.print(f"on {name}, as root, within {within}: {command}")
    output.out.print("it asks for the token, which can be used once:")
    output.out.print(made, markup=False, soft_wrap=True)


def join(
    host: Annotated[str, typer.Argument(help="Address of a node of the fleet.")],
    secret: Annotated[
        str,
        typer.Option(
            "--token",
            prompt="token",
            hide_input=True,
            help="Token of `xdpctl fleet token`; without it, it is asked for, or read from input.",
        ),
    ] = "",
    config_file: options.Config = None,
    state_dir: options.StateDir = None,
    form: options.Output = Format.TABLE,
) -> None:
    """Join the fleet of a node: get a certificate, and write the configuration.

    Other users of this host see the options of a command: better, paste the token when asked.

    Example: xdpctl fleet join 192.0.2.1
    """
    from xdpctl.fleet.configuration import add_table, check_absent

    path = config_file or defaults.CONFIG_FILE
    settings = _settings(config_file, state_dir)
    check_absent(path)
    authority = _authority(settings)
    from xdpctl.fleet.authority.bundle import parse_token
    from xdpctl.fleet.authority.installation import Installation
    from xdpctl.fleet.authority.joining import fetch, used

    parsed = parse_token(secret)
    bundle = fetch(host, parsed)
    made, process = Installation(authority.layout).join(bundle)
    add_table(path, made, settings.group)
    try:
        used(host, parsed)
    except Unreachable as error:
        output.err.print(
            f"[yellow]note:[/yellow] the token can still be used: {escape(str(error))}"
        )
    if printed({"name": made.name, "endpoints": list(made.endpoints), "etcd": process}, form):
        return
    output.out.print(f"joined as {made.name}. {_RESTART}")
    _etcd(process, settings)
    output.out.print("  rules that this node had stay its own; to share them: xdpctl fleet share")


def leave(
    context: typer.Context,
    yes: options.Yes = False,
    config_file: options.Config = None,
    state_dir: options.StateDir = None,
) -> None:
    """Leave the fleet: this node keeps its rules as its own.

    Example: xdpctl fleet leave
    """
    from xdpctl.fleet.configuration import remove_table

    settings = _settings(config_file, state_dir)
    if settings.fleet is None:
        raise ConfigError("this node is in no fleet")
    if not yes:
        typer.confirm(f"{settings.fleet.name} leaves the fleet, and keeps its rules?", abort=True)
    authority = _authority(settings)
    from xdpctl.fleet.authority.installation import Installation

    installed = Installation(authority.layout)
    installed.leave_engine(settings.fleet)
    try:
        options.client(context).call("POST", "/v1/fleet/leave")
    except (Unreachable, Refused) as error:
        output.err.print(f"[yellow]note:[/yellow] {escape(str(error))}")
    remove_table(config_file or defaults.CONFIG_FILE)
    installed.remove()
    output.out.print(
        "left; restart xdpctl. On the node with the authority: "
        f"xdpctl fleet revoke {settings.fleet.name}"
    )
    if authority.exists:
        output.out.print(
            f"  the authority is still here, in {authority.layout.authority}: keep it as long as "
            "there is a fleet"
        )


def revoke(
    name: Name,
    config_file: options.Config = None,
    state_dir: options.StateDir = None,
) -> None:
    """Let a node do nothing any more: its certificate was stolen, or it is gone for good.

    Example: xdpctl fleet revoke edge3
    """
    _authority(_settings(config_file, state_dir)).revoke(name)
    output.out.print(
        f"revoked {name}: the engine and the other nodes do not answer it any more. To end "
        "connections that are open, restart etcd on each member, one after the other"
    )


def renew(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME]...", help="Nodes; default: all.")
    ] = None,
    config_file: options.Config = None,
    state_dir: options.StateDir = None,
    form: options.Output = Format.TABLE,
) -> None:
    """Issue new certificates for the same keys; the nodes install them within a minute.

    Example: xdpctl fleet renew
    """
    settings = _settings(config_file, state_dir)
    written = _authority(settings).renew(names or ())
    if printed({name: str(path) for name, path in written.items()}, form):
        return
    for name, path in written.items():
        output.out.print(f"{name}: {path}")
    output.out.print(
        "a node whose certificate has expired cannot fetch it: copy the file to its "
        "control/fleet/node.crt"
    )


def backup(
    file: Annotated[Path, typer.Argument(help="Archive to write: it has the authority's key.")],
    config_file: options.Config = None,
    state_dir: options.StateDir = None,
) -> None:
    """Write what the engine has, and the authority, into an archive that root alone can read.

    Example: xdpctl fleet backup /root/fleet.tar.gz
    """
    authority = _authority(_settings(config_file, state_dir))
    from xdpctl.fleet.authority import recovery

    size = recovery.backup(authority, file)
    output.out.print(f"wrote {file}, {size:,} bytes")


def restore(
    file: Annotated[Path, typer.Argument(help="Archive of `xdpctl fleet backup`.")],
    name: Annotated[str, typer.Option("--name", help="Name of this node.")],
    address: Address,
    yes: options.Yes = False,
    config_file: options.Config = None,
    state_dir: options.StateDir = None,
) -> None:
    """Make this node the only member of an engine with what a backup has.

    What nodes still have and the backup has not, they state again. Stop every etcd first.

    Example: xdpctl fleet restore /root/fleet.tar.gz --name edge1 --address 192.0.2.1
    """
    from xdpctl.fleet.configuration import add_table

    settings = _settings(config_file, state_dir)
    if not yes:
        typer.confirm("stop every etcd of the fleet first. Restore?", abort=True)
    authority = _authority(settings)
    from xdpctl.fleet.authority import recovery

    process = recovery.restore(authority, file, name, address)
    output.out.print("restored: this node is the only member; let others join anew as members")
    if settings.fleet is None:
        made = authority.install_node(name, address)
        authority.publish_revoked()
        add_table(config_file or defaults.CONFIG_FILE, made, settings.group)
        output.out.print(f"  it is the node {name} of the fleet now. {_RESTART}")
    output.out.print(
        "  nodes that knew other members: give them fleet.endpoints = "
        f'["{authority.endpoints()[0]}"], and restart xdpctl there. Revoke again whom you revoked '
        "since the backup",
        markup=False,
    )
    _etcd(process, settings)


def recover(
    name: Annotated[str, typer.Option("--name", help="Name of this node.")],
    address: Address,
    yes: options.Yes = False,
    config_file: options.Config = None,
    state_dir: options.StateDir = None,
) -> None:
    """Let this node's etcd go on alone, after most members were lost for good.

    Example: xdpctl fleet recover --name edge1 --address 192.0.2.1
    """
    settings = _settings(config_file, state_dir)
    if not yes:
        typer.confirm("are most members lost for good, and this node's etcd stopped?", abort=True)
    authority = _authority(settings)
    from xdpctl.fleet.authority import recovery

    process = recovery.recover(authority, name, address)
    output.out.print("this node is the only member; let others join anew as members")
    _etcd(process, settings)


def _etcd(process: int, settings: Settings) -> None:
    """Say how etcd was started, where there is no systemd."""
    if process:
        file = settings.state_dir / "engine" / "etcd.env"
        output.out.print(
            f"  there is no systemd: etcd runs as process {process}. At each boot, as user etcd, "
            f"start: set -a; . {file}; exec etcd"
        )
