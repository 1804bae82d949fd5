# SPDX-License-Identifier: GPL-2.0-or-later
"""Commands about what is upstream: how full the uplinks are, what to ask of the provider."""

from typing import Annotated, Any

import typer

from xdpctl.base.durations import show_duration
from xdpctl.base.units import si3
from xdpctl.cli import options, output
from xdpctl.cli.formats import Format, printed
from xdpctl.service.client import path

app = typer.Typer()
upstream_app = typer.Typer(help="What fills the link before it arrives.", no_args_is_help=True)
app.add_typer(upstream_app, name="upstream")


@upstream_app.command("status")
def status(context: typer.Context, form: options.Output = Format.TABLE) -> None:
    """Show how full the uplinks are, and what to ask of the provider about each attack.

    Example: xdpctl upstream status
    """
    found = options.client(context).call("GET", "/v1/upstream")
    if printed(found, form):
        return
    columns = ("uplink", "state", ">arrives", ">of", ">share", ">lost/s")
    if not output.table(columns, map(_row, found["uplinks"]), form is Format.WIDE):
        output.out.print("no uplink is configured: add upstream.uplinks to the configuration")
    for attack in found["attacks"]:
        output.out.print(f"{attack['incident']}, {attack['subject']}:", markup=False)
        for request in attack["requests"]:
            output.out.print(f"  {request['kind']}: {request['what']}", markup=False)
            output.out.print(f"    cost: {request['cost']}", markup=False)
            output.out.print(f"    {request['route']}", markup=False, soft_wrap=True)
        output.out.print(f"  in words: xdpctl upstream letter {attack['incident']}", markup=False)


def _row(uplink: dict[str, Any]) -> tuple[str, ...]:
    bits, share, lost = uplink["bits"], uplink["share"], uplink["lost"]
    return (
        uplink["interface"],
        _state(uplink),
        "-" if bits is None else f"{si3(bits)}bit/s",
        f"{si3(uplink['bits_in'])}bit/s",
        "-" if share is None else f"{share:.0%}",
        "-" if lost is None else si3(lost),
    )


def _state(uplink: dict[str, Any]) -> str:
    if not uplink["filtered"]:
        return "not filtered"
    if uplink["full_for"]:
        return f"full for {show_duration(uplink['full_for'])}"
    return "its rate is higher" if uplink["rate_is_wrong"] else "ok"


@upstream_app.command("letter")
def letter(
    context: typer.Context,
    incident: Annotated[str, typer.Argument(help="Id of an incident; see xdpctl incidents.")],
    form: options.Output = Format.TABLE,
) -> None:
    """Write a letter to the provider's NOC: what to filter on its side of the link.

    Example: xdpctl upstream letter 20261126-081914-a1
    """
    found = options.client(context).call("GET", path("upstream", "letters", incident))
    if not printed(found, form):
        output.out.print(found["text"], markup=False, soft_wrap=True)
