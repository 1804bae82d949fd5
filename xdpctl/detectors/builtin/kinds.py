# SPDX-License-Identifier: GPL-2.0-or-later
"""Which kind each of many packets is, and the match of a kind. Pure."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from xdpctl.base.net.packet_fields import LATER
from xdpctl.detectors.builtin.kind import Kind
from xdpctl.model.match import bits
from xdpctl.model.match.components import COMPONENTS, ICMP, ICMPV6, TCP, UDP
from xdpctl.model.match.match import Value
from xdpctl.model.match.ranges import Ranges, complement
from xdpctl.traffic.packets import PacketArray

_SYN, _RST, _ACK = 2, 4, 16
_GRE, _ESP, _DNS, _HTTPS = 47, 50, 53, 443
_INITIAL_MIN = 1228  # RFC 9000 section 14.1: 1,200 bytes of QUIC, UDP and the shortest IP header
SERVICES: Ranges = (
    (0, 1023),
    *(
        (port, port)
        for port in (
            *(1194, 1434, 1900, 3283, 3389, 3478, 3702, 4500, 5060),
            *(5353, 5683, 11211, 27015, 37810),
        )
    ),
)  # UDP ports of bpf/services.h
_IS_SERVICE = np.zeros(1 << 16, bool)
for _low, _high in SERVICES:
    _IS_SERVICE[_low : _high + 1] = True


def kinds(packets: PacketArray) -> NDArray[np.int64]:
    """The kind of each packet."""
    protocol, flags = packets["protocol"], np.maximum(packets["tcp_flags"], 0)
    tcp, udp = protocol == TCP, protocol == UDP
    port, to = packets["source_port"], packets["destination_port"]
    opening = flags & (_SYN | _ACK)
    conditions = (
        (packets["fragment"] >= 0) & (packets["fragment"] & LATER != 0),
        tcp & (flags & _RST != 0),
        tcp & (opening == _SYN),
        tcp & (opening == (_SYN | _ACK)),
        tcp,
        udp & (port >= 0) & _IS_SERVICE[np.maximum(port, 0)],
        udp & (to == _DNS),
        udp & (to == _HTTPS) & (packets["packet_length"] >= _INITIAL_MIN),
        udp,
        (protocol == ICMP) | (protocol == ICMPV6),
        protocol == _GRE,
        protocol == _ESP,
    )
    found = (
        *(Kind.FRAGMENT, Kind.RST, Kind.SYN, Kind.SYN_ACK, Kind.TCP, Kind.UDP_SERVICE),
        *(Kind.DNS_QUERY, Kind.QUIC_INITIAL, Kind.UDP, Kind.ICMP, Kind.GRE, Kind.ESP),
    )
    return np.select(conditions, [int(each) for each in found], int(Kind.OTHER))


def _flags(text: str) -> bits.Bits:
    return bits.parse(text, COMPONENTS["tcp_flags"], "tcp_flags")


_LATER = bits.parse("later", COMPONENTS["fragment"], "fragment")
_NOT_SERVICES = complement(SERVICES, 65535)
_SHAPES: dict[Kind, dict[str, Value]] = {
    Kind.SYN: {"protocol": ((TCP, TCP),), "tcp_flags": _flags("syn&!ack&!rst")},
    Kind.SYN_ACK: {"protocol": ((TCP, TCP),), "tcp_flags": _flags("syn+ack&!rst")},
    Kind.RST: {"protocol": ((TCP, TCP),), "tcp_flags": _flags("rst")},
    Kind.TCP: {"protocol": ((TCP, TCP),), "tcp_flags": _flags("!syn&!rst")},
    Kind.UDP_SERVICE: {"protocol": ((UDP, UDP),), "source_port": SERVICES},
    Kind.UDP: {"protocol": ((UDP, UDP),), "source_port": _NOT_SERVICES},
    Kind.QUIC_INITIAL: {
        "protocol": ((UDP, UDP),),
        "destination_port": ((_HTTPS, _HTTPS),),
        "packet_length": ((_INITIAL_MIN, 65535),),
    },
    Kind.DNS_QUERY: {"protocol": ((UDP, UDP),), "destination_port": ((_DNS, _DNS),)},
    Kind.FRAGMENT: {"fragment": _LATER},
    Kind.GRE: {"protocol": ((_GRE, _GRE),)},
    Kind.ESP: {"protocol": ((_ESP, _ESP),)},
    Kind.OTHER: {
        "protocol": complement(
            tuple((each, each) for each in sorted((TCP, UDP, ICMP, ICMPV6, _GRE, _ESP))), 255
        )
    },
}


CONNECTING: dict[str, Value] = {"protocol": ((TCP, TCP),), "tcp_flags": _flags("syn&!ack")}


# What tunnels are made of: they carry what they like, at any rate, from few peers.
TUNNELS = frozenset((Kind.FRAGMENT, Kind.GRE, Kind.ESP, Kind.OTHER))


def shape(kind: Kind, family: int) -> dict[str, Any]:
    """The components of a match that takes every packet of a kind (and few of others)."""
    if kind is Kind.ICMP:
        number = ICMP if family == 4 else ICMPV6
        return {"protocol": ((number, number),)}
    return dict(_SHAPES[kind])
