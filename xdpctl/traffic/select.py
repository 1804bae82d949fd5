# SPDX-License-Identifier: GPL-2.0-or-later
"""Selects packets by a match; xdpctl/model/match/evaluate.py does so for a single packet. Pure."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xdpctl.base.net.prefix import Prefix
from xdpctl.model.match.arrays import carrying, passing, within
from xdpctl.model.match.components import COMPONENTS, Kind
from xdpctl.model.match.match import Match
from xdpctl.traffic.packets import PacketArray

Chosen = NDArray[np.bool_]


def takes(match: Match, packets: PacketArray) -> Chosen:
    """Whether each packet has every component with a value that the match allows.

    Packets that are not complete IP packets are never taken, as in the program.
    """
    chosen = np.asarray(packets["family"] != 0)
    for name, wanted in match.components:
        if not chosen.any():
            break
        chosen &= _takes(name, wanted, packets)
    return chosen


def takes_any(matches: Iterable[Match], packets: PacketArray) -> Chosen:
    """Whether one of the matches takes each packet."""
    chosen = np.zeros(len(packets), bool)
    for match in matches:
        chosen |= takes(match, packets)
    return chosen


def _takes(name: str, wanted: Any, packets: PacketArray) -> Chosen:
    if name == "port":
        return within(wanted, packets["source_port"]) | within(wanted, packets["destination_port"])
    match COMPONENTS[name].kind:
        case Kind.PREFIX:
            return covers(wanted, packets["family"], packets[name])
        case Kind.NUMBER:
            return within(wanted, packets[name])
        case Kind.BITS:
            return passing(wanted, packets[name])
        case Kind.MODULE:  # only the kernel asks modules
            return np.zeros(len(packets), np.bool_)
        case Kind.PAYLOAD:
            return carrying(
                wanted, packets["payload"], packets["payload_bytes"], packets["payload_cut"]
            )


def covers(prefix: Prefix, families: NDArray[Any], addresses: NDArray[Any]) -> Chosen:
    """Which addresses (S16, IPv4 in the first four bytes) the prefix covers."""
    if prefix.exact:
        return np.asarray((families == prefix.family) & (addresses == prefix.address))
    raw = np.ascontiguousarray(addresses).view(np.uint8).reshape(-1, 16)
    whole, rest = divmod(prefix.length, 8)
    network = np.frombuffer(prefix.address, np.uint8)
    chosen = (families == prefix.family) & (raw[:, :whole] == network[:whole]).all(1)
    if rest:
        shift = 8 - rest
        chosen &= raw[:, whole] >> shift == network[whole] >> shift
    return np.asarray(chosen)
