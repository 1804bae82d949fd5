# SPDX-License-Identifier: GPL-2.0-or-later
"""Commands for incidents: list them, show one, export a report."""

import time
from typing import Annotated, Any

import typer
from rich.markup import escape

from xdpctl.base.durations import show_duration
from xdpctl.base.times import unix
from xdpctl.base.units import si
from xdpctl.cli import evidence, options, output, words
from xdpctl.cli.evidence import Identity
from xdpctl.cli.fleet import everywhere
from xdpctl.cli.formats import Format, printed
from xdpctl.client import path
from xdpctl.incidents import plot, report
from xdpctl.incidents.in_short import in_short
from xdpctl.model.event import Attack, attacks_in_words

app = typer.Typer()
incident_app = typer.Typer(
    help="Show and export an incident; verify an archive.", no_args_is_help=True
)
app.add_typer(incident_app, name="incident")
_SENDERS = 10  # source addresses that are shown


@app.command()
def incidents(
    context: typer.Context,
    only_open: Annotated[
        bool, typer.Option("--open", help="Only incidents that are open.")
    ] = False,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="List at most this many.")] = 100,
    of_fleet: Annotated[
        bool, typer.Option("--fleet", help="Of all nodes: each attack with each node's part in it.")
    ] = False,
    form: options.Output = Format.TABLE,
) -> None:
    """List incidents, the newest first.

    Example: xdpctl incidents --open
    """
    if of_fleet:
        if only_open:
            raise typer.BadParameter("--open is for this node: leave it or --fleet out")
        return everywhere.incidents(options.client(context), limit, form)
    query = {"limit": limit} | ({"open": "true"} if only_open else {})
    records = options.client(context).call("GET", "/v1/incidents", params=query)["incidents"]
    if printed(records, form):
        return None
    columns = ("incident", "victim", "attack", "detectors", "lasted", ">peak pps", ">hit", "")
    rows = map(_row, records)
    if not output.table(columns, rows, form is Format.WIDE, (">peak pps", "detectors")):
        output.out.print("no incidents")
    return None


def _row(incident: dict[str, Any]) -> tuple[str, ...]:
    ends = time.time() if incident["open"] else unix(incident["closed_at"])
    return (
        incident["id"],
        incident["named"],
        attacks_in_words(incident["attacks"]),
        ", ".join(incident["detectors"]),
        show_duration(ends - unix(incident["opened_at"])),
        si(incident["peak_pps"]),
        si(incident["packets"]),
        "open" if incident["open"] else "",
    )


@incident_app.command("open")
def open_incident(
    context: typer.Context,
    victim: Annotated[str, typer.Argument(help="Address or prefix that is attacked.")],
    attack: Annotated[Attack, typer.Option(help="Type of attack.")] = Attack.UNKNOWN,
    note: Annotated[str, typer.Option(help="What is known about it.")] = "",
    form: options.Output = Format.TABLE,
) -> None:
    """Open an incident by hand; rules that you add until it is closed belong to it.

    It closes by itself after 24 hours.

    Example: xdpctl incident open 198.51.100.7 --attack udp_flood
    """
    body = {"victim": victim, "attack": attack.value, "note": note}
    opened = options.client(context).call("POST", "/v1/incidents", json=body)
    if printed(opened, form):
        return
    identity = opened["id"]
    output.out.print(f"opened: {identity}\n  close it with: xdpctl incident close {identity}")


@incident_app.command("close")
def close_incident(
    context: typer.Context,
    identity: Identity,
    legitimate: Annotated[
        bool,
        typer.Option(
            "--legitimate",
            help="It was no attack: its automatic rules end, and as much is expected from now on.",
        ),
    ] = False,
    form: options.Output = Format.TABLE,
) -> None:
    """Close an incident that was opened by hand; its rules stay. Or say that it was legitimate.

    Example: xdpctl incident close 20261126-081900
    """
    client = options.client(context)
    if legitimate:
        done = client.call("POST", path("incidents", identity, "allow"))
        if not printed(done, form):
            for line in words.allowed(done):
                output.out.print(escape(line))
        return
    closed = client.call("POST", path("incidents", identity, "close"))
    if printed(closed, form):
        return
    if closed["open"]:
        detectors = ", ".join(closed["detectors"])
        output.out.print(f"{identity} stays open: no end was reported by {detectors}")
    else:
        output.out.print(f"closed: {identity}\n  report it with: xdpctl incident report {identity}")


@incident_app.command("note")
def note_incident(
    context: typer.Context,
    identity: Identity,
    text: Annotated[str, typer.Argument(help="What is to be kept with the incident.")],
    form: options.Output = Format.TABLE,
) -> None:
    """Keep a note with an incident; its report and archive show it.

    Example: xdpctl incident note 20261126-081900 "the provider was called, ticket 4711"
    """
    answer = options.client(context).call(
        "POST", path("incidents", identity, "notes"), json={"text": text}
    )
    if not printed(answer, form):
        output.out.print(f"kept with {identity}")


@incident_app.command("show")
def show_incident(
    context: typer.Context, identity: Identity, form: options.Output = Format.TABLE
) -> None:
    """Show one incident: in five lines, then its facts, its timeline and its senders.

    Example: xdpctl incident show latest
    """
    incident = options.client(context).call("GET", path("incidents", identity))
    if printed(incident, form):
        return
    facts = report.facts(incident)
    output.fields({name: escape(text) for name, text in in_short(incident, facts).items()})
    output.out.print()
    output.fields({name: escape(value) for name, value in facts.items()})
    for at, line in report.timeline(incident):
        output.out.print(f"{plot.clock(at)}  {escape(line)}", soft_wrap=True)
    for sender in incident["evidence"]["top_sources"][:_SENDERS]:
        text = f"from {sender['address']:<40} {report.standing(sender):<18} {report.place(sender)}"
        output.out.print(escape(text), soft_wrap=True)


incident_app.command("report")(evidence.report)
incident_app.command("export")(evidence.export)
incident_app.command("verify")(evidence.verify)
