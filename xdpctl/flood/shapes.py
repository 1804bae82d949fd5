# SPDX-License-Identifier: GPL-2.0-or-later
"""Matches for a whole kind of packets, and for much of an attack but little else. Pure."""

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xdpctl.abi.constants import Traffic
from xdpctl.flood.normal import MOST_HIT, Normal
from xdpctl.model.match import bits, payload
from xdpctl.model.match.components import COMPONENTS, ICMP, ICMPV6, TCP, UDP
from xdpctl.model.match.match import Match, Value
from xdpctl.model.match.ranges import complement
from xdpctl.model.services import (
    DNS,
    DNS_QUERY_LEAST,
    GAME_START,
    HTTPS,
    QUIC_INITIAL_LEAST,
    SERVICES,
)
from xdpctl.traffic.boxes import BOXES_MAX, FEW, REST, grow
from xdpctl.traffic.candidates import CHOICES
from xdpctl.traffic.classify import ESP, GRE
from xdpctl.traffic.packets import PacketArray, kinds
from xdpctl.traffic.split import Side, Split, has

_LEAST = 0.15  # share of the packets: a box that takes less fits by chance
# that a service is seldom asked shows no attack, and a challenge lets its clients in
_OF_SYNS = tuple(name for name in CHOICES if name != "destination_port")
_STRICT = MOST_HIT / 2  # share of a kind in the half of normal traffic with which boxes are made


def _flags(text: str) -> bits.Bits:
    return bits.parse(text, COMPONENTS["tcp_flags"], "tcp_flags")


_LATER = bits.parse("later", COMPONENTS["fragment"], "fragment")
_NOT_SERVICES = complement(SERVICES, 65535)
_SHAPES: dict[Traffic, dict[str, Value]] = {
    Traffic.SYN: {"protocol": ((TCP, TCP),), "tcp_flags": _flags("syn&!ack&!rst")},
    Traffic.SYN_ACK: {"protocol": ((TCP, TCP),), "tcp_flags": _flags("syn+ack&!rst")},
    Traffic.RST: {"protocol": ((TCP, TCP),), "tcp_flags": _flags("rst")},
    Traffic.TCP: {"protocol": ((TCP, TCP),), "tcp_flags": _flags("!syn&!rst")},
    Traffic.UDP_SERVICE: {"protocol": ((UDP, UDP),), "source_port": SERVICES},
    Traffic.UDP: {
        "protocol": ((UDP, UDP),),
        "source_port": _NOT_SERVICES,
        "destination_port": complement(((DNS, DNS),), 65535),  # DNS queries are a kind of their own
    },
    Traffic.QUIC_INITIAL: {
        "protocol": ((UDP, UDP),),
        "destination_port": ((HTTPS, HTTPS),),
        "packet_length": ((QUIC_INITIAL_LEAST, 65535),),
    },
    Traffic.DNS_QUERY: {"protocol": ((UDP, UDP),), "destination_port": ((DNS, DNS),)},
    Traffic.FRAGMENT: {"fragment": _LATER},
    Traffic.GRE: {"protocol": ((GRE, GRE),)},
    Traffic.ESP: {"protocol": ((ESP, ESP),)},
    Traffic.OTHER: {
        "protocol": complement(
            tuple((each, each) for each in sorted((TCP, UDP, ICMP, ICMPV6, GRE, ESP))), 255
        )
    },
}


# What a challenge asks, where it is not exactly the kind. There is one rule a match, so what passes
# the challenge can have a limit on the kind. The challenge comes before it in FlowSpec order: else
# forged packets would use the limit up.
_ASKED: dict[Traffic, dict[str, Value]] = {
    Traffic.DNS_QUERY: {
        "protocol": ((UDP, UDP),),
        "destination_port": ((DNS, DNS),),
        "packet_length": ((DNS_QUERY_LEAST, 65535),),
    },
    Traffic.QUIC_INITIAL: {
        "protocol": ((UDP, UDP),),
        "destination_port": ((HTTPS, HTTPS),),
        "packet_length": ((QUIC_INITIAL_LEAST - 1, 65535),),
    },
    Traffic.UDP: {**_SHAPES[Traffic.UDP], "payload": payload.start(GAME_START)},
}
CONNECTING: dict[str, Value] = {"protocol": ((TCP, TCP),), "tcp_flags": _flags("syn&!ack")}


# Tunnels consist of these kinds. They carry anything, at any rate, from few peers.
TUNNELS = frozenset((Traffic.FRAGMENT, Traffic.GRE, Traffic.ESP, Traffic.OTHER))


def shape(kind: Traffic, family: int) -> dict[str, Any]:
    """The components of a match that takes every packet of a kind (and few of others)."""
    if kind is Traffic.ICMP:
        number = ICMP if family == 4 else ICMPV6
        return {"protocol": ((number, number),)}
    return dict(_SHAPES[kind])


def asked(kind: Traffic, family: int) -> dict[str, Any]:
    """The components of a match for the challenge of a kind."""
    return dict(_ASKED.get(kind) or shape(kind, family))


def boxes(
    window: PacketArray, kind: Traffic, normal: Normal, usual: float, given: dict[str, Value]
) -> list[Match]:
    """Up to five matches for packets of one kind, the largest first.

    `usual` is the share of the packets that normal traffic explains, 0 to 1. `given` has the
    components with which each match begins. A match may still hit too much normal traffic, which
    the caller has to judge.
    """
    split = _split(window, kind, normal, usual, given)
    names = _OF_SYNS if kind is Traffic.SYN else CHOICES
    counts = np.bincount(kinds(split.normal.packets), minlength=len(Traffic))
    matches: list[Match] = []
    left = np.ones(len(window), bool)
    while len(matches) < BOXES_MAX:
        rest = split.of(left, np.ones(len(split.normal.packets), bool))
        if len(rest.now.packets) < FEW or rest.excess < REST * split.excess:
            break
        match = grow(rest, given, partial(_is_clean, counts), names=names)
        if match is None:
            break
        hit = _taken(match, window) & left
        if split.now.mass[hit].sum() < _LEAST:
            break
        matches.append(match)
        left &= ~hit
    return matches


def _split(
    window: PacketArray, kind: Traffic, normal: Normal, usual: float, given: dict[str, Value]
) -> Split:
    """The two sides, where each kind of normal traffic weighs the same, however rare it is."""
    weights = window["weight"].astype(np.float64)
    counts = np.bincount(normal.kinds, minlength=len(Traffic))
    per_packet = np.where(counts > 0, 1 / np.maximum(counts, 1), 0.0)
    mass = per_packet[normal.kinds]
    own = np.where(normal.kinds == kind, usual * per_packet[kind], 0.0)
    hit = np.ones(len(normal.packets), bool)
    for name, value in given.items():
        if name not in ("destination", "source"):
            hit &= has(name, value, normal.packets)
    return Split(
        Side(window, weights / max(weights.sum(), 1.0)),
        Side(normal.packets[hit], mass[hit]),
        own[hit],
    )


def _is_clean(counts: NDArray[np.int64], split: Split) -> bool:
    hits = np.bincount(kinds(split.normal.packets), minlength=len(counts))
    return bool((hits <= _STRICT * counts).all())


def _taken(match: Match, packets: PacketArray) -> NDArray[np.bool_]:
    """Which packets have the components of a match; all have its addresses."""
    chosen = np.ones(len(packets), bool)
    for name, value in match.components:
        if name not in ("destination", "source"):
            chosen &= has(name, value, packets)
    return chosen
