# SPDX-License-Identifier: GPL-2.0-or-later
"""Commands for the embedded detector: what it does, what it knows, and why it acted."""

import time
from typing import Annotated, Any

import typer
from rich.markup import escape

from xdpctl.base.durations import show_duration
from xdpctl.base.times import unix
from xdpctl.base.units import si3
from xdpctl.cli import completion, options, output
from xdpctl.cli.formats import Format, printed
from xdpctl.client import path
from xdpctl.incidents import reasons

app = typer.Typer()
detect_app = typer.Typer(
    help="Embedded detector: what it holds, what it knows, and why it acted.", no_args_is_help=True
)
app.add_typer(detect_app, name="detect")
_WIDTH = 30  # characters of a bar


@detect_app.command("status")
def status(context: typer.Context, form: options.Output = Format.TABLE) -> None:
    """Show whether the detector runs, and what it holds.

    Example: xdpctl detect status
    """
    report = options.client(context).call("GET", "/v1/detect")
    if printed(report, form):
        return
    runs = f"runs (pid {report['pid']})" if report["runs"] else "[red]does not report[/red]"
    lines = {"detector": "off" if report["mode"] == "off" else runs, "mode": report["mode"]}
    if report["since"]:
        lines["has learnt for"] = show_duration(max(time.time() - unix(report["since"]), 0.0))
    if report["learning"]:
        lines["drops freely in"] = show_duration(report["learning"])
    known = {kind: count for kind, count in report["normal"].items() if count}
    if known:
        lines["normal packets kept"] = ", ".join(f"{k} {n:,}" for k, n in known.items())
    if report["overrun"]:
        lines["read too late"] = output.plural(report["overrun"], "time", "times")
    output.fields(lines)
    _mitigations(report["mitigations"])


def _mitigations(mitigations: list[dict[str, Any]]) -> None:
    columns = ("action", "match", "state", ">hits/s", "began")
    rows = (
        (
            mitigation["action"],
            mitigation["match"],
            f"not in force: {mitigation['refused']}"
            if mitigation["refused"]
            else mitigation["state"],
            si3(mitigation["rate"]),
            f"{show_duration(max(time.time() - unix(mitigation['began']), 0.0))} ago",
        )
        for mitigation in mitigations
    )
    if not output.table(columns, rows, True, ()):
        output.out.print("nothing is held")


@detect_app.command("show")
def show(
    context: typer.Context,
    destination: Annotated[str, typer.Argument(help="Address or prefix of yours.")],
    form: options.Output = Format.TABLE,
) -> None:
    """Show what is normal for a destination, what comes now, and where the thresholds are.

    Example: xdpctl detect show 192.0.2.10
    """
    where = path("detect", destination.replace("/", "_"))
    answer = options.client(context).call("GET", where)
    if printed(answer, form):
        return
    if not answer["protected"]:
        output.out.print(
            f"{answer['destination']} is neither protected nor in automatic.networks: attacks on "
            "it are not looked for"
        )
    columns = ("kind", ">now/s", ">usual/s", ">threshold/s", ">floor/s", "mode", "meets it with")
    rows = (
        (
            row["kind"],
            si3(row["now"]),
            si3(row["usual"]) if row["usual"] else "-",
            si3(row["threshold"]),
            si3(row["floor"]),
            row["mode"],
            _meets(row, answer["learning"]),
        )
        for row in answer["kinds"]
    )
    output.table(columns, rows, True, ())
    _mitigations(answer["mitigations"])


def _meets(row: dict[str, Any], learning: float) -> str:
    """The action against an attack of this kind, now and after learning."""
    if row["later"] == row["meets"]:
        return str(row["meets"])
    return f"{row['meets']}; in {show_duration(learning)} {row['later']}"


@detect_app.command("why")
def why(
    context: typer.Context,
    identity: Annotated[
        str,
        typer.Argument(
            help="Id of the incident, as `incidents` lists it.",
            autocompletion=completion.incidents,
        ),
    ],
    form: options.Output = Format.TABLE,
) -> None:
    """Show why the detector did what it did in an incident.

    Example: xdpctl detect why 20261126-081900
    """
    incident = options.client(context).call("GET", path("incidents", identity))
    if printed(incident["findings"], form):
        return
    rules = reasons.asked(incident)
    for finding in incident["findings"]:
        output.out.print(escape(reasons.title(finding, rules)), style="bold", soft_wrap=True)
        for line in reasons.sentences(finding):
            output.out.print(f"  - {escape(line)}", soft_wrap=True)
        _bars(finding)
    if not incident["findings"]:
        output.out.print(f"no rule of {identity} rests on what the embedded detector found")


def _bars(finding: dict[str, Any]) -> None:
    """Print the distribution of the most telling component, now and before."""
    bars = reasons.bars(finding)
    if not bars:
        return
    name = finding["picture"]["component"].replace("_", " ")
    wide = max(len(name), *(len(label) for label, _, _ in bars))
    output.out.print(f"  {name:<{wide}}  {'in the packets now':<{_WIDTH + 7}}  in normal traffic")
    for label, now, before in bars:
        left, right = (f"{'#' * round(share * _WIDTH):<{_WIDTH}}" for share in (now, before))
        line = f"  {label:<{wide}}  {now:6.1%} {left}  {before:6.1%} {right}"
        output.out.print(escape(line.rstrip()), soft_wrap=True)
