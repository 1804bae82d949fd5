# SPDX-License-Identifier: GPL-2.0-or-later
"""How a host inside that attacks others is limited: which of its packets, and nothing else. Pure.

Nobody outside may be able to have a host inside limited. So what an outsider can cause is only
told: questions of a resolver, answers of a name server, RSTs, SYN-ACKs, fragments. A server that
connects wherever others say, such as a mail server, may still be taken for a scanner.
"""

from typing import Any

from xdpctl.abi.constants import Police, Traffic
from xdpctl.base.net.prefix import Prefix, text_of
from xdpctl.datapath.policers import Policer
from xdpctl.flood.attack import Attack, Does
from xdpctl.model.match.components import ICMP, ICMPV6, TCP, UDP
from xdpctl.model.services import DNS, HTTPS, is_never_asked

_FLOODS = {
    Traffic.SYN: (TCP, Police.SYN, 0),
    Traffic.TCP: (TCP, Police.ALL, 0),
    Traffic.UDP: (UDP, Police.ALL, 0),
    Traffic.QUIC_INITIAL: (UDP, Police.ALL, HTTPS),
    Traffic.ICMP: (ICMP, Police.ALL, 0),
}  # by the kind: protocol, which of its packets, destination port
_NAMES = {TCP: "TCP", UDP: "UDP", ICMP: "ICMP", ICMPV6: "ICMP"}


def policer_of(attack: Attack, pps: int, until_ns: int) -> Policer | None:
    """The limit that meets an attack; None if it is only told."""
    if attack.source is None or not attack.certain:
        return None
    match attack.does:
        case Does.REFLECTS:
            which = _of_reflector(attack)
        case Does.SCANS:
            which = _of_scan(attack)
        case _:
            which = _of_flood(attack)
    if which is None:
        return None
    mac = bytes.fromhex(attack.mac.replace(":", ""))
    return Policer(pps=pps, until_ns=until_ns, mac=mac, **which)


def _of_reflector(attack: Attack) -> dict[str, Any] | None:
    """Its port, if nobody uses such a service across the Internet."""
    if attack.port is None or not is_never_asked(attack.port):
        return None
    return {"protocol": UDP, "source_port": attack.port}


def _of_scan(attack: Attack) -> dict[str, Any] | None:
    """What begins conversations with that port. A resolver asks many that do not answer."""
    if attack.port in (0, DNS):  # 0 would mean any
        return None
    if attack.kind is Traffic.SYN:
        return {"protocol": TCP, "only": Police.SYN, "destination_port": attack.port}
    if attack.port is None:
        return {"protocol": _icmp(attack.source), "only": Police.UNKNOWN}
    return {"protocol": UDP, "only": Police.UNKNOWN, "destination_port": attack.port}


def _of_flood(attack: Attack) -> dict[str, Any] | None:
    """Its protocol to its destination, if that is one host."""
    if attack.destination is None or not attack.destination.exact:
        return None
    if attack.kind not in _FLOODS or attack.port in (0, DNS):
        return None
    protocol, only, port = _FLOODS[attack.kind]
    return {
        "protocol": _icmp(attack.source) if protocol == ICMP else protocol,
        "only": only,
        "destination": attack.destination,
        "destination_port": attack.port or port,
    }


def _icmp(source: Prefix | None) -> int:
    return ICMP if source is None or source.family == 4 else ICMPV6


def kind_of(policer: Policer) -> Traffic:
    """The kind of the attack that a limit meets."""
    if policer.protocol == TCP:
        return Traffic.SYN if policer.only is Police.SYN else Traffic.TCP
    if policer.protocol != UDP:
        return Traffic.ICMP
    if policer.source_port:
        return Traffic.UDP_SERVICE
    return Traffic.QUIC_INITIAL if policer.destination_port == HTTPS else Traffic.UDP


def in_words(host: Prefix, policer: Policer) -> str:
    """A limit in words."""
    name = _NAMES[policer.protocol]
    what = {
        Police.ALL: f"{name} packets",
        Police.SYN: "attempts to connect over TCP",
        Police.UNKNOWN: f"{name} packets that begin a conversation",
    }[policer.only]
    by = f" from port {policer.source_port}" if policer.source_port else ""
    port = f"port {policer.destination_port}" if policer.destination_port else ""
    host_to = text_of(policer.destination) if policer.destination else ""
    to = " of ".join(part for part in (port, host_to) if part)
    return (
        f"{text_of(host)} is limited to {policer.pps:,} {what} a second{by}"
        f"{f' to {to}' if to else ''}"
    )
