# SPDX-License-Identifier: GPL-2.0-or-later
"""The command that shows whether services inside serve their clients."""

from typing import Annotated, Any

import typer
from rich.markup import escape

from xdpctl.cli import options, output
from xdpctl.cli.formats import Format, printed
from xdpctl.cli.live import tables

app = typer.Typer()


@app.command()
def served(
    context: typer.Context,
    at: Annotated[
        str, typer.Argument(help="Address or prefix of the services; default: all.")
    ] = "",
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Show at most this many.")] = 50,
    form: options.Output = Format.TABLE,
) -> None:
    """Show whom services inside serve, against what is usual, and how long clients wait.

    Rates are per minute, over the last 20 seconds: connections over TCP, and answers over UDP.
    Nothing is counted if no interface is outside.

    Example: xdpctl served 192.0.2.0/24
    """
    query: dict[str, Any] = {"limit": limit} | ({"at": at} if at else {})
    answer = options.client(context).call("GET", "/v1/served", params=query)
    services = answer["services"]
    if printed(services, form):
        return
    columns, lines = tables.served(services)
    if output.table(columns, [line.cells for line in lines], form is Format.WIDE):
        output.out.print(answer["text"])
    else:
        output.out.print("no service has served anybody yet" + (f" at {escape(at)}" if at else ""))
    for service in services:
        if service["fails"]:
            output.out.print(f"[bold red]{escape(service['fails'])}[/]")
