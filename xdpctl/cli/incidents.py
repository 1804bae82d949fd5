"""Commands about incidents: which there were, one of them, and a report to hand on."""

import re
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.markup import escape

from xdpctl.cli import options, show
from xdpctl.cli.client import path
from xdpctl.durations import show_duration

app = typer.Typer()
incident_app = typer.Typer(help="One incident.", no_args_is_help=True)
app.add_typer(incident_app, name="incident")
Identity = Annotated[str, typer.Argument(help="As `incidents` lists it.")]


@app.command()
def incidents(
    context: typer.Context,
    only_open: Annotated[bool, typer.Option("--open", help="Only those that go on.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many.")] = 100,
    as_json: options.Json = False,
) -> None:
    """The attacks that detectors told of, the newest first."""
    query = {"limit": limit} | ({"open": "true"} if only_open else {})
    found = options.client(context).call("GET", "/v1/incidents", params=query)["incidents"]
    if as_json:
        return show.emit(found)
    columns = ("incident", "victim", "attack", "detectors", "lasted", ">peak pps", ">hit", "")
    if not show.table(columns, map(_row, found)):
        show.out.print("no incidents")


def _row(held: dict[str, Any]) -> tuple[str, ...]:
    ends = held["closed_at"] or held["updated_at"]
    return (
        held["id"],
        held["subject"],
        ", ".join(held["attacks"]),
        ", ".join(held["detectors"]),
        show_duration(ends - held["opened_at"]),
        show.si(held["peak_pps"]),
        show.si(held["packets"]),
        "open" if held["open"] else "",
    )


@incident_app.command("show")
def show_incident(
    context: typer.Context, identity: Identity, as_json: options.Json = False
) -> None:
    """What was said when, what was done, and what it hit."""
    held = options.client(context).call("GET", path("incidents", identity))
    if as_json:
        return show.emit(held)
    show.fields({name: escape(value) for name, value in _facts(held).items()})
    for at, line in _timeline(held):
        show.out.print(f"{_clock(at)}  {escape(line)}", soft_wrap=True)


@incident_app.command("report")
def report(context: typer.Context, identity: Identity) -> None:
    """The same as Markdown, for a provider's NOC or the board."""
    held = options.client(context).call("GET", path("incidents", identity))
    typer.echo(_markdown(held))


def _facts(held: dict[str, Any]) -> dict[str, str]:
    closed = f"{_utc(held['closed_at'])}, {held['closed_by']}" if held["closed_at"] else "goes on"
    named = f"{held['sources_named']:,}" if held["sources_named"] else "none: only the victim"
    return {
        "incident": held["id"],
        "victim": held["subject"],
        "began": _utc(held["opened_at"]),
        "ended": closed,
        "attack": ", ".join(held["attacks"]) or "-",
        "told by": ", ".join(held["detectors"]),
        "peak": f"{show.si(held['peak_pps'])} packets/s, {show.si(held['peak_bps'])}bit/s, "
        "by the detectors",
        "sources named": named,
        "rules": f"{held['rules_made']:,} made, {held['rules_ended']:,} ended",
        "they hit": f"{show.si(held['packets'])} packets, {show.si(held['bytes'])}B",
    }


def _timeline(held: dict[str, Any]) -> list[tuple[float, str]]:
    """Everything in its order."""
    lines = [(e["at"], _said(e)) for e in held["events"]]
    for rule in held["rules"]:
        mode = ", monitor" if rule["mode"] == "monitor" else ""
        lines.append((rule["at"], f"{rule['action']} {rule['what']}{mode} ({rule['id']})"))
        if rule["ended_at"]:
            hit = f"{rule['packets']:,} packets hit"
            lines.append((rule["ended_at"], f"ended {rule['what']}: {rule['why']}; {hit}"))
    left = held["events_told"] - len(held["events"])
    if left > 0:
        lines.append((held["updated_at"], f"and {left:,} more events"))
    left = held["rules_made"] - len(held["rules"])
    if left > 0:
        lines.append((held["updated_at"], f"and {left:,} more rules"))
    return sorted(lines, key=lambda line: line[0])


def _said(event: dict[str, Any]) -> str:
    rate = f", {show.si(event['pps'])} packets/s" if event["pps"] else ""
    note = f": {event['note']}" if event["note"] else ""
    return f"{event['detector']} {event['phase']} {event['event']} {event['attack']}{rate}{note}"


def _utc(unix: float) -> str:
    return datetime.fromtimestamp(unix, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _clock(unix: float) -> str:
    return datetime.fromtimestamp(unix, UTC).strftime("%H:%M:%S.%f")[:-3]


def _plain(text: str) -> str:
    """What a detector or attacker wrote, without a meaning in Markdown or HTML."""
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_{}\[\]()#+!|])", r"\\\1", text)


def _markdown(held: dict[str, Any]) -> str:
    lines = [f"# Incident {held['id']}", ""]
    lines += [f"- **{name}**: {_plain(value)}" for name, value in _facts(held).items()]
    lines += ["", "Times are UTC. Source addresses are what packets said; they may be forged."]
    lines += ["", "## Timeline", "", "| time | what |", "|---|---|"]
    lines += [f"| {_clock(at)} | {_plain(line)} |" for at, line in _timeline(held)]
    if held["sources"]:
        lines += ["", "## Sources named", "", *(f"- {_plain(one)}" for one in held["sources"])]
        left = held["sources_named"] - len(held["sources"])
        lines += [f"- and {left:,} more"] if left > 0 else []
    return "\n".join(lines)
