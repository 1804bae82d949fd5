# SPDX-License-Identifier: GPL-2.0-or-later
"""Bypass: the switch that lets all traffic pass."""

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from xdpctl.cli import options, output
from xdpctl.cli.formats import Format, printed
from xdpctl.config import file as config
from xdpctl.config.listen import Listen
from xdpctl.config.settings import Settings
from xdpctl.errors import ConfigError, DatapathError, Refused, Unreachable

app = typer.Typer()
# timeouts of the request: if the kernel's switch is not set yet, and if it is already set
_BYPASS_SECONDS, _TELL_SECONDS = 5.0, 0.5


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
    fleet: Annotated[bool, typer.Option("--fleet", help="On all nodes of the fleet.")] = False,
    form: options.Output = Format.TABLE,
) -> None:
    """Let all traffic pass (`on`), or filter again (`off`).

    As root, it sets the switch in the kernel directly, so it works without the control plane.

    Example: xdpctl bypass on
    """
    client, on = options.client(context), switch is Switch.ON
    pressed = client.url is None and _press(client.socket, config_file, pin_dir, on)
    result: dict[str, Any] = {"on": on, "audited": False}
    body = {"on": on, **({"fleet": True} if fleet else {})}
    try:
        seconds = _TELL_SECONDS if pressed and not fleet else _BYPASS_SECONDS
        result = client.call("POST", "/v1/bypass", seconds=seconds, json=body)
    except (Unreachable, Refused):
        if not pressed or fleet:
            raise
    if printed(result, form):
        return
    state = "everything passes" if result["on"] else "filtering"
    output.out.print(state + output.afterwards(result))
    if not result["audited"]:
        output.err.print("[yellow]note:[/yellow] the change is not in the audit log")


def _press(socket_path: Path, config_file: Path | None, pin_dir: Path | None, on: bool) -> bool:
    """Set the switch in the kernel directly; return whether that succeeded.

    False without root, or if the socket belongs to another instance and `pin_dir` is not given.
    """
    if os.geteuid() != 0:
        return False
    from xdpctl.datapath.emergency_bypass import press_all

    try:
        settings = config.load(config_file)
    except ConfigError as error:
        output.err.print(f"[yellow]note:[/yellow] {escape(str(error))}; using the defaults")
        settings = Settings()
    if pin_dir is None and socket_path not in (settings.listen.socket, Listen().socket):
        return False
    try:
        press_all(pin_dir or settings.pin_dir, on)
    except DatapathError as error:
        output.err.print(f"[yellow]note:[/yellow] {escape(str(error))}; asking the control plane")
        return False
    return True
