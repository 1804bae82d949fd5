# SPDX-License-Identifier: GPL-2.0-or-later
"""Commands about hosts inside that attack others: who they are, and their limits."""

from typing import Annotated, Any

import typer
from rich.markup import escape

from xdpctl.base.durations import show_duration
from xdpctl.base.units import si3
from xdpctl.cli import options, output
from xdpctl.cli.formats import Format, printed
from xdpctl.client import path

app = typer.Typer(no_args_is_help=True)
attackers = typer.Typer(help="List hosts inside that attack others, and release them.")
app.add_typer(attackers, name="attackers", no_args_is_help=True)
_NOBODY = "no host inside has attacked others in the last ten minutes"


@attackers.command(name="list")
def list_(context: typer.Context, form: options.Output = Format.TABLE) -> None:
    """List the hosts inside that have attacked others in the last ten minutes, and their limits.

    Example: xdpctl attackers list
    """
    answer = options.client(context).call("GET", "/v1/attackers")
    if printed(answer, form):
        return
    rows = [
        (
            each["address"] or "forged",
            each["mac"] or "-",
            each["does"].replace("_", " "),
            si3(each["packets"]),
            f"{show_duration(each['ago'])} ago",
            each["text"],
        )
        for each in answer["attackers"]
    ]
    columns = ("host", "MAC", "does", ">packets/s", "seen", "in words")
    others = answer["limits"] or answer["forgers"]
    if not output.table(columns, rows, True, ()) and not others:
        output.out.print(_NOBODY)
    _limits(answer["limits"])
    _forgers(answer["forgers"])


def _limits(limits: list[dict[str, Any]]) -> None:
    for each in limits:
        dropped = output.plural(each["dropped"], "packet", "packets")
        output.out.print(
            escape(f"{each['text']}: {dropped} dropped, ends in {show_duration(each['ends_in'])}")
        )


def _forgers(forgers: list[dict[str, Any]]) -> None:
    for each in forgers:
        packets = output.plural(each["packets"], "packet", "packets")
        ago = show_duration(each["ago"])
        output.out.print(escape(f"{each['text']}: {packets}, the last one {ago} ago"))


@attackers.command()
def release(
    context: typer.Context,
    host: Annotated[str, typer.Argument(help="Address of the host.")],
    form: options.Output = Format.TABLE,
) -> None:
    """End the limits of a host inside. For an hour it is not limited again.

    Example: xdpctl attackers release 10.0.3.7
    """
    answer = options.client(context).call("DELETE", path("attackers", host, "limits"))
    if printed(answer, form):
        return
    for limit in answer["limits"]:
        output.out.print(escape(f"ended: {limit}"))
    had = "" if answer["limits"] else "it had no limit; "
    output.out.print(escape(f"{answer['address']}: {had}for an hour it is not limited"))
