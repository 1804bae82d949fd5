# SPDX-License-Identifier: GPL-2.0-or-later
"""The flows of a recording, as the flow memory would know them. Pure."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from xdpctl.abi.constants import FlowState, Traffic
from xdpctl.base.net.prefix import Prefix
from xdpctl.traffic.packets import PacketArray
from xdpctl.traffic.select import covers

_FLOWS_MAX = 4_000_000


class Flows:
    """The flows that outgoing packets have opened, much as the flow memory would know them.

    There are two differences: the flow memory has a budget, and it tells an ACK with data from an
    ACK without, for which the recording's columns have no field.
    """

    def __init__(self, ours: Sequence[Prefix]) -> None:
        self._ours, self._known = ours, set[int]()
        self.taught = False

    def mark(self, packets: PacketArray) -> NDArray[np.bool_]:
        """Record flows from packets in order, and mark incoming packets; return which come in."""
        goes_out = to_any(self._ours, packets, "source") & ~to_any(
            self._ours, packets, "destination"
        )
        teaching = goes_out & _opens(packets)
        self.taught |= bool(teaching.any())
        if not self.taught:
            return ~goes_out
        inward, outward = (
            _codes(packets, "source", "destination"),
            _codes(packets, "destination", "source"),
        )
        state = packets["flow"]
        for place in range(len(packets)):
            if teaching[place]:
                if len(self._known) >= _FLOWS_MAX:
                    self._known.clear()
                self._known.add(int(outward[place]))
            elif not goes_out[place]:
                known = int(inward[place]) in self._known
                state[place] = FlowState.KNOWN if known else FlowState.UNKNOWN
        return ~goes_out


def to_any(prefixes: Sequence[Prefix], packets: PacketArray, column: str) -> NDArray[np.bool_]:
    chosen = np.zeros(len(packets), bool)
    for prefix in prefixes:
        chosen |= covers(prefix, packets["family"], packets[column])
    return chosen


def _opens(packets: PacketArray) -> NDArray[np.bool_]:
    """Whether an outgoing packet opens or continues a flow, by the rules of bpf/teach.c."""
    flags = np.maximum(packets["tcp_flags"], 0)
    of_kind = packets["traffic"]
    established = (flags & 0x10 != 0) & (flags & 0x06 == 0)
    tcp = (packets["protocol"] == 6) & (established | (flags & 0x16 == 0x02))
    udp = np.isin(of_kind, (Traffic.UDP, Traffic.QUIC_INITIAL, Traffic.DNS_QUERY))
    return np.asarray(tcp | udp | (of_kind == Traffic.ICMP))


def _codes(packets: PacketArray, first: str, second: str) -> NDArray[np.uint64]:
    """A hash of addresses, ports and protocol, seen from outside."""
    words = [
        np.ascontiguousarray(packets[name]).view(np.uint64).reshape(-1, 2)
        for name in (first, second)
    ]
    ports = [np.maximum(packets[f"{name}_port"], 0).astype(np.uint64) for name in (first, second)]
    code = packets["protocol"].astype(np.uint64)
    for column in (*words[0].T, *words[1].T, *ports):
        code = (code ^ column) * np.uint64(0x9E3779B97F4A7C15)
        code ^= code >> np.uint64(31)
    return np.asarray(code, np.uint64)
