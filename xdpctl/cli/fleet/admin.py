# SPDX-License-Identifier: GPL-2.0-or-later
"""Commands that root runs on a node: found a fleet, join, leave, renew, revoke."""

from typing import Annotated

import typer
from rich.markup import escape

from xdpctl.base.durations import parse_duration
from xdpctl.cli import options, output
from xdpctl.cli.fleet.host import (
    RESTART,
    Address,
    Groups,
    Name,
    authority_of,
    held,
    settings_of,
    tell_of_etcd,
)
from xdpctl.cli.formats import Format, printed
from xdpctl.config import paths
from xdpctl.errors import ConfigError, Refused, Unreachable


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

    path = config_file or paths.CONFIG_FILE
    settings = settings_of(config_file, state_dir)
    check_absent(path)
    with held(settings) as authority:
        node, process = authority.found(name, address, group or ())
    add_table(path, node, settings.group)
    if printed({"name": name, "endpoints": list(node.endpoints), "etcd": process}, form):
        return
    output.out.print(f"founded: {name} is the first node. {RESTART}")
    tell_of_etcd(process, settings)
    output.out.print("  let another node in: xdpctl fleet token edge2 --address ADDRESS")


def token(
    name: Name,
    address: Address,
    group: Groups = None,
    member: Annotated[
        bool,
        typer.Option("--member", help="The node also runs etcd; use an odd number of members."),
    ] = False,
    follow_only: Annotated[
        bool,
        typer.Option("--follow-only", help="The node applies intents, but none is stated on it."),
    ] = False,
    within: Annotated[str, typer.Option("--within", help="Time in which to use the token.")] = "1h",
    config_file: options.Config = None,
    state_dir: options.StateDir = None,
    form: options.Output = Format.TABLE,
) -> None:
    """Make a token with which one node joins. Run it where the fleet was founded.

    Example: xdpctl fleet token edge2 --address 192.0.2.2
    """
    settings = settings_of(config_file, state_dir)
    seconds = parse_duration(within, "within")
    with held(settings) as authority:
        secret = authority.token(name, address, group or (), member, not follow_only, seconds)
        here = next(iter(authority.record().members.values()))
    command = f"xdpctl fleet join {here}"
    if printed({"name": name, "token": secret, "command": command}, form):
        return
    output.out.print(f"on {name}, as root, within {within}: {command}")
    output.out.print("it asks for the token, which can be used once:")
    output.out.print(secret, markup=False, soft_wrap=True)


_Secret = Annotated[
    str,
    typer.Option(
        "--token",
        prompt="token",
        hide_input=True,
        help="Token of `xdpctl fleet token`; default: asked for, or read from standard input.",
    ),
]


def join(
    host: Annotated[str, typer.Argument(help="Address of a node of the fleet.")],
    secret: _Secret = "",
    config_file: options.Config = None,
    state_dir: options.StateDir = None,
    form: options.Output = Format.TABLE,
) -> None:
    """Join the fleet of a node: get a certificate, and write the configuration.

    Other users of this host can see the options of a command, so paste the token when asked.

    Example: xdpctl fleet join 192.0.2.1
    """
    from xdpctl.fleet.configuration import add_table, check_absent

    path = config_file or paths.CONFIG_FILE
    settings = settings_of(config_file, state_dir)
    check_absent(path)
    authority = authority_of(settings)
    from xdpctl.fleet.authority.bundle import fetch, parse_token, used
    from xdpctl.fleet.authority.installation import Installation

    parsed = parse_token(secret)
    bundle = fetch(host, parsed)
    node, process = Installation(authority.layout).join(bundle)
    add_table(path, node, settings.group)
    try:
        used(host, parsed)
    except Unreachable as error:
        output.err.print(
            f"[yellow]note:[/yellow] the token can still be used: {escape(str(error))}"
        )
    if printed({"name": node.name, "endpoints": list(node.endpoints), "etcd": process}, form):
        return
    output.out.print(f"joined as {node.name}. {RESTART}")
    tell_of_etcd(process, settings)
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

    settings = settings_of(config_file, state_dir)
    if not settings.fleet:
        raise ConfigError("this node is in no fleet")
    if not yes:
        typer.confirm(f"{settings.fleet.name} leaves the fleet, and keeps its rules?", abort=True)
    authority = authority_of(settings)
    from xdpctl.fleet.authority.installation import Installation

    installed = Installation(authority.layout)
    installed.leave_engine(settings.fleet)
    try:
        options.client(context).call("POST", "/v1/fleet/leave")
    except (Unreachable, Refused) as error:
        output.err.print(f"[yellow]note:[/yellow] {escape(str(error))}")
    remove_table(config_file or paths.CONFIG_FILE)
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
    """Shut a node out of the fleet: its certificate was stolen, or it is gone for good.

    Example: xdpctl fleet revoke edge3
    """
    with held(settings_of(config_file, state_dir)) as authority:
        authority.revoke(name)
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
    settings = settings_of(config_file, state_dir)
    with held(settings) as authority:
        from xdpctl.fleet.authority.upkeep import renew as issue_anew

        written = issue_anew(authority, names or ())
    if printed({name: str(path) for name, path in written.items()}, form):
        return
    for name, path in written.items():
        output.out.print(f"{name}: {path}")
    output.out.print(
        "a node whose certificate has expired cannot fetch it: copy the file to its "
        "control/fleet/node.crt"
    )
