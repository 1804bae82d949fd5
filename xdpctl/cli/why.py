# SPDX-License-Identifier: GPL-2.0-or-later
"""`xdpctl why`: what decides about an address or a packet, and what a rule is."""

from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from xdpctl.base.net.packet_fields import fields
from xdpctl.base.net.packets import summary
from xdpctl.base.net.pcap_reader import Packet, Skipped, packets
from xdpctl.base.net.prefix import parse_address
from xdpctl.cli import completion, options, output
from xdpctl.cli.formats import Format, printed
from xdpctl.cli.rules import statistics
from xdpctl.cli.rules.rules import rule_path
from xdpctl.client import path
from xdpctl.datapath.bpf.programs import FRAME_MAX
from xdpctl.errors import RuleError
from xdpctl.model.match.ranking import components

app = typer.Typer()
_TOLD = 4  # destinations

_What = Annotated[
    str | None,
    typer.Argument(
        metavar="[ADDRESS|RULE]",
        help="Source address; or a rule by its id, prefix or match, as `list` shows them.",
        autocompletion=completion.rules,
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


@app.command()
def why(
    context: typer.Context,
    what: _What = None,
    destination: _Destination = None,
    protocol: Annotated[
        str | None, typer.Option(help="udp, tcp, icmp, ... or a number; default: udp.")
    ] = None,
    source_port: Annotated[int | None, typer.Option(help="Source port.")] = None,
    destination_port: Annotated[
        int | None, typer.Option("--port", help="Destination port; default: 443.")
    ] = None,
    tcp_flags: Annotated[
        str | None, typer.Option("--flags", help="TCP flags: syn+ack; default: syn.")
    ] = None,
    icmp_type: Annotated[int | None, typer.Option(help="ICMP type; default: 8.")] = None,
    packet_length: _PacketLength = None,
    frame: _Frame = None,
    pcap: _Pcap = None,
    outside: _Outside = None,
    number: _Number = 1,
    form: options.Output = Format.TABLE,
) -> None:
    """Show why an address gets in or not, what happens to one packet, or why a rule is there.

    An address is tried with packets of usual services to each host that is protected, attacked or
    in a rule. With options of a packet, only that packet is.

    Example: xdpctl why 203.0.113.7
    """
    if sum(value is not None for value in (what, frame, pcap)) != 1:
        raise typer.BadParameter("give exactly one of ADDRESS|RULE, --frame and --pcap")
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
    call = options.client(context).call
    if what is not None and not query:
        answer = call("GET", path("why", what) if _is_address(what) else rule_path(what))
        if not printed(answer, form):
            _print_address(answer) if "sentence" in answer else _print_rule(answer)
        return
    if what is not None:
        parse_address(what, "source")
        query["source"] = what
    answer = call("GET", "/v1/explain", params=query)
    if printed(answer, form):
        return
    _print_answer(what or summary(bytes.fromhex(answer["frame"])), answer)
    if what is None:
        _print_components(bytes.fromhex(answer["frame"]))


def _is_address(what: str) -> bool:
    try:
        parse_address(what, "address")
    except RuleError:
        return False
    return True


def _print_rule(rule: dict[str, Any]) -> None:
    output.rule_details(rule)
    statistics.details(rule)


def _print_address(found: dict[str, Any]) -> None:
    output.out.print(escape(found["sentence"]), soft_wrap=True)
    for each in found["answers"] or ():
        by = f", by {_whose(each['rule'])}" if each["rule"] else ""
        by += f", by the set {each['set']}" if each["set"] else ""
        by += f", incident {each['incident']}" if each["incident"] else ""
        more = f" and {len(each['to']) - _TOLD} more" if len(each["to"]) > _TOLD else ""
        to = f"{', '.join(each['to'][:_TOLD])}{more}"
        verdict = output.coloured(each["verdict"])
        if not by and each["reason"] != "no_rule":
            verdict += f", {each['reason'].replace('_', ' ')}"
        services = ", ".join(each["services"])
        output.out.print(f"  {services} to {to}: {verdict}{escape(by)}", soft_wrap=True)
    for rule in found["could_hit"]:
        output.out.print(
            f"  other packets may meet {rule['action']} {escape(_whose(rule))}", soft_wrap=True
        )
    output.fields(_place(found))
    for entry in found["covering"]:
        output.out.print(f"  {_entry(entry)}")
    if not found["covering"]:
        output.out.print("  no rule on sources, set or protected prefix covers it")
    by_rules = [each["verdict"] for each in found["answers"] or () if each["rule"] or each["set"]]
    if "drop" in by_rules:
        output.out.print(f"to let it in: xdpctl release {found['address']} --for 1h")


def _whose(rule: dict[str, Any]) -> str:
    return f"{output.where(rule)} of {rule['origin']}, ends {output.ends(rule)}"


def _place(found: dict[str, Any]) -> dict[str, str]:
    if not found["database"]:
        return {"country": "no database: set geo_databases, or install libloc-database"}
    network = f"AS{found['asn']} {escape(found['as_name'] or '')}".rstrip()
    return {
        "country": found["country"] or "-",
        "network": found["network"] or "-",
        "AS": network if found["asn"] else "-",
    }


def _entry(entry: dict[str, Any]) -> str:
    """An entry that covers the address, as rich markup."""
    owner = f"protected: {entry['protected']}"
    if entry["rule"] or entry["set"]:
        name = f"rule {entry['rule']}" if entry["rule"] else f"set {entry['set']}"
        owner = f"{output.coloured(entry['action'])}, {entry['mode']}, {name}"
    spared = "" if entry["applied"] else " (not applied: protected)"
    return f"{entry['prefix']:<20} {owner}{spared}"


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
