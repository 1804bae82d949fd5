# SPDX-License-Identifier: GPL-2.0-or-later
"""Reference model of the classes of packets, which bpf/stages/strata.bpf.h counts."""

import numpy as np
from numpy.typing import NDArray

from xdpctl.abi.constants import Traffic
from xdpctl.base.net.packet_fields import LATER
from xdpctl.traffic.packets import PacketArray

_ICMP, _TCP, _UDP, _ICMPV6 = 1, 6, 17, 58
_SYN, _RST, _ACK = 2, 4, 16
# services that answer whoever asks: below 1024 all ports, and these
_SERVICES = (
    *(1194, 1434, 1900, 3283, 3389, 3478, 3702, 4500, 5060),
    *(5353, 5683, 11211, 27015, 37810),
)


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
        *(Traffic.FRAGMENT, Traffic.RST, Traffic.SYN, Traffic.SYN_ACK, Traffic.TCP),
        *(Traffic.UDP_SERVICE, Traffic.UDP, Traffic.ICMP),
    )
    return np.select(conditions, [int(each) for each in found], int(Traffic.OTHER))
