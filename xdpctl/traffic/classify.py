# SPDX-License-Identifier: GPL-2.0-or-later
"""Finds the kinds of packets that the program has not seen, such as those of recordings. Pure.

It gives the same kinds as bpf/stages/strata.bpf.h, against which it is tested.
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from xdpctl.abi.arrays import HEAD
from xdpctl.abi.constants import Reason, Traffic
from xdpctl.abi.sizes import HEAD_BYTES
from xdpctl.base.net.link_header import IPV4, IPV6, link_header
from xdpctl.base.net.packet_fields import LATER
from xdpctl.datapath.heads import HeadArray
from xdpctl.model.match.components import ICMP, ICMPV6, TCP, UDP
from xdpctl.model.services import DNS, HTTPS, LISTED, QUIC_INITIAL_LEAST, SERVICES_BELOW
from xdpctl.traffic.packets import PacketArray, read

GRE, ESP = 47, 50
_SYN, _RST, _ACK = 2, 4, 16
_IS_SERVICE = np.zeros(1 << 16, bool)
_IS_SERVICE[:SERVICES_BELOW] = True
_IS_SERVICE[list(LISTED)] = True
_FAMILIES = {IPV4: 4, IPV6: 6}
_NO_VLAN = 4096


def classify(packets: PacketArray) -> NDArray[np.uint8]:
    """The kind of each packet, as a number of Traffic."""
    protocol, flags = packets["protocol"], np.maximum(packets["tcp_flags"], 0)
    tcp, udp = protocol == TCP, protocol == UDP
    port, to = packets["source_port"], packets["destination_port"]
    opening = flags & (_SYN | _ACK)
    initial = (to == HTTPS) & (packets["packet_length"] >= QUIC_INITIAL_LEAST)
    masks = {
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
    numbers = [int(kind) for kind in masks]
    return np.select(list(masks.values()), numbers, int(Traffic.OTHER)).astype(np.uint8)


def classified(packets: PacketArray) -> PacketArray:
    """The same packets, each with its kind filled in."""
    packets["traffic"] = classify(packets)
    return packets


def heads(
    frames: Iterable[bytes], reason: Reason = Reason.NO_RULE, weight: int = 1, slot: int = 0
) -> HeadArray:
    """One head for each Ethernet frame; the frames are well-formed, or not IP."""
    listed = list(frames)
    rows = np.zeros(len(listed), HEAD)
    rows["weight"], rows["slot"], rows["reason"] = weight, slot, reason
    for head, frame in zip(rows, listed, strict=True):
        kind, end, tag, outer = link_header(frame)
        head["vlan"] = _NO_VLAN if tag is None else tag
        part = frame[end : end + HEAD_BYTES]
        head["length"], head["bytes_held"] = len(frame), len(part)
        head["family"], head["ethertype"] = _FAMILIES.get(kind, 0), outer
        head["bytes"][: len(part)] = np.frombuffer(part, np.uint8)
    rows["traffic"] = classify(read(rows))
    return rows
