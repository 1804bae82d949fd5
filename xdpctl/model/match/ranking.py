# SPDX-License-Identifier: GPL-2.0-or-later
"""What packets have in common: the most frequent values of each component of a match."""

from collections import Counter
from collections.abc import Iterable
from typing import Any, NamedTuple

from xdpctl.base.net.packet_fields import Fields
from xdpctl.base.net.packets import PROTOCOLS
from xdpctl.model.match import payload
from xdpctl.model.match.components import COMPONENTS, FRAGMENT, TCP_FLAGS

_NAMES = {number: name for name, number in PROTOCOLS.items()}
_TOP = 5
_OF_PROTOCOL = (
    *("source_port", "destination_port", "tcp_flags", "icmp_type", "icmp_code", "payload"),
)
_RANKED = ("protocol", *_OF_PROTOCOL, "packet_length", "ttl", "fragment", "vlan")


class Ranked(NamedTuple):
    """A value, the match of packets with it, and its share of all packets, 0 to 1."""

    value: str
    match: str
    share: float


def components(packet: Fields) -> dict[str, tuple[str, str]]:
    """A packet's values and their matches, by component (its word in a match's text)."""
    number = packet["protocol"]
    protocol = _NAMES.get(number, f"proto {number!s}")  # type: ignore[arg-type]
    values = {}
    for name in _RANKED:
        text = _text(name, packet.get(name))
        if text:
            word = COMPONENTS[name].words[0]
            match = f"{word} {text}"
            if name == "protocol":
                match = protocol
            elif name in _OF_PROTOCOL:
                match = f"{protocol} {match}"
            values[word] = text, match
    return values


def _text(name: str, value: Any) -> str:
    """The value as in a match's text; empty if the packet does not have it."""
    if value is None:
        return ""
    if name == "protocol":
        return _NAMES.get(value, str(value))
    if name == "fragment":
        return "+".join(part for part, bit in FRAGMENT.items() if value & bit and part != "dont")
    if name == "payload":
        return payload.show(payload.start(value[: payload.MAGIC_BYTES]))
    return _flags(value) if name == "tcp_flags" else str(value)


def _flags(value: int) -> str:
    """The flags that are set, and `!ack` if ACK is not: a SYN is not a SYN-ACK."""
    shown = "+".join(name for name, bit in TCP_FLAGS.items() if value & bit)
    if value & TCP_FLAGS["ack"]:
        return shown
    return f"{shown}&!ack" if shown else "!ack"


def rank(packets: Iterable[Fields]) -> dict[str, list[Ranked]]:
    """By component, the most frequent values of these packets."""
    counts: dict[str, Counter[tuple[str, str]]] = {}
    total = 0
    for packet in packets:
        total += 1
        for word, shown in components(packet).items():
            counts.setdefault(word, Counter())[shown] += 1
    return {
        word: [Ranked(value, match, n / total) for (value, match), n in counter.most_common(_TOP)]
        for word, counter in counts.items()
    }
