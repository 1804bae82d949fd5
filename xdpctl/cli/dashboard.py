# SPDX-License-Identifier: GPL-2.0-or-later
"""The command that logs a browser in."""

import os
import webbrowser

import typer

from xdpctl.base.durations import show_duration
from xdpctl.cli import options, output
from xdpctl.cli.formats import Format, printed

app = typer.Typer()
_DESKTOP = ("DISPLAY", "WAYLAND_DISPLAY")


@app.command()
def dashboard(context: typer.Context, form: options.Output = Format.TABLE) -> None:
    """Show a link that logs a browser in once, as you; on a desktop, open it.

    From your own machine: ssh -L 8460:127.0.0.1:8460 BOX, and then the link.

    Example: xdpctl dashboard
    """
    link = options.client(context).call("POST", "/v1/browsers/links")
    if printed(link, form):
        return
    output.out.print(link["url"], markup=False, soft_wrap=True)
    output.err.print(f"it works once, for {show_duration(link['seconds'])}")
    if any(os.environ.get(name) for name in _DESKTOP):
        webbrowser.open(link["url"])
