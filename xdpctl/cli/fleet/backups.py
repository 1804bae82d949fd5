# SPDX-License-Identifier: GPL-2.0-or-later
"""Commands that root runs on a node: back the fleet up, and restore it after a loss."""

from pathlib import Path
from typing import Annotated

import typer

from xdpctl.cli import options, output
from xdpctl.cli.fleet.host import (
    Address,
    authority_of,
    held,
    restarted,
    settings_of,
    tell_of_etcd,
    tell_of_restart,
)
from xdpctl.config import paths
from xdpctl.config.settings import Settings


def backup(
    file: Annotated[
        Path,
        typer.Argument(
            help="Archive to write; it has the authority's key. If its name ends in .age, it is "
            "encrypted for the key of `xdpctl fleet deposit`."
        ),
    ],
    config_file: options.Config = None,
    state_dir: options.StateDir = None,
) -> None:
    """Write the engine's data and the authority into an archive that only root can read.

    Example: xdpctl fleet backup /root/fleet.tar.gz
    """
    authority = authority_of(settings_of(config_file, state_dir))
    from xdpctl.fleet.authority import recovery

    size = recovery.backup(authority, file)
    output.out.print(f"wrote {file}, {size:,} bytes")


_Archive = Annotated[
    Path | None, typer.Argument(metavar="[FILE]", help="Archive of `xdpctl fleet backup`.")
]
_Alone = Annotated[
    bool,
    typer.Option(
        "--alone",
        help="Without an archive: this node's etcd goes on alone with its own data, after most "
        "members were lost for good.",
    ),
]


def restore(
    name: Annotated[str, typer.Option("--name", help="Name of this node.")],
    address: Address,
    file: _Archive = None,
    alone: _Alone = False,
    identity: Annotated[
        Path | None, typer.Option("--identity", help="Your age key, if the archive is encrypted.")
    ] = None,
    yes: options.Yes = False,
    config_file: options.Config = None,
    state_dir: options.StateDir = None,
) -> None:
    """Make this node the only member of an engine that has the data of a backup.

    It stops this host's etcd first. Nodes state again what they have and the backup lacks.

    Example: xdpctl fleet restore /root/fleet.tar.gz --name edge1 --address 192.0.2.1
    """
    settings = settings_of(config_file, state_dir)
    if (file is None) != alone:
        raise typer.BadParameter("give either FILE or --alone")
    question = (
        "are most members lost for good?"
        if file is None
        else "is the engine lost? The other members are none any more then. Restore?"
    )
    if not yes:
        typer.confirm(question, abort=True)
    if file is None:
        _go_on_alone(settings, name, address)
    else:
        _begin_anew(settings, file, identity, name, address, config_file or paths.CONFIG_FILE)


def _begin_anew(
    settings: Settings, file: Path, identity: Path | None, name: str, address: str, config: Path
) -> None:
    """Make an engine of this node alone, with the data of a backup."""
    from xdpctl.fleet.configuration import add_table

    with held(settings) as authority:
        from xdpctl.fleet.authority import recovery

        process = recovery.restore(authority, file, name, address, identity)
        output.out.print("restored: this node is the only member; let others join anew as members")
        if not settings.fleet:
            node = authority.install_node(name, address)
            authority.publish_revoked()
            add_table(config, node, settings.group)
            output.out.print(f"  it is the node {name} of the fleet now")
            tell_of_restart(restarted())
    output.out.print(
        "  nodes that knew other members: give them fleet.endpoints = "
        f'["{authority.endpoints()[0]}"], and restart xdpctl there. Revoke again whom you revoked '
        "since the backup",
        markup=False,
    )
    tell_of_etcd(process, settings)


def _go_on_alone(settings: Settings, name: str, address: str) -> None:
    """Let this node's etcd go on alone, with its own data."""
    authority = authority_of(settings)
    from xdpctl.fleet.authority import recovery

    process = recovery.recover(authority, name, address)
    output.out.print("this node is the only member; let others join anew as members")
    tell_of_etcd(process, settings)
