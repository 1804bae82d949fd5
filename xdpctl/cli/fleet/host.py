# SPDX-License-Identifier: GPL-2.0-or-later
"""Options and functions of the commands that root runs on a node of a fleet."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from xdpctl.base.system.extras import need
from xdpctl.base.system.owned_folder import Owned
from xdpctl.cli import output
from xdpctl.config import file as config
from xdpctl.config.settings import Settings
from xdpctl.errors import ConfigError, EngineError

if TYPE_CHECKING:
    from xdpctl.fleet.authority.authority import Authority

Name = Annotated[str, typer.Argument(help="Name of the node: edge1.")]
Address = Annotated[
    str, typer.Option("--address", help="Address at which other nodes reach the node.")
]
Groups = Annotated[
    list[str] | None, typer.Option("--group", help="Group of the node; may be given several times.")
]


def settings_of(config_file: Path | None, state_dir: Path | None) -> Settings:
    """The settings of this host; ConfigError for anybody but root."""
    if os.geteuid() != 0:
        raise ConfigError("this needs root, because it reads and writes keys. Use sudo.")
    fresh = config_file is not None and not config_file.exists()  # the command will create the file
    loaded = Settings() if fresh else config.load(config_file)
    return config.override(loaded, state_dir=state_dir)


def authority_of(settings: Settings) -> "Authority":
    """The authority, which this host may not have; ConfigError without the extra `fleet`."""
    need("fleet")
    from xdpctl.fleet.authority.authority import Authority
    from xdpctl.fleet.authority.layout import Layout

    return Authority(Layout(settings.state_dir, settings.user, settings.group))


@contextmanager
def held(settings: Settings) -> "Iterator[Authority]":
    """The authority, while no other command changes it; waits for those that run."""
    authority = authority_of(settings)
    with Owned(settings.state_dir) as state:
        fcntl.flock(state.fd, fcntl.LOCK_EX)
        yield authority


def restarted() -> bool:
    """Restart the control plane; False if systemd does not run it, or it does not start."""
    from xdpctl.fleet.authority import units

    try:
        return units.restart(units.CONTROL)
    except EngineError as error:
        output.err.print(f"[yellow]note:[/yellow] {escape(str(error))}")
        return False


def tell_of_restart(done: bool) -> None:
    """Say whether it was restarted, or is to be."""
    said = "xdpctl was restarted" if done else "restart xdpctl"
    output.out.print(f"  {said}; then see: xdpctl fleet status")


def tell_of_etcd(process: int, settings: Settings) -> None:
    """Without systemd, say how etcd was started."""
    if process:
        file = settings.state_dir / "engine" / "etcd.env"
        output.out.print(
            f"  there is no systemd: etcd runs as process {process}. At each boot, as user etcd, "
            f"start: set -a; . {file}; exec etcd"
        )
