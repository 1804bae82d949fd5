# SPDX-License-Identifier: GPL-2.0-or-later
"""The command for the embedded detector: what it does, and what it knows."""

import time
from typing import Annotated, Any

import typer

from xdpctl.base.durations import show_duration
from xdpctl.base.times import unix
from xdpctl.base.units import si3
from xdpctl.cli import options, output
from xdpctl.cli.formats import Format, printed
from xdpctl.client import path

app = typer.Typer()


@app.command()
def detect(
    context: typer.Context,
    destination: Annotated[
        str | None,
        typer.Argument(metavar="[DESTINATION]", help="Address or prefix of yours."),
    ] = None,
    form: options.Output = Format.TABLE,
) -> None:
    """Show whether the embedded detector runs, and what it holds.

    Of a destination: what is normal there, what comes now, and where the thresholds are.

    Example: xdpctl detect 192.0.2.10
    """
    client = options.client(context)
    if destination is not None:
        return _destination(client.call("GET", path("detect", destination.replace("/", "_"))), form)
    report = client.call("GET", "/v1/detect")
    if printed(report, form):
        return None
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
    return None


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


def _destination(answer: dict[str, Any], form: Format) -> None:
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
