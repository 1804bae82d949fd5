# SPDX-License-Identifier: GPL-2.0-or-later
"""What a frame has in front of its IP header, by the kind of interface; see bpf/frame.h."""

from enum import IntEnum


class LinkLayer(IntEnum):
    """For which interfaces programs are compiled: the macro LINK_LAYER.

    NONE: packets begin with the IP header. TUNNEL: XDP gets them with the tunnel's outer headers.
    """

    ETHERNET = 0
    NONE = 1
    TUNNEL = 2


_BY_TYPE = {  # ARPHRD_* of linux/if_arp.h
    **dict.fromkeys((1, 772), LinkLayer.ETHERNET),  # and the loopback
    # PPP, raw IP, IPIP, IPv6 in IPv6, GRE over IPv6; tun and WireGuard have no type
    **dict.fromkeys((512, 519, 768, 769, 823, 65534), LinkLayer.NONE),
    **dict.fromkeys((776, 778), LinkLayer.TUNNEL),  # 6in4, GRE
}


def of_type(number: int) -> LinkLayer | None:
    """The link layer of an interface's type; None if its frames cannot be read."""
    return _BY_TYPE.get(number)
