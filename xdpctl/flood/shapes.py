# SPDX-License-Identifier: GPL-2.0-or-later
"""The match that takes a kind of packets. Pure."""

from typing import Any

from xdpctl.abi.constants import Traffic
from xdpctl.model.match import bits
from xdpctl.model.match.components import COMPONENTS, ICMP, ICMPV6, TCP, UDP
from xdpctl.model.match.match import Value
from xdpctl.model.match.ranges import complement
from xdpctl.model.services import DNS, HTTPS, QUIC_INITIAL_LEAST, SERVICES
from xdpctl.traffic.classify import ESP, GRE


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
        "destination_port": complement(((DNS, DNS),), 65535),  # queries are a kind by themselves
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


CONNECTING: dict[str, Value] = {"protocol": ((TCP, TCP),), "tcp_flags": _flags("syn&!ack")}


# What tunnels are made of: they carry what they like, at any rate, from few peers.
TUNNELS = frozenset((Traffic.FRAGMENT, Traffic.GRE, Traffic.ESP, Traffic.OTHER))


def shape(kind: Traffic, family: int) -> dict[str, Any]:
    """The components of a match that takes every packet of a kind (and few of others)."""
    if kind is Traffic.ICMP:
        number = ICMP if family == 4 else ICMPV6
        return {"protocol": ((number, number),)}
    return dict(_SHAPES[kind])
