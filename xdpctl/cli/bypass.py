# SPDX-License-Identifier: GPL-2.0-or-later
"""Bypass: the switch that lets all traffic pass."""

import os
from enum import StrEnum
from pathlib import Path

import typer
from rich.markup import escape

from xdpctl.cli import options, output
from xdpctl.datapath.bpf.pins import Pins
from xdpctl.errors import ConfigError, DatapathError, Refused, Unreachable
from xdpctl.service import config
from xdpctl.service.settings import Listen, Settings

app = typer.Typer()
_BYPASS_SECONDS, _TELL_SECONDS = 5.0, 0.5  # without and with the switch already set


class Switch(StrEnum):
    """On or off."""

    ON = "on"
    OFF = "off"


@app.command()
def bypass(
    context: typer.Context,
    switch: Switch,
    config_file: options.Config = None,
    pin_dir: options.PinDir = None,
    as_json: options.Json = False,
) -> None:
    """Let all traffic pass (`on`), or filter again (`off`).

    As root this works without the control plane: it sets the switch in the kernel first.

    Example: xdpctl bypass on
    """
    client, on = options.client(context), switch is Switch.ON
    pressed = client.url is None and _press(client.socket, config_file, pin_dir, on)
    said = {"on": on, "audited": False}
    try:
        seconds = _TELL_SECONDS if pressed else _BYPASS_SECONDS
        said = client.call("POST", "/v1/bypass", seconds=seconds, json={"on": on})
    except (Unreachable, Refused):
        if not pressed:
            raise
    if as_json:
        return output.emit(said)
    output.out.print("everything passes" if said["on"] else "filtering")
    if not said["audited"]:
        output.err.print("[yellow]note:[/yellow] the change is not in the audit log")


def _press(door: Path, config_file: Path | None, pin_dir: Path | None, on: bool) -> bool:
    """Whether the switch could be set in the kernel, past the control plane.

    Of the instance that is meant: another socket without its pins is another instance's.
    """
    if os.geteuid() != 0:
        return False
    from xdpctl.datapath.emergency_bypass import press

    try:
        settings = config.load(config_file)
    except ConfigError as error:
        output.err.print(f"[yellow]note:[/yellow] {escape(str(error))}; defaults are used")
        settings = Settings()
    if pin_dir is None and door not in (settings.listen.socket, Listen().socket):
        return False
    try:
        press(Pins(pin_dir or settings.pin_dir), on)
    except DatapathError as error:
        output.err.print(f"[yellow]note:[/yellow] {escape(str(error))}; the control plane is asked")
        return False
    return True
