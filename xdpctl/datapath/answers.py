# SPDX-License-Identifier: GPL-2.0-or-later
"""How often UDP services inside have answered, as bpf/teach.c counts them at egress."""

import sys
from contextlib import closing

import numpy as np

from xdpctl.abi.arrays import CONTROL
from xdpctl.datapath.bpf import maps
from xdpctl.datapath.bpf.pins import Pins
from xdpctl.model.match.components import UDP

_MASK = (1 << 64) - 1
_TAG_BITS, _COUNT_MASK = 32, (1 << 32) - 1


class Answers:
    """The counts in the pinned map `answers`; none are counted where no interface is outside."""

    def __init__(self, pins: Pins) -> None:
        with (
            closing(maps.open_map(pins.map("controls"))) as controls,
            closing(maps.open_map(pins.map("answers"))) as cells,
        ):
            control = np.frombuffer(controls.memory(), CONTROL)[0]
            self._cells = cells.memory().cast("Q")
        self._seeds = [int(seed) for seed in control["seeds"]]

    def of(self, address: bytes, port: int) -> int:
        """Answers so far from this address (4 or 16 bytes) and port; the count may begin anew.

        Several packets to one client after another are one answer.
        """
        hashed = _flow_hash(self._seeds, address, port)
        cell = self._cells[2 * (hashed & (len(self._cells) // 2 - 1))]
        return cell & _COUNT_MASK if cell >> _TAG_BITS == hashed >> _TAG_BITS | 1 else 0


def _flow_hash(seeds: list[int], inside: bytes, port: int) -> int:
    """flow_hash() of bpf/flows.bpf.h, for a service: nobody is outside."""
    words = [int.from_bytes(inside[at : at + 4], sys.byteorder) for at in range(0, len(inside), 4)]
    x = (words[0] << 32) * seeds[0] & _MASK
    for word, seed in zip(words[1:], (seeds[1], seeds[2], seeds[0]), strict=False):
        x = ((x ^ x >> 32) + (word << 32)) * seed & _MASK
    ports = int.from_bytes(port.to_bytes(2, "big"), sys.byteorder) << 16
    x = ((x ^ x >> 32) + (ports << 16 | UDP)) * seeds[1] & _MASK
    x = (x ^ x >> 29) * seeds[2] & _MASK
    return x ^ x >> 32
