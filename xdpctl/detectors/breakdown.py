# SPDX-License-Identifier: GPL-2.0-or-later
"""The vectors of an attack, from rates by protocol and a sample of packets. Pure."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from xdpctl.model.event import Attack
from xdpctl.model.services import AMPLIFIERS

_PART = 0.1  # share of the attack: smaller vectors are ignored
_OF_UDP = 0.1  # share of the sampled UDP: source ports that send less are ignored
_MOST = 0.8  # share of the sampled UDP from amplifiers: then it is an amplification
_PORTS_MAX = 4

Vector = tuple[Attack, int | None]  # an attack, and for an amplification its source port


class Sampled(NamedTuple):
    """A sampled packet; `flags` are names such as `syn,ack`."""

    protocol: str
    source_port: int
    flags: str
    fragment: bool


def attacks(named: Attack, rates: Mapping[str, float], packets: Sequence[Sampled]) -> list[Vector]:
    """The vectors of an attack; if they are unknown, only the named attack.

    `rates` are packets a second by `tcp `, `syn tcp `, `udp `, `icmp ` and `ip fragmented `.
    """
    shares = _shares(rates) or _sampled(packets)
    vectors = list(dict.fromkeys(_vectors(shares, packets)))
    return vectors or [(named, None)]


def _shares(rates: Mapping[str, float]) -> dict[str, float]:
    """The share of each protocol in what the detector counted."""
    by = {name: rates.get(f"{name} ", 0.0) for name in ("tcp", "udp", "icmp", "ip fragmented")}
    total = by["tcp"] + by["udp"] + by["icmp"]
    total = max(total, by["ip fragmented"])
    if total <= 0:
        return {}
    by["syn"] = min(rates.get("syn tcp ", 0.0), by["tcp"])
    return {name: rate / total for name, rate in by.items()}


def _sampled(packets: Sequence[Sampled]) -> dict[str, float]:
    """The share of each protocol in the sampled packets."""
    if not packets:
        return {}
    count = Counter(packet.protocol.lower() for packet in packets)
    syn = sum(_is_syn(packet) for packet in packets)
    fragments = sum(packet.fragment for packet in packets)
    parts = {"tcp": count["tcp"], "udp": count["udp"], "syn": syn, "ip fragmented": fragments}
    parts["icmp"] = count["icmp"] + count["icmpv6"]
    return {name: number / len(packets) for name, number in parts.items()}


def _is_syn(packet: Sampled) -> bool:
    return packet.protocol.lower() == "tcp" and "syn" in packet.flags


def _vectors(shares: Mapping[str, float], packets: Sequence[Sampled]) -> Iterator[Vector]:
    if shares.get("udp", 0.0) >= _PART:
        yield from _udp(packets)
    if shares.get("icmp", 0.0) >= _PART:
        yield Attack.ICMP_FLOOD, None
    if shares.get("ip fragmented", 0.0) >= _PART:
        yield Attack.IP_FRAGMENTATION, None
    if shares.get("tcp", 0.0) >= _PART:
        yield from _tcp(shares, packets)


def _udp(packets: Sequence[Sampled]) -> Iterator[Vector]:
    """The vectors of UDP. Shares are within UDP, so another vector does not hide an amplifier."""
    ports = Counter(p.source_port for p in packets if p.protocol.lower() == "udp")
    total = ports.total()
    reflecting = [
        (port, count) for port, count in ports.most_common(_PORTS_MAX)
        if port in AMPLIFIERS and count >= _OF_UDP * total
    ]  # fmt: skip
    if not total or sum(count for _, count in reflecting) < _MOST * total:
        yield Attack.UDP_FLOOD, None
        return
    for port, _ in reflecting:
        yield Attack.AMPLIFICATION, port


def _tcp(shares: Mapping[str, float], packets: Sequence[Sampled]) -> Iterator[Vector]:
    """The vectors of TCP; some detectors look at one flag only, and count SYN-ACKs as SYNs."""
    flags = Counter(
        _of_flags(packet.flags) for packet in packets
        if packet.protocol.lower() == "tcp" and packet.flags
    )  # fmt: skip
    if not flags:
        syn = shares.get("syn", 0.0) >= shares["tcp"] / 2
        yield (Attack.SYN_FLOOD if syn else Attack.TCP_FLOOD), None
        return
    for attack, count in flags.most_common():
        if count >= _PART * flags.total():
            yield attack, None


def _of_flags(flags: str) -> Attack:
    named = set(flags.split(","))
    if "rst" in named:
        return Attack.RST_FLOOD
    if "syn" in named:
        return Attack.SYN_ACK_FLOOD if "ack" in named else Attack.SYN_FLOOD
    return Attack.TCP_FLOOD
