# SPDX-License-Identifier: GPL-2.0-or-later
"""FastNetMon: the notify script of the Community edition, and the Advanced edition's JSON.

The script's first argument is the *victim* of an incoming attack, and the sender of an outgoing
one. The address is taken from this argument, because the report has 0.0.0.0 for IPv6. The report's
sample of packets shows the type of attack; the sources in it may be spoofed and are never blocked.
"""

import math
import re
from collections.abc import Iterator
from typing import Any

from msgspec.structs import replace

from xdpctl.base.net.prefix import Prefix, exact_address, parse_prefix
from xdpctl.detectors import checked, flowspec
from xdpctl.detectors.breakdown import Sampled, attacks
from xdpctl.errors import RuleError
from xdpctl.model.event import Event, Phase, plain
from xdpctl.model.match.match import Match, build

# Matched against lines of at most _LINE_MAX characters, so that no input makes them slow.
_PACKET = re.compile(
    r"([0-9a-fA-F.:]{2,64}):(\d{1,5}) > ([0-9a-fA-F.:]{2,64}):(\d{1,5}) protocol: (\w{1,20})"
    r"(?: flags: ([a-z,]{1,40}))?(?: frag: (\d))?"
)
_FIELD = re.compile(r"([A-Z][a-z ]{1,60}): (\S.*)")
_RATE = re.compile(r"(\d{1,15}) packets per second")
_LINE_MAX, _LINES_MAX = 400, 20_000
_SAMPLE_MAX, _NETWORKS_MAX = 20_000, 1_000
_RATES = ("", "tcp ", "syn tcp ", "udp ", "icmp ", "ip fragmented ")  # in the report's lines
_ADVANCED_RATES = {
    "tcp ": "incoming_tcp_pps",
    "syn tcp ": "incoming_syn_tcp_pps",
    "udp ": "incoming_udp_pps",
    "icmp ": "incoming_icmp_pps",
    "ip fragmented ": "incoming_ip_fragmented_pps",
}
_PHASES = {
    "ban": Phase.BEGAN,
    "unban": Phase.ENDED,
    "attack_status": Phase.CONTINUES,
    "partial_block": Phase.BEGAN,
    "partial_unblock": Phase.ENDED,
}
_LISTS = {
    "protocols": "protocol",
    "source_ports": "source_port",
    "destination_ports": "destination_port",
    "packet_lengths": "packet_length",
    "ttls": "ttl",
    "vlans": "vlan",
}


def read(body: bytes) -> list[Event]:
    """The events of one call of the script, or of one JSON document; RuleError if not valid."""
    data = checked.document(body)
    if isinstance(data, dict) and "argv" in data:
        return _community(*checked.command(body))
    return list(_advanced(checked.table(data, "the body")))


def _community(argv: list[str], report: str) -> list[Event]:
    if len(argv) != 4 or argv[3] not in ("ban", "unban", "attack_details"):
        fix = "call it as FastNetMon does: ADDRESS incoming|outgoing PPS ban|unban"
        raise RuleError(f"argv is {plain(argv)[:80]}", "argv", fix)
    host, direction = checked.address(argv[0], "argv[0]"), argv[1]
    phase = {"ban": Phase.BEGAN, "unban": Phase.ENDED}.get(argv[3], Phase.CONTINUES)
    identity = f"{host} {direction}"
    pps = float(argv[2]) if argv[2].isascii() and argv[2].isdigit() else 0.0
    if direction != "incoming":
        why = f"it is an outgoing attack of our {host}, and only what comes in is mitigated"
        return [Event(phase=phase, id=identity, pps=pps, ignored=why)]
    lines = [line.rstrip() for line in report.splitlines()[:_LINES_MAX] if len(line) <= _LINE_MAX]
    fields = {field[1]: field[2] for line in lines if (field := _FIELD.fullmatch(line))}
    attack = checked.attack_named(fields.get("Attack type", ""))
    peak = _RATE.match(fields.get("Peak attack power", ""))
    packets = [
        Sampled(protocol, int(port), flags, fragment == "1")
        for line in lines
        for _, port, to, _, protocol, flags, fragment in _PACKET.findall(line)
        if _same(to, host)
    ]
    rates = {
        name: float(rate[1])
        for name in _RATES
        if (rate := _RATE.match(fields.get(f"Incoming {name}pps", "")))
    }
    event = Event(
        phase=phase,
        id=identity,
        victim=host,
        attack=attack,
        port=None,
        pps=float(peak[1]) if peak else pps,
        note=plain(f"{fields.get('Attack type', 'attack')}, {fields.get('Attack protocol', '')}"),
    )
    if phase is Phase.ENDED:
        return [event]
    return [replace(event, attack=a, port=p) for a, p in attacks(attack, rates, packets)]


