# SPDX-License-Identifier: GPL-2.0-or-later
"""Commands that run on the box itself, as root: run, down, doctor, demo.

They import modules only when they run, so that other commands start fast.
"""

import os
from pathlib import Path
from typing import Annotated

import typer

from xdpctl.base.system import logs
from xdpctl.base.system.filelock import hold
from xdpctl.cli import options, output
from xdpctl.cli.formats import Format, printed
from xdpctl.config import file as config
from xdpctl.datapath.bpf.pins import Pins
from xdpctl.errors import ConfigError

app = typer.Typer()
Interfaces = Annotated[
    list[str] | None,
    typer.Option("--interface", "-i", help="Interface to filter; may be given several times."),
]


@app.command()
def run(
    interface: Interfaces = None,
    config_file: options.Config = None,
    state_dir: options.StateDir = None,
    pin_dir: options.PinDir = None,
    socket: Annotated[Path | None, typer.Option("--socket", help="Unix socket of the API.")] = None,
    port: Annotated[
        int | None, typer.Option("--port", help="TCP port of the API; 0 for none.")
    ] = None,
    loader_only: Annotated[
        bool,
        typer.Option(
            "--loader-only", help="Run only the loader; the control plane has its own unit."
        ),
    ] = False,
    log: options.Log = None,
) -> None:
    """Attach the filter and serve the API, in the foreground.

    The filter stays attached when this command ends.

    Example: xdpctl run -i eth0
    """
    from xdpctl.processes import supervisor

    settings = config.override(
        config.load(config_file),
        interfaces=tuple(interface or ()),
        state_dir=state_dir,
        pin_dir=pin_dir,
        socket=socket,
        port=port,
        log=log,
    )
    logs.configure(settings.log)
    supervisor.run(settings, config_file, loader_only)


@app.command()
def down(
    interface: Annotated[
        list[str] | None,
        typer.Option(
            "--interface",
            "-i",
            help="Also take the filter off this interface, if its pins were removed; may be given "
            "several times.",
        ),
    ] = None,
    config_file: options.Config = None,
    pin_dir: options.PinDir = None,
    form: options.Output = Format.TABLE,
) -> None:
    """Detach the filter from all interfaces and remove the pinned maps; rules stay stored.

    Example: xdpctl down
    """
    from xdpctl.datapath.loader.take_down import take_down

    if os.geteuid() != 0:  # without root, every attached program would seem to be absent
        raise ConfigError("down needs root, because it detaches BPF programs. Use sudo.")
    settings = config.override(config.load(config_file), pin_dir=pin_dir)
    pins = Pins(settings.pin_dir)
    if pins.lock_dir.is_dir():
        try:
            hold(pins.lock_dir, "loader")  # until this process ends
        except ConfigError:
            running = f"`xdpctl run` is still running on {pins.directory}; stop it first"
            raise ConfigError(running) from None
    names = take_down(pins, interface or ())
    if printed({"detached": names}, form):
        return
    output.out.print(
        f"detached from {', '.join(names)}" if names else "no filter of xdpctl was attached"
    )


@app.command("doctor")
def doctor_command(
    interface: Interfaces = None,
    config_file: options.Config = None,
    pin_dir: options.PinDir = None,
    form: options.Output = Format.TABLE,
) -> None:
    """Check whether this box can run xdpctl; each finding says what to do.

    Exits with 4 if it cannot.

    Example: xdpctl doctor -i eth0
    """
    from xdpctl.cli.findings import print_findings
    from xdpctl.doctor import host as doctor

    settings = config.override(
        config.load(config_file), interfaces=tuple(interface or ()), pin_dir=pin_dir
    )
    print_findings(doctor.examine(settings), form)


@app.command()
def demo() -> None:
    """Run an attack and its mitigation in network namespaces.

    Exits with 1 if a check fails.

    Example: xdpctl demo
    """
    from xdpctl.lab.demo import play

    raise typer.Exit(play())
