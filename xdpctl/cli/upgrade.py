# SPDX-License-Identifier: GPL-2.0-or-later
"""The command upgrade: whether this version filters, and what changes when it is started."""

import os
from typing import Annotated

import typer

from xdpctl.cli import options, output
from xdpctl.cli.formats import Format, printed
from xdpctl.config import file as config
from xdpctl.config.settings import Settings
from xdpctl.datapath.bpf.pins import NEXT, Pins
from xdpctl.errors import ConfigError

app = typer.Typer()


@app.command()
def upgrade(
    check: Annotated[
        bool,
        typer.Option("--check", help="Say what a start of this version changes, and stop."),
    ] = False,
    accept: Annotated[
        bool,
        typer.Option(
            "--accept-differences",
            help="Let the new filter take over whatever its check has found.",
        ),
    ] = False,
    config_file: options.Config = None,
    pin_dir: options.PinDir = None,
    state_dir: options.StateDir = None,
    form: options.Output = Format.TABLE,
) -> None:
    """Show whether the filter of this version is in force, or why not.

    A start of the loader (`systemctl restart xdpctl-loader xdpctl`) upgrades the filter; no packet
    passes unfiltered. Exits with 4 if this version's filter is not in force.

    Example: xdpctl upgrade --check
    """
    if os.geteuid() != 0:
        raise ConfigError("upgrade needs root, because it reads the pinned maps. Use sudo.")
    settings = config.override(config.load(config_file), pin_dir=pin_dir, state_dir=state_dir)
    if check and accept:
        raise ConfigError("give either --check or --accept-differences")
    if check:
        _check(settings, form)
    else:
        _state(settings, accept, form)


def _check(settings: Settings, form: Format) -> None:
    from xdpctl.cli.findings import print_findings
    from xdpctl.datapath.loader.filter_program import compile_filter
    from xdpctl.doctor.upgrade import foreseen

    flows = settings.flow_memory if settings.outside_interfaces else None
    compiled = compile_filter(settings.capacities, settings.compiled, flows=flows)
    print_findings(list(foreseen(settings, compiled)), form)


def _state(settings: Settings, accept: bool, form: Format) -> None:
    from xdpctl.watch.loader_report import LoaderFile

    following = Pins(settings.pin_dir, NEXT)
    current = Pins(settings.pin_dir)
    waits = bool(following.name)
    if accept:
        _accept(following)
    ports = LoaderFile(settings.loader_status).ports()
    details = {name: str(port.get("detail")) for name, port in ports.items()} if waits else {}
    in_force = current.of_this_version and not waits
    if not printed({"in_force": in_force, "interfaces": details}, form):
        if in_force:
            output.out.print("the filter of this version is in force")
        elif not current.name:
            output.out.print("no filter is in force")
        else:
            output.out.print("an earlier filter is in force")
            output.err.print("journalctl -u xdpctl-loader -u xdpctl says more", markup=False)
        for name, detail in details.items():
            output.out.print(f"  {name}: {detail}", markup=False)
    if not in_force:
        raise typer.Exit(4)


def _accept(following: Pins) -> None:
    from xdpctl.datapath.comparison import take_unchecked

    if not following.of_this_version:
        raise ConfigError("no filter of this version waits to take over: see `xdpctl upgrade`")
    take_unchecked(following)