def _same(text: str, host: Prefix) -> bool:
    try:
        return checked.address(text, "") == host
    except RuleError:
        return False


def _advanced(data: dict[str, Any]) -> Iterator[Event]:
    action = checked.text(data, "action")
    if action not in _PHASES:
        raise RuleError(f"action is {plain(action)[:40]!r}", "action", f"send one of {[*_PHASES]}")
    details = checked.table(data.get("attack_details", {}), "attack_details")
    identity = checked.text(details, "attack_uuid", "")
    if details.get("attack_detection_threshold_direction") == "outgoing":
        why = "it is an outgoing attack of ours, and only what comes in is mitigated"
        yield Event(phase=_PHASES[action], id=identity, ignored=why)
        return
    flows = checked.listed(data.get("flow_spec_rules"), "flow_spec_rules")
    if action.startswith("partial"):
        for number, flow in enumerate(flows):
            yield _flow(checked.table(flow, f"flow_spec_rules[{number}]"), _PHASES[action])
        return
    dump = checked.listed(data.get("packet_dump_detailed"), "packet_dump_detailed")
    named = str(details.get("attack_type", "")) or str(details.get("attack_protocol", ""))
    sampled = _by_destination(dump)
    rates = {
        name: checked.number(details, field)
        for name, field in _ADVANCED_RATES.items()
        if field in details
    }
    for victim in _victims(data):
        event = Event(
            phase=_PHASES[action],
            id=f"{identity or 'host'} {victim}",
            victim=victim,
            attack=checked.attack_named(named),
            pps=checked.number(details, "total_incoming_pps"),
            bps=checked.number(details, "total_incoming_traffic_bits"),
            note=plain(details.get("attack_detection_threshold", "")),
        )
        if event.phase is Phase.ENDED:
            yield event
            continue
        for attack, port in attacks(event.attack, rates, sampled.get(victim, [])):
            yield replace(event, attack=attack, port=port)


def _by_destination(dump: list[Any]) -> dict[Prefix, list[Sampled]]:
    """The sampled packets, by destination."""
    by_address: dict[Prefix, list[Sampled]] = {}
    for packet in dump[:_SAMPLE_MAX]:
        if isinstance(packet, dict) and isinstance(packet.get("source_port"), int):
            to = exact_address(str(packet.get("destination_ip"))[:64])
            if to:
                protocol = str(packet.get("protocol"))[:20]
                flags = str(packet.get("tcp_flags", ""))[:40]
                sampled = Sampled(
                    protocol, packet["source_port"], flags, bool(packet.get("fragmentation"))
                )
                by_address.setdefault(to, []).append(sampled)
    return by_address


def _victims(data: dict[str, Any]) -> list[Prefix]:
    if data.get("alert_scope") == "hostgroup":
        networks = checked.listed(data.get("hostgroup_networks"), "hostgroup_networks")
        if len(networks) > _NETWORKS_MAX:
            fix = f"send at most {_NETWORKS_MAX}"
            raise RuleError(f"there are {len(networks)} networks", "hostgroup_networks", fix)
        return [parse_prefix(str(network), "hostgroup_networks") for network in networks]
    return [checked.address(checked.text(data, "ip"), "ip")]


def _flow(flow: dict[str, Any], phase: Phase) -> Event:
    identity = checked.text(flow, "uuid")
    kind = checked.text(flow, "action_type", "discard")
    rate = math.inf if kind == "accept" else 0.0
    if kind == "rate-limit":
        rate = checked.number(checked.table(flow.get("action", {}), "action"), "rate")
    return flowspec.event(phase, identity, _match(flow), flowspec.Action(rate))


def _match(flow: dict[str, Any]) -> Match:
    parts: dict[str, Any] = {}
    for theirs, ours in (("destination_prefix", "destination"), ("source_prefix", "source")):
        if flow.get(theirs):
            parts[ours] = checked.text(flow, theirs)
    for theirs, ours in _LISTS.items():
        values = checked.listed(flow.get(theirs), theirs)
        if values:
            parts[ours] = ",".join(str(value) for value in values)
    flags = checked.listed(flow.get("tcp_flags"), "tcp_flags")
    if flags:
        parts["tcp_flags"] = ",".join(str(flag).replace("|", "+") for flag in flags)
    fragments = checked.listed(flow.get("fragmentation_flags"), "fragmentation_flags")
    if fragments:
        parts["fragment"] = ",".join(
            flowspec.FRAGMENTS.get(str(fragment), str(fragment)) for fragment in fragments
        )
    return build(parts)
