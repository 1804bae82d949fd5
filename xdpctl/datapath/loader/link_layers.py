# SPDX-License-Identifier: GPL-2.0-or-later
"""What a frame has in front of its IP header, by the kind of interface; see bpf/frame.h."""

from enum import IntEnum


class LinkLayer(IntEnum):
    """For which interfaces programs are compiled: the macro LINK_LAYER.

    NONE: packets begin with the IP header.
    """

    ETHERNET = 0
    NONE = 1


_ETHERNET = (1, 772)  # ARPHRD_ETHER, ARPHRD_LOOPBACK (linux/if_arp.h)
# of interfaces without Ethernet those that were tried: XDP gets something else of some others
# (xfrm and vti have an Ethernet header that the kernel has made)
_NONE = ("tun", "wireguard", "ppp", "ipip", "sit", "gre")


def layer_of(number: int, kind: str, has_remote: bool = True) -> LinkLayer | None:
    """The link layer of an interface, by its type and kind; None if its frames cannot be read.

    `has_remote`: of GRE, whether it has one far end. Else XDP gets the outer headers, too.
    """
    if number in _ETHERNET:
        return LinkLayer.ETHERNET
    if kind not in _NONE or (kind == "gre" and not has_remote):
        return None
    return LinkLayer.NONE
