# SPDX-License-Identifier: GPL-2.0-or-later
"""Commands that root runs on a node: found a fleet, leave it or its engine, renew, revoke."""

from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from xdpctl.cli import options, output
from xdpctl.cli.fleet.host import (
    Address,
    Groups,
    Name,
    authority_of,
    held,
    restarted,
    settings_of,
    tell_of_etcd,
    tell_of_restart,
)
from xdpctl.cli.formats import Format, printed
from xdpctl.config import paths
from xdpctl.errors import ConfigError, EngineError, Refused, Unreachable
from xdpctl.fleet.settings import FleetSettings

if TYPE_CHECKING:
    from xdpctl.fleet.authority.installation import Installation


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
    done = restarted()
    if printed({"name": name, "endpoints": list(node.endpoints), "etcd": process}, form):
        return
    output.out.print(f"founded: {name} is the first node")
    tell_of_restart(done)
    tell_of_etcd(process, settings)
    output.out.print("  let another node in: xdpctl fleet token edge2 --address ADDRESS")


_Force = Annotated[
    bool,
    typer.Option("--force", help="Also if the engine does not answer, or refuses this host."),
]


def leave(
    context: typer.Context,
    yes: options.Yes = False,
    force: _Force = False,
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
    _leave_engine(installed, settings.fleet, force)
    try:
        if settings.fleet.filters:
            options.client(context).call("POST", "/v1/fleet/leave")
    except (Unreachable, Refused) as error:
        output.err.print(f"[yellow]note:[/yellow] {escape(str(error))}")
    remove_table(config_file or paths.CONFIG_FILE)
    installed.remove()
    output.out.print(
        f"left. On the node with the authority: xdpctl fleet revoke {settings.fleet.name}"
    )
    if settings.fleet.filters:
        tell_of_restart(restarted())
    if authority.exists:
        output.out.print(
            f"  the authority is still here, in {authority.layout.authority}: keep it as long as "
            "there is a fleet"
        )


def _leave_engine(installed: "Installation", fleet: FleetSettings, force: bool) -> None:
    try:
        installed.leave_engine(fleet)
    except EngineError as error:
        if not force:
            raise EngineError(f"{error}. If it will not answer any more: --force") from error
        output.err.print(f"[yellow]note:[/yellow] {escape(str(error))}")


def demote(
    yes: options.Yes = False,
    force: _Force = False,
    config_file: options.Config = None,
    state_dir: options.StateDir = None,
) -> None:
    """Make this member of the engine a node only: it runs no etcd any more, and keeps its rules.

    Example: xdpctl fleet demote
    """
    from xdpctl.fleet.configuration import change_table

    settings = settings_of(config_file, state_dir)
    fleet, authority = settings.fleet, authority_of(settings)
    if not fleet or not authority.layout.configuration.exists():
        raise ConfigError("this host is no member of a fleet's engine")
    if fleet.witness:
        raise ConfigError("a witness is no node: xdpctl fleet leave")
    from xdpctl.fleet.authority.installation import Installation

    if authority.exists and not force and authority.is_current:
        raise ConfigError(
            f"{fleet.name} has the authority: first, on another member: xdpctl fleet adopt FILE"
        )
    installed = Installation(authority.layout)
    others = installed.other_endpoints(fleet)
    if not others:
        raise ConfigError(f"{fleet.name} knows no other member: let one join first, or leave")
    if not yes:
        typer.confirm(f"{fleet.name} runs no etcd any more?", abort=True)
    _leave_engine(installed, fleet, force)
    installed.remove_engine()
    lines = {"endpoints": list(others), "revoked_list": None}
    change_table(config_file or paths.CONFIG_FILE, lines)
    output.out.print(f"{fleet.name} is no member any more, and still a node")
    tell_of_restart(restarted())


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
