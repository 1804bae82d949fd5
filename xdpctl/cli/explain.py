# SPDX-License-Identifier: GPL-2.0-or-later
"""`xdpctl explain`: a packet's way through the loaded program."""

from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from xdpctl.base.net.packets import summary
from xdpctl.base.net.pcap_reader import Packet, Skipped, packets
from xdpctl.cli import options, output
from xdpctl.datapath.bpf.programs import FRAME_MAX

app = typer.Typer()


@app.command()
def explain(
    context: typer.Context,
    source: Annotated[
        str | None, typer.Argument(metavar="[SOURCE]", help="Source address of the packet.")
    ] = None,
    destination: Annotated[str | None, typer.Option("--to", help="Destination address.")] = None,
    protocol: Annotated[str, typer.Option(help="udp, tcp, icmp, ... or a number.")] = "udp",
    source_port: Annotated[int, typer.Option(help="Source port.")] = 40000,
    destination_port: Annotated[int, typer.Option("--port", help="Destination port.")] = 443,
    tcp_flags: Annotated[str, typer.Option("--flags", help="TCP flags: syn+ack.")] = "syn",
    icmp_type: Annotated[int, typer.Option(help="ICMP type.")] = 8,
    packet_length: Annotated[
        int | None, typer.Option("--length", help="Length of the IP packet in bytes.")
    ] = None,
    frame: Annotated[
        str | None,
        typer.Option(help="A whole Ethernet frame in hex, instead of the options above."),
    ] = None,
    pcap: Annotated[
        Path | None, typer.Option(help="Take the packet from this pcap or pcapng file.")
    ] = None,
    outside: Annotated[
        bool | None,
        typer.Option(
            "--outside/--inside", help="Side of the interface; default: outside if there is one."
        ),
    ] = None,
    number: Annotated[
        int,
        typer.Option("--packet", min=1, help="Number of the packet in the file, counted from 1."),
    ] = 1,
    as_json: options.Json = False,
) -> None:
    """Show what the loaded program does with a packet, and which rule decides.

    Example: xdpctl explain 203.0.113.7 --protocol tcp --port 443
    """
    if sum(given is not None for given in (source, frame, pcap)) != 1:
        raise typer.BadParameter("give a source, --frame or --pcap, one of the three")
    if pcap is not None:
        frame = _packet(pcap, number).frame[:FRAME_MAX].hex()
    if frame is not None:
        query: dict[str, Any] = {"frame": frame}
    else:
        query = {
            "source": source,
            "protocol": protocol,
            "source_port": source_port,
            "destination_port": destination_port,
        }
        given = {"destination": destination, "packet_length": packet_length}
        if protocol == "tcp":
            given["tcp_flags"] = tcp_flags
        if protocol.startswith("icmp"):
            query["icmp_type"] = icmp_type
        query |= {key: value for key, value in given.items() if value is not None}
    if outside is not None:
        query["outside"] = str(outside).lower()
    said = options.client(context).call("GET", "/v1/explain", params=query)
    if as_json:
        return output.emit(said)
    _tell(source or summary(bytes.fromhex(said["frame"])), said)


def _packet(path: Path, number: int) -> Packet:
    """The packet of that number; packets of other links count too."""
    skipped, seen = Skipped(), 0
    for packet in islice(packets(path, skipped), number):
        seen += 1
        if seen + skipped.links == number:
            if skipped.cut and packet.length > len(packet.frame):
                output.err.print(
                    f"[yellow]note:[/yellow] of its {packet.length:,} bytes {path} holds "
                    f"{len(packet.frame):,}"
                )
            return packet
        if seen + skipped.links > number:
            raise typer.BadParameter(f"packet {number} of {path} carries neither Ethernet nor IP")
    raise typer.BadParameter(f"{path} has no packet {number}, only {seen + skipped.links}")


def _tell(what: str, said: dict[str, Any]) -> None:
    why = "" if said["rule"] or said["set"] else f", {said['reason'].replace('_', ' ')}"
    output.out.print(f"{escape(what)}: {output.coloured(said['verdict'])}{why}")
    if said["rule"]:
        output.rule_details(said["rule"])
    if said["set"]:
        output.out.print(f"by the set {said['set']}")
    if said["protected_by"]:
        output.out.print(f"{said['protected_by']['prefix']}: {said['protected_by']['why']}")
    for rule in said["monitored"]:
        where = escape(output.where(rule))
        output.out.print(f"in monitor mode on the way: {rule['action']} {where}")
    for rule in said["within"]:
        where = f"{escape(output.where(rule))}, {output.rate(rule['limit'])}"
        output.out.print(f"within the limit {where} ({rule['id']})")
    for rule in said["behind"]:
        output.out.print(f"behind it: {rule['action']} {escape(output.where(rule))} ({rule['id']})")
    for name in said["monitored_sets"]:
        output.out.print(f"in monitor mode on the way: the set {name}")
