# SPDX-License-Identifier: GPL-2.0-or-later
"""Heads as the loaded program makes them, of frames that a test builds."""

from collections.abc import Iterable

import numpy as np

from xdpctl.abi.arrays import HEAD
from xdpctl.abi.constants import HEAD_BYTES, Reason
from xdpctl.datapath.heads import HeadArray

_TAGS = (0x8100, 0x88A8, 0x9100)
_FAMILIES = {0x0800: 4, 0x86DD: 6}


def heads(
    frames: Iterable[bytes], reason: Reason = Reason.NO_RULE, weight: int = 1, slot: int = 0
) -> HeadArray:
    """One head for each Ethernet frame; the frames are well-formed, or not IP."""
    made = []
    for frame in frames:
        kind, at, vlan = int.from_bytes(frame[12:14], "big"), 14, 4096
        outer = kind
        while kind in _TAGS and len(frame) >= at + 4:
            if vlan == 4096:
                vlan = int.from_bytes(frame[at : at + 2], "big") & 4095
                outer = int.from_bytes(frame[at + 2 : at + 4], "big")
            kind, at = int.from_bytes(frame[at + 2 : at + 4], "big"), at + 4
        head = np.zeros(1, HEAD)
        part = frame[at : at + HEAD_BYTES]
        head["length"], head["weight"], head["slot"] = len(frame), weight, slot
        head["bytes_held"], head["reason"] = len(part), reason
        head["family"], head["vlan"], head["ethertype"] = _FAMILIES.get(kind, 0), vlan, outer
        head["bytes"][0, : len(part)] = np.frombuffer(part, np.uint8)
        made.append(head)
    return np.concatenate([np.empty(0, HEAD), *made])
