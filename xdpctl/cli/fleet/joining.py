# SPDX-License-Identifier: GPL-2.0-or-later
"""Commands with which hosts join a fleet: tokens where its authority is, and `join` on the host."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from xdpctl.base.durations import parse_duration
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
from xdpctl.errors import ConfigError, Unreachable

if TYPE_CHECKING:
    from xdpctl.fleet.authority.admission import Admission

_Within = Annotated[str, typer.Option("--within", help="Time in which to use the token.")]
_AS = {
    "promotion": ", which is a member of the engine, too",
    "witness": ", a witness",
    "relay": ", a relay",
}


def token(
    name: Name,
    address: Address,
    group: Groups = None,
    member: Annotated[
        bool,
        typer.Option("--member", help="The node also runs etcd; use an odd number of members."),
    ] = False,
    publish: Annotated[
        bool,
        typer.Option(
            "--publish",
            help="People who log in there may ask for something on all nodes. Members always may; "
            "other nodes only follow.",
        ),
    ] = False,
    witness: Annotated[
        bool,
        typer.Option("--witness", help="It runs etcd alone, without a filter: for two nodes."),
    ] = False,
    relay: Annotated[
        bool,
        typer.Option("--relay", help="It passes the engine on to nodes, and has no filter."),
    ] = False,
    via: Annotated[
        list[str] | None,
        typer.Option("--via", help="Relay that the node uses; give two, so that one may fail."),
    ] = None,
    within: _Within = "1h",
    config_file: options.Config = None,
    state_dir: options.StateDir = None,
    form: options.Output = Format.TABLE,
) -> None:
    """Make a token with which one node joins. Run it where the fleet was founded.

    Example: xdpctl fleet token edge2 --address 192.0.2.2
    """
    if (witness or relay) and (member or publish or group or via or (witness and relay)):
        raise typer.BadParameter("a witness or a relay is no node: give --witness or --relay alone")
    if via and (member or publish):
        raise typer.BadParameter("a node behind relays only follows: omit --member and --publish")
    with _admission(within, config_file, state_dir) as admission:
        if witness:
            secret = admission.witness(name, address)
        elif relay:
            secret = admission.relay(name, address)
        else:
            states = member or publish
            secret = admission.node(name, address, group or (), member, states, via or ())
        _print_token(admission, name, secret, within, form)


def replace(
    name: Name,
    address: Annotated[
        str | None, typer.Option("--address", help="Address of the new host; default: the same.")
    ] = None,
    within: _Within = "1h",
    config_file: options.Config = None,
    state_dir: options.StateDir = None,
    form: options.Output = Format.TABLE,
) -> None:
    """Let a new host in, in place of a lost node, which is revoked. Run it with the authority.

    The new host has the same name, groups and rights, and is a member if the lost one was.

    Example: xdpctl fleet replace edge3
    """
    with _admission(within, config_file, state_dir) as admission:
        secret = admission.replacement(name, address)
        _print_token(admission, name, secret, within, form)


def promote(
    name: Name,
    within: _Within = "1h",
    config_file: options.Config = None,
    state_dir: options.StateDir = None,
    form: options.Output = Format.TABLE,
) -> None:
    """Make a token with which a node becomes a member of the engine. Run it with the authority.

    Example: xdpctl fleet promote edge4
    """
    with _admission(within, config_file, state_dir) as admission:
        _print_token(admission, name, admission.promotion(name), within, form)


@contextmanager
def _admission(
    within: str, config_file: Path | None, state_dir: Path | None
) -> "Iterator[Admission]":
    seconds = parse_duration(within, "within")
    with held(settings_of(config_file, state_dir)) as authority:
        from xdpctl.fleet.authority.admission import Admission

        yield Admission(authority, seconds)


def _print_token(admission: "Admission", name: str, secret: str, within: str, form: Format) -> None:
    command = f"xdpctl fleet join {admission.here}"
    if printed({"name": name, "token": secret, "command": command}, form):
        return
    output.out.print(f"on {name}, as root, within {within}: {command}")
    output.out.print("it asks for the token, which can be used once:")
    output.out.print(secret, markup=False, soft_wrap=True)
    if admission.members == 2:  # an even number, and the only one that is worse
        output.err.print(
            "[yellow]note:[/yellow] with two members neither may fail, so let a third one in: "
            "another node with --member, or a host without a filter with --witness"
        )


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
    """Join the fleet of a node, or its engine: what the token is for.

    Other users of this host can see the options of a command, so paste the token when asked.

    Example: xdpctl fleet join 192.0.2.1
    """
    from xdpctl.fleet.configuration import add_table, change_table, check_absent

    path = config_file or paths.CONFIG_FILE
    settings = settings_of(config_file, state_dir)
    authority = authority_of(settings)
    from xdpctl.fleet.authority.bundle import Kind, fetch, parse_token, used
    from xdpctl.fleet.authority.installation import Installation

    parsed = parse_token(secret)
    bundle = fetch(host, parsed)
    promotion = bundle.kind is Kind.PROMOTION
    if not promotion:
        check_absent(path)
    elif settings.fleet.name != bundle.name:
        raise ConfigError(
            f"the token is for the node {bundle.name}, and this host is "
            f"{settings.fleet.name or 'no node'}"
        )
    node, process = Installation(authority.layout).join(bundle)
    if promotion:
        lines = {"endpoints": list(node.endpoints), "revoked_list": str(node.revoked_list)}
        change_table(path, lines)
    else:
        add_table(path, node, settings.group)
    try:
        used(host, parsed)
    except Unreachable as error:
        output.err.print(
            f"[yellow]note:[/yellow] the token can still be used: {escape(str(error))}"
        )
    done = node.filters and restarted()
    if node.relay:
        done = Installation(authority.layout).start_relay(path)
    if printed({"name": node.name, "endpoints": list(node.endpoints), "etcd": process}, form):
        return
    output.out.print(f"joined as {node.name}{_AS.get(bundle.kind, '')}")
    tell_of_etcd(process, settings)
    if node.relay and not done:
        output.out.print("  there is no systemd: at each boot, start xdpctl fleet relay")
    if node.filters:
        tell_of_restart(done)
    if bundle.kind is Kind.NODE:
        output.out.print(
            "  rules that this node had stay its own; to share them: xdpctl fleet share"
        )
