# SPDX-License-Identifier: GPL-2.0-or-later
"""The kind of each of many packets, of those that the program has not seen: of recordings. Pure.

It says the same as bpf/stages/strata.bpf.h, against which it is tested.
"""

import numpy as np
from numpy.typing import NDArray

from xdpctl.abi.constants import Traffic
from xdpctl.base.net.packet_fields import LATER
from xdpctl.model.match.components import ICMP, ICMPV6, TCP, UDP
from xdpctl.model.services import DNS, HTTPS, LISTED, QUIC_INITIAL_LEAST, SERVICES_BELOW
from xdpctl.traffic.packets import PacketArray

GRE, ESP = 47, 50
_SYN, _RST, _ACK = 2, 4, 16
_IS_SERVICE = np.zeros(1 << 16, bool)
_IS_SERVICE[:SERVICES_BELOW] = True
_IS_SERVICE[list(LISTED)] = True


def classify(packets: PacketArray) -> NDArray[np.uint8]:
    """The kind of each packet, as a number of Traffic."""
    protocol, flags = packets["protocol"], np.maximum(packets["tcp_flags"], 0)
    tcp, udp = protocol == TCP, protocol == UDP
    port, to = packets["source_port"], packets["destination_port"]
    opening = flags & (_SYN | _ACK)
    initial = (to == HTTPS) & (packets["packet_length"] >= QUIC_INITIAL_LEAST)
    found = {
        Traffic.FRAGMENT: (packets["fragment"] >= 0) & (packets["fragment"] & LATER != 0),
        Traffic.RST: tcp & (flags & _RST != 0),
        Traffic.SYN: tcp & (opening == _SYN),
        Traffic.SYN_ACK: tcp & (opening == (_SYN | _ACK)),
        Traffic.TCP: tcp,
        Traffic.UDP_SERVICE: udp & (port >= 0) & _IS_SERVICE[np.maximum(port, 0)],
        Traffic.DNS_QUERY: udp & (to == DNS),
        Traffic.QUIC_INITIAL: udp & initial,
        Traffic.UDP: udp,
        Traffic.ICMP: (protocol == ICMP) | (protocol == ICMPV6),
        Traffic.GRE: protocol == GRE,
        Traffic.ESP: protocol == ESP,
    }
    numbers = [int(each) for each in found]
    return np.select(list(found.values()), numbers, int(Traffic.OTHER)).astype(np.uint8)


def classified(packets: PacketArray) -> PacketArray:
    """The same packets; each has its kind."""
    packets["traffic"] = classify(packets)
    return packets
