# SPDX-License-Identifier: GPL-2.0-or-later
"""The command that captures live packets, with the verdict of each."""

from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, BinaryIO

import typer
from rich.markup import escape

from xdpctl.base.net.packets import summary
from xdpctl.base.net.pcapng_writer import Writer
from xdpctl.cli import options, output

app = typer.Typer()
_GRACE_SECONDS = 30.0


@app.command()
def capture(
    context: typer.Context,
    rule: Annotated[
        str | None, typer.Option(help="Only packets decided by this rule (id or source) or set.")
    ] = None,
    verdict: Annotated[
        str,
        typer.Option(
            help="Only this verdict or reason: drop, pass, all, or a reason such as limited."
        ),
    ] = "drop",
    every: Annotated[
        int, typer.Option(help="Capture one in this many packets; a power of two.")
    ] = 64,
    seconds: Annotated[float, typer.Option(help="Duration in seconds.")] = 10.0,
    limit: Annotated[int, typer.Option(help="Stop after this many packets.")] = 100_000,
    write: Annotated[
        Path | None,
        typer.Option(
            "-w",
            "--write",
            help="Write to this pcapng file; each packet has its verdict as a comment.",
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print NDJSON, one packet per line.")
    ] = False,
) -> None:
    """Capture live packets with the verdict of each.

    Example: xdpctl capture --verdict drop -w drops.pcapng
    """
    query: dict[str, Any] = {"verdict": verdict, "every": every, "seconds": seconds}
    query |= {"limit": limit} | ({"rule": rule.replace("/", "_")} if rule else {})
    try:
        file = write.open("wb") if write else None
    except OSError as error:
        raise typer.BadParameter(f"{write}: {error.strerror}") from None
    lines = options.client(context).lines("/v1/samples", seconds + _GRACE_SECONDS, params=query)
    try:
        end = _output_packets(lines, file, as_json)
    finally:
        if file:
            file.close()
    text = f"{output.plural(end['taken'], 'packet', 'packets')}, one in {every:,}"
    lost = f"; {end['lost']:,} lost, buffer full: give a larger --every" if end["lost"] else ""
    output.err.print(escape(text + lost + (f"; written to {write}" if write else "")))


def _output_packets(lines: Any, file: BinaryIO | None, as_json: bool) -> dict[str, Any]:
    """Write or print every packet; return the totals from the last line."""
    writer = Writer(file) if file else None
    end = {"taken": 0, "lost": 0}
    for line in lines:
        if "data" not in line:
            end = line
        elif writer:
            _write(writer, line)
        elif as_json:
            output.line(line)
        else:
            _print(line)
    return end


def _write(writer: Writer, line: dict[str, Any]) -> None:
    nanoseconds = int(datetime.fromisoformat(line["time"]).timestamp() * 1e6) * 1000
    comment = f"verdict={line['verdict']} reason={line['reason']}"
    comment += f" rule={line['rule']}" if line["rule"] else ""
    data = bytes.fromhex(line["data"])
    writer.packet(line["interface"], nanoseconds, data, line["length"], comment)


def _print(line: dict[str, Any]) -> None:
    clock = line["time"][11:23]
    rule = f"  {line['rule']}" if line["rule"] else ""
    what = f"{line['length']:>5} bytes  {summary(bytes.fromhex(line['data']))}"
    print(f"{clock}  {line['interface']:<8}  {line['reason']:<12} {what}{rule}")
