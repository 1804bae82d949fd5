# SPDX-License-Identifier: GPL-2.0-or-later
"""Commands that root runs so that a fleet outlives its authority's host, and for its upkeep."""

from pathlib import Path
from typing import Annotated

import typer

from xdpctl.cli import options, output
from xdpctl.cli.fleet.host import authority_of, held, settings_of
from xdpctl.errors import ConfigError


def deposit(
    recipient: Annotated[
        str, typer.Argument(metavar="KEY", help="Your public key: age1... of age-keygen, or SSH's.")
    ],
    config_file: options.Config = None,
    state_dir: options.StateDir = None,
) -> None:
    """Keep the authority's key in the engine, encrypted for your key, for `xdpctl fleet adopt`.

    Make the key on your own computer with age-keygen, and keep its file there. Backups whose names
    end in .age are encrypted for it, too.

    Example: xdpctl fleet deposit age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p
    """
    with held(settings_of(config_file, state_dir)) as authority:
        from xdpctl.fleet.authority import age, custody

        record = authority.check_current()
        record.recipient = age.check_recipient(recipient)
        custody.deposit(authority.engine(), authority.pair, record.recipient)
        authority.keep(record)
    output.out.print(
        "the engine has the authority's key, encrypted. If this host is lost, on another member: "
        "xdpctl fleet adopt FILE, with the file of your key"
    )


def adopt(
    identity: Annotated[Path, typer.Argument(metavar="FILE", help="The file of your age key.")],
    config_file: options.Config = None,
    state_dir: options.StateDir = None,
) -> None:
    """Take the authority over on this member, because its host is lost. The engine goes on.

    The host that had the authority cannot use it any more, should it come back.

    Example: xdpctl fleet adopt /media/usb/fleet.key
    """
    settings = settings_of(config_file, state_dir)
    authority = authority_of(settings)
    fleet = settings.fleet
    if not fleet or not authority.layout.configuration.exists():
        raise ConfigError("this host is no member of a fleet's engine: run it on a member")
    from xdpctl.fleet.authority import custody

    with held(settings):
        custody.adopt(authority.layout, fleet, identity)
    output.out.print(
        f"{fleet.name} has the authority now: xdpctl fleet token, renew, revoke and backup work "
        "here. If the host that had it is gone for good: xdpctl fleet revoke NAME"
    )


def upkeep(config_file: options.Config = None, state_dir: options.StateDir = None) -> None:
    """Renew certificates, make room in the database, write a backup: what is due on this host.

    A timer of systemd runs it once a day on each member. It also frees an engine that is full.

    Example: xdpctl fleet upkeep
    """
    settings = settings_of(config_file, state_dir)
    if not settings.fleet:
        raise ConfigError("this node is in no fleet")
    idle = True
    with held(settings) as authority:
        from xdpctl.fleet.authority.upkeep import upkeep as done

        for line in done(authority, settings.fleet):
            idle = False
            output.out.print(line, markup=False)
    if idle:
        output.out.print("nothing was due")
