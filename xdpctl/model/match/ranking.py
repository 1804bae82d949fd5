# SPDX-License-Identifier: GPL-2.0-or-later
"""What packets have in common: each component's most frequent values, as a match takes them."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from xdpctl.base.net.packets import PROTOCOLS
from xdpctl.model.match.components import FRAGMENT, TCP_FLAGS

_ICMP, _TCP, _UDP, _ICMPV6 = 1, 6, 17, 58
_NAMES = {number: name for name, number in PROTOCOLS.items()}
_TOP = 5


class Head(NamedTuple):
    """The values of a packet's components; those that it does not have are ignored."""

    protocol: int
    source_port: int
    destination_port: int
    length: int  # of the IP packet
    tcp_flags: int
    icmp_type: int
    icmp_code: int
    ttl: int
    fragment: int


class Ranked(NamedTuple):
    """A value as a match takes it, and its share of all packets, 0 to 1."""

    value: str
    share: float


def components(head: Head) -> dict[str, str]:
    """The components that a packet has, by their word in the short text of a match."""
    found = {"proto": _NAMES.get(head.protocol, str(head.protocol))}
    later = bool(head.fragment & FRAGMENT["later"])
    if head.protocol in (_TCP, _UDP) and not later:
        found |= {"src-port": str(head.source_port), "dst-port": str(head.destination_port)}
    if head.protocol == _TCP and not later:
        found["flags"] = _flags(head.tcp_flags)
    if head.protocol in (_ICMP, _ICMPV6) and not later:
        found |= {"icmp-type": str(head.icmp_type), "icmp-code": str(head.icmp_code)}
    found |= {"length": str(head.length), "ttl": str(head.ttl)}
    parts = [name for name, bit in FRAGMENT.items() if head.fragment & bit and name != "dont"]
    return found | ({"fragment": "+".join(parts)} if parts else {})


def _flags(value: int) -> str:
    """The flags that are set; without ACK, also that it is not set: a SYN is no SYN-ACK."""
    named = [name for name, bit in TCP_FLAGS.items() if value & bit]
    shown = "+".join(named)
    if "ack" in named:
        return shown
    return f"{shown}&!ack" if shown else "!ack"


def rank(heads: Iterable[Mapping[str, str]]) -> dict[str, list[Ranked]]:
    """By component, the most frequent values of these packets; of `components`."""
    counts: dict[str, Counter[str]] = {}
    total = 0
    for head in heads:
        total += 1
        for word, value in head.items():
            counts.setdefault(word, Counter())[value] += 1
    return {
        word: [Ranked(value, count / total) for value, count in found.most_common(_TOP)]
        for word, found in counts.items()
    }
