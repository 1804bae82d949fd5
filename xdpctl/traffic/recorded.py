# SPDX-License-Identifier: GPL-2.0-or-later
"""Heads of recorded frames, as the program would make them of packets that pass. Pure."""

from collections.abc import Iterable

import numpy as np

from xdpctl.abi.arrays import HEAD
from xdpctl.abi.constants import HEAD_BYTES, Reason
from xdpctl.datapath.heads import HeadArray
from xdpctl.traffic.classify import classify
from xdpctl.traffic.packets import read

_TAGS = (0x8100, 0x88A8, 0x9100)
_FAMILIES = {0x0800: 4, 0x86DD: 6}
_NO_VLAN = 4096
_LINK = 14


def heads(
    frames: Iterable[bytes], reason: Reason = Reason.NO_RULE, weight: int = 1, slot: int = 0
) -> HeadArray:
    """One head for each Ethernet frame; the frames are well-formed, or not IP."""
    listed = list(frames)
    made = np.zeros(len(listed), HEAD)
    made["weight"], made["slot"], made["reason"], made["vlan"] = weight, slot, reason, _NO_VLAN
    for head, frame in zip(made, listed, strict=True):
        kind, at = int.from_bytes(frame[12:14], "big"), _LINK
        outer = kind
        while kind in _TAGS and len(frame) >= at + 4:
            if head["vlan"] == _NO_VLAN:
                head["vlan"] = int.from_bytes(frame[at : at + 2], "big") & (_NO_VLAN - 1)
                outer = int.from_bytes(frame[at + 2 : at + 4], "big")
            kind, at = int.from_bytes(frame[at + 2 : at + 4], "big"), at + 4
        part = frame[at : at + HEAD_BYTES]
        head["length"], head["bytes_held"] = len(frame), len(part)
        head["family"], head["ethertype"] = _FAMILIES.get(kind, 0), outer
        head["bytes"][: len(part)] = np.frombuffer(part, np.uint8)
    made["traffic"] = classify(read(made))
    return made
