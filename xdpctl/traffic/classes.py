# SPDX-License-Identifier: GPL-2.0-or-later
"""Classes of packets: the kinds that attacks are made of. Pure."""

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from xdpctl.base.net.packet_fields import LATER
from xdpctl.traffic.packets import PacketArray

_ICMP, _TCP, _UDP, _ICMPV6 = 1, 6, 17, 58
_SYN, _RST, _ACK = 2, 4, 16
# services that amplify: below 1024 all ports, and these
_SERVICES = (1900, 3283, 3478, 3702, 4500, 5353, 5683, 11211, 27015, 37810)


class Class(IntEnum):
    """A class of packets; each packet has one."""

    SYN = 0
    SYN_ACK = 1
    RST = 2
    TCP = 3  # other TCP
    UDP_SERVICE = 4  # from a service's port, as an answer or an amplifier's
    UDP = 5
    ICMP = 6
    FRAGMENT = 7  # later ones: they have no ports
    OTHER = 8


def classes(packets: PacketArray) -> NDArray[np.int64]:
    """The class of each packet."""
    protocol, flags = packets["protocol"], packets["tcp_flags"]
    tcp, udp, port = protocol == _TCP, protocol == _UDP, packets["source_port"]
    service = ((port >= 0) & (port < 1024)) | np.isin(port, _SERVICES)
    opening = flags & (_SYN | _ACK)
    conditions = [
        (packets["fragment"] >= 0) & (packets["fragment"] & LATER != 0),
        tcp & (flags >= 0) & (flags & _RST != 0),
        tcp & (flags >= 0) & (opening == _SYN),
        tcp & (flags >= 0) & (opening == (_SYN | _ACK)),
        tcp,
        udp & service,
        udp,
        (protocol == _ICMP) | (protocol == _ICMPV6),
    ]
    found = (
        *(Class.FRAGMENT, Class.RST, Class.SYN, Class.SYN_ACK, Class.TCP),
        *(Class.UDP_SERVICE, Class.UDP, Class.ICMP),
    )
    return np.select(conditions, [int(each) for each in found], int(Class.OTHER))


def rates(packets: PacketArray, seconds: float) -> NDArray[np.float64]:
    """Packets and bits a second of each class, in two rows; 0 if nothing was watched."""
    if not seconds:
        return np.zeros((2, len(Class)))
    of = classes(packets)
    weights = packets["weight"] / seconds
    counts = np.bincount(of, weights, len(Class))
    return np.array([counts, np.bincount(of, weights * packets["length"] * 8, len(Class))])
