# SPDX-License-Identifier: GPL-2.0-or-later
"""The command that captures live packets, with the verdict of each."""

from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, BinaryIO

import typer
from rich.markup import escape

from xdpctl.base.net.packet_fields import Fields, fields
from xdpctl.base.net.packets import summary as ends_of
from xdpctl.base.net.pcapng_writer import Writer
from xdpctl.cli import options, output
from xdpctl.cli.formats import Format, Lines, printed
from xdpctl.errors import Interrupted, Unreachable
from xdpctl.model.match import text
from xdpctl.model.match.evaluate import takes
from xdpctl.model.match.match import Match
from xdpctl.model.match.ranking import Ranked, components, rank

app = typer.Typer()
_GRACE_SECONDS = 30.0
_TOP = 5
_SHOWN = ("length", "ttl", "flags", "icmp-type", "icmp-code", "fragment", "vlan", "payload")


_Rule = Annotated[
    str | None, typer.Option(help="Only packets decided by this rule (id or source) or set.")
]
_Verdict = Annotated[
    str,
    typer.Option(help="Only this verdict or reason: drop, pass, all, or a reason such as limited."),
]
_Every = Annotated[int, typer.Option(help="Capture one in this many packets; a power of two.")]
_Write = Annotated[
    Path | None,
    typer.Option(
        "-w",
        "--write",
        help="Write to this pcapng file; each packet has its verdict as a comment.",
    ),
]
_Match = Annotated[
    str | None,
    typer.Option(help="Only packets that match: 'dst 198.51.100.7 udp src-port 53'."),
]
_Summary = Annotated[
    bool,
    typer.Option("--summary", help="Print what the packets have in common, in words of --match."),
]


@app.command()
def capture(
    context: typer.Context,
    rule: _Rule = None,
    verdict: _Verdict = "drop",
    every: _Every = 64,
    seconds: Annotated[float, typer.Option(help="Duration in seconds.")] = 10.0,
    limit: Annotated[int, typer.Option(help="Stop after this many packets.")] = 100_000,
    write: _Write = None,
    match: _Match = None,
    summary: _Summary = False,
    form: options.Output = Format.TABLE,
) -> None:
    """Capture live packets with the verdict of each, or show what they have in common.

    Example: xdpctl capture --verdict pass --summary
    """
    parsed_match = text.parse(match) if match else None
    query: dict[str, Any] = {"verdict": verdict, "every": every, "seconds": seconds}
    query |= {"limit": limit} | ({"rule": rule.replace("/", "_")} if rule else {})
    try:
        file = write.open("wb") if write else None
    except OSError as error:
        raise typer.BadParameter(f"{write}: {error.strerror}") from None
    lines = options.client(context).lines("/v1/samples", seconds + _GRACE_SECONDS, params=query)
    try:
        end = _output_packets(_matching(lines, parsed_match), file, form, summary)
    finally:
        if file:
            file.close()
    taken = end.get("taken", end["matched"])  # interrupted, only those that match are known
    of = f"{end['matched']:,} of " if parsed_match and "taken" in end else ""
    total = f"{of}{output.plural(taken, 'packet', 'packets')}, one in {every:,}"
    lost = f"; {end['lost']:,} lost, buffer full: give a larger --every" if end["lost"] else ""
    output.err.print(escape(total + lost + (f"; written to {write}" if write else "")))
    if "interrupted" in end:
        raise typer.Exit(130)


def _matching(lines: Iterator[dict[str, Any]], match: Match | None) -> Iterator[dict[str, Any]]:
    """The lines of packets that match, with their fields, and the line of totals."""
    for line in lines:
        if "data" not in line:
            yield line
            continue
        packet = fields(bytes.fromhex(line["data"]))
        if match is None or (packet and takes(match, packet)):
            yield {**line, "fields": packet}


def _output_packets(
    lines: Iterator[dict[str, Any]], file: BinaryIO | None, form: Format, summary: bool
) -> dict[str, Any]:
    """Write or print every packet; return the totals from the last line."""
    writer = Writer(file) if file else None
    end: dict[str, Any] = {"lost": 0, "matched": 0}
    packets: list[Fields] = []
    printer = Lines(form)
    try:
        for line in lines:
            if "data" not in line:
                end |= line
                continue
            end["matched"] += 1
            packet: Fields | None = line.pop("fields")
            if writer:
                _write(writer, line)
            if summary and packet:
                packets.append(packet)
            elif not writer:
                printer.print(line) if form.for_programs else _print(line, packet)
        if "taken" not in end:
            raise Unreachable("the connection ended before the capture did; the rest is missing")
    except (KeyboardInterrupt, Interrupted):
        end |= {"interrupted": True}
        output.err.print("interrupted; what was captured until now is complete")
    if summary:
        _summarise(packets, form)
    return end


def _summarise(packets: list[Fields], form: Format) -> None:
    """Print the most frequent values of each component, and the match of each."""
    ranked = rank(packets)
    for word, name in (("src", "source"), ("dst", "destination")):
        counts = Counter(str(packet[name]) for packet in packets).most_common(_TOP)
        ranked[word] = [Ranked(v, f"{word} {v}", n / len(packets)) for v, n in counts]
    if printed({word: [v._asdict() for v in values] for word, values in ranked.items()}, form):
        return
    rows = [
        (word, f"{value.share:.0%}", value.match)
        for word, values in ranked.items()
        for value in values
    ]
    output.table(("component", ">share", "match"), rows)
    return None


def _write(writer: Writer, line: dict[str, Any]) -> None:
    nanoseconds = int(datetime.fromisoformat(line["time"]).timestamp() * 1e6) * 1000
    comment = f"verdict={line['verdict']} reason={line['reason']}"
    comment += f" rule={line['rule']}" if line["rule"] else ""
    data = bytes.fromhex(line["data"])
    writer.packet(line["interface"], nanoseconds, data, line["length"], comment)


def _print(line: dict[str, Any], packet: Fields | None) -> None:
    clock = line["time"][11:23]
    rule = f"  {line['rule']}" if line["rule"] else ""
    ends = ends_of(bytes.fromhex(line["data"]))
    values = components(packet) if packet else {}
    more = [f"{word} {values[word][0]}" for word in _SHOWN if word in values]
    description = "  ".join((ends, " ".join(more)))
    print(f"{clock}  {line['interface']:<8}  {line['reason']:<12} {description}{rule}")
