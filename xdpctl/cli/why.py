# SPDX-License-Identifier: GPL-2.0-or-later
"""`xdpctl why`: what decides about an address or a packet; why a rule is, or an incident."""

import re
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import typer

from xdpctl.base.net.packets import summary
from xdpctl.base.net.pcap_reader import Packet, Skipped, packets
from xdpctl.base.net.prefix import parse_address
from xdpctl.cli import answers, completion, options, output
from xdpctl.cli.formats import Format, printed
from xdpctl.cli.rules.rules import rule_path
from xdpctl.client import Client, path
from xdpctl.datapath.bpf.programs import FRAME_MAX
from xdpctl.errors import RuleError

app = typer.Typer()
_INCIDENT = re.compile(r"latest|\d{8}-\d{6}(-\d+)?")

_What = Annotated[
    str | None,
    typer.Argument(
        metavar="[ADDRESS|RULE|INCIDENT]",
        help="Source address; a rule by its id, prefix or match, as `list` shows them; or an "
        "incident by its id, or latest.",
        autocompletion=completion.rules_and_incidents,
    ),
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


_Protocol = Annotated[
    str | None, typer.Option(help="udp, tcp, icmp, ... or a number; default: udp.")
]
_SourcePort = Annotated[int | None, typer.Option(help="Source port.")]
_DestinationPort = Annotated[
    int | None, typer.Option("--port", help="Destination port; default: 443.")
]
_TcpFlags = Annotated[str | None, typer.Option("--flags", help="TCP flags: syn+ack; default: syn.")]
_IcmpType = Annotated[int | None, typer.Option(help="ICMP type; default: 8.")]


@app.command()
def why(
    context: typer.Context,
    what: _What = None,
    destination: _Destination = None,
    protocol: _Protocol = None,
    source_port: _SourcePort = None,
    destination_port: _DestinationPort = None,
    tcp_flags: _TcpFlags = None,
    icmp_type: _IcmpType = None,
    packet_length: _PacketLength = None,
    frame: _Frame = None,
    pcap: _Pcap = None,
    outside: _Outside = None,
    number: _Number = 1,
    form: options.Output = Format.TABLE,
) -> None:
    """Show why an address gets in or not, what happens to a packet, why a rule is there.

    An address is tried with packets of usual services to each host that is protected, attacked or
    in a rule. With options of a packet, only that packet is. Of an incident: why the embedded
    detector did what it did.

    Example: xdpctl why 203.0.113.7
    """
    if sum(value is not None for value in (what, frame, pcap)) != 1:
        raise typer.BadParameter("give exactly one of ADDRESS|RULE|INCIDENT, --frame and --pcap")
    if pcap is not None:
        frame = _packet(pcap, number).frame[:FRAME_MAX].hex()
    fields = {
        "destination": destination,
        "protocol": protocol,
        "source_port": source_port,
        "destination_port": destination_port,
        "tcp_flags": tcp_flags,
        "icmp_type": icmp_type,
        "packet_length": packet_length,
        "outside": None if outside is None else str(outside).lower(),
        "frame": frame,
    }
    query = {name: value for name, value in fields.items() if value is not None}
    client = options.client(context)
    if query:
        _packet_decided(client, what, query, form)
    elif what is not None and _is_address(what):
        _show(client.call("GET", path("why", what)), answers.print_address, form)
    elif what is not None and _INCIDENT.fullmatch(what):
        _show(client.call("GET", path("incidents", what)), answers.print_incident, form)
    elif what is not None:
        _show(client.call("GET", rule_path(what)), answers.print_rule, form)


def _packet_decided(
    client: Client, source: str | None, query: dict[str, Any], form: Format
) -> None:
    """Show what happens to one packet."""
    if source is not None:
        parse_address(source, "source")
        query = query | {"source": source}
    answer = client.call("GET", "/v1/explain", params=query)
    if printed(answer, form):
        return
    answers.print_answer(source or summary(bytes.fromhex(answer["frame"])), answer)
    if source is None:
        answers.print_components(bytes.fromhex(answer["frame"]))


def _show(answer: dict[str, Any], show: Callable[[dict[str, Any]], None], form: Format) -> None:
    if not printed(answer, form):
        show(answer)


def _is_address(what: str) -> bool:
    try:
        parse_address(what, "address")
    except RuleError:
        return False
    return True


def _packet(file: Path, number: int) -> Packet:
    """The packet with that number; packets of link types without IP are counted, too."""
    skipped, count = Skipped(), 0
    for packet in islice(packets(file, skipped), number):
        count += 1
        if count + skipped.links == number:
            if skipped.cut and packet.length > len(packet.frame):
                output.err.print(
                    f"[yellow]note:[/yellow] {file} holds only {len(packet.frame):,} of the "
                    f"packet's {packet.length:,} bytes"
                )
            return packet
        if count + skipped.links > number:
            raise typer.BadParameter(f"packet {number} of {file} carries neither Ethernet nor IP")
    raise typer.BadParameter(f"{file} has no packet {number}, only {count + skipped.links}")
