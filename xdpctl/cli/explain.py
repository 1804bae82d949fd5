# SPDX-License-Identifier: GPL-2.0-or-later
"""`xdpctl explain`: runs a packet through the loaded program and shows what decides."""

from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from xdpctl.base.net.packet_fields import fields
from xdpctl.base.net.packets import summary
from xdpctl.base.net.pcap_reader import Packet, Skipped, packets
from xdpctl.cli import options, output
from xdpctl.cli.formats import Format, printed
from xdpctl.datapath.bpf.programs import FRAME_MAX
from xdpctl.model.match.ranking import components

app = typer.Typer()

_Source = Annotated[
    str | None, typer.Argument(metavar="[SOURCE]", help="Source address of the packet.")
]
_Destination = Annotated[
    str | None,
    typer.Option(
        "--to",
        help="Destination address; default: each that is protected, attacked or in a rule.",
    ),
]
_PacketLength = Annotated[
    int | None, typer.Option("--length", help="Length of the IP packet in bytes.")
]
_Frame = Annotated[
    str | None,
    typer.Option(help="A whole Ethernet frame in hex, instead of the options above."),
]
_Pcap = Annotated[Path | None, typer.Option(help="Take the packet from this pcap or pcapng file.")]
_Outside = Annotated[
    bool | None,
    typer.Option(
        "--outside/--inside",
        help="Side of the receiving interface; default: outside if one is declared.",
    ),
]
_Number = Annotated[
    int,
    typer.Option("--packet", min=1, help="Number of the packet in the file, counted from 1."),
]


@app.command()
def explain(
    context: typer.Context,
    source: _Source = None,
    destination: _Destination = None,
    protocol: Annotated[str, typer.Option(help="udp, tcp, icmp, ... or a number.")] = "udp",
    source_port: Annotated[int, typer.Option(help="Source port.")] = 40000,
    destination_port: Annotated[int, typer.Option("--port", help="Destination port.")] = 443,
    tcp_flags: Annotated[str, typer.Option("--flags", help="TCP flags: syn+ack.")] = "syn",
    icmp_type: Annotated[int, typer.Option(help="ICMP type.")] = 8,
    packet_length: _PacketLength = None,
    frame: _Frame = None,
    pcap: _Pcap = None,
    outside: _Outside = None,
    number: _Number = 1,
    form: options.Output = Format.TABLE,
) -> None:
    """Show what the loaded program does with a packet, and which rule decides.

    Example: xdpctl explain 203.0.113.7 --protocol tcp --port 443
    """
    if sum(value is not None for value in (source, frame, pcap)) != 1:
        raise typer.BadParameter("give exactly one of SOURCE, --frame and --pcap")
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
        optional = {"destination": destination, "packet_length": packet_length}
        if protocol == "tcp":
            optional["tcp_flags"] = tcp_flags
        if protocol.startswith("icmp"):
            query["icmp_type"] = icmp_type
        query |= {key: value for key, value in optional.items() if value is not None}
    if outside is not None:
        query["outside"] = str(outside).lower()
    answer = options.client(context).call("GET", "/v1/explain", params=query)
    if printed(answer, form):
        return
    _print_answer(source or summary(bytes.fromhex(answer["frame"])), answer)
    if source is None:
        _print_components(bytes.fromhex(answer["frame"]))


def _packet(path: Path, number: int) -> Packet:
    """The packet with that number; packets of link types without IP are counted, too."""
    skipped, count = Skipped(), 0
    for packet in islice(packets(path, skipped), number):
        count += 1
        if count + skipped.links == number:
            if skipped.cut and packet.length > len(packet.frame):
                output.err.print(
                    f"[yellow]note:[/yellow] {path} holds only {len(packet.frame):,} of the "
                    f"packet's {packet.length:,} bytes"
                )
            return packet
        if count + skipped.links > number:
            raise typer.BadParameter(f"packet {number} of {path} carries neither Ethernet nor IP")
    raise typer.BadParameter(f"{path} has no packet {number}, only {count + skipped.links}")


def _print_components(frame: bytes) -> None:
    """Print the packet's components in the words of --match."""
    if packet := fields(frame):
        values = " ".join(
            value if word == "proto" and not value.isdigit() else f"{word} {value}"
            for word, (value, _) in components(packet).items()
        )
        output.out.print(f"its match: {escape(values)}", soft_wrap=True)


def _print_answer(subject: str, answer: dict[str, Any]) -> None:
    why = "" if answer["rule"] or answer["set"] else f", {answer['reason'].replace('_', ' ')}"
    output.out.print(f"{escape(subject)}: {output.coloured(answer['verdict'])}{why}")
    if answer["rule"]:
        output.rule_details(answer["rule"])
    if answer["set"]:
        output.out.print(f"decided by the set {answer['set']}")
    if answer["protected_by"]:
        output.out.print(f"{answer['protected_by']['prefix']}: {answer['protected_by']['why']}")
    for rule in answer["monitored"]:
        where = escape(output.where(rule))
        output.out.print(f"also matches, in monitor mode: {rule['action']} {where}")
    for rule in answer["within"]:
        where = f"{escape(output.where(rule))}, {output.rate(rule['limit'])}"
        output.out.print(f"within the limit {where} ({rule['id']})")
    for rule in answer["behind"]:
        output.out.print(
            f"also matches, but is evaluated later: {rule['action']} "
            f"{escape(output.where(rule))} ({rule['id']})"
        )
    for rule in answer["could_hit"]:
        output.out.print(
            f"may take other packets of that source: {rule['action']} {escape(output.where(rule))} "
            f"({rule['id']})"
        )
    for name in answer["monitored_sets"]:
        output.out.print(f"also matches, in monitor mode: the set {name}")
