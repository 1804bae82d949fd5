# SPDX-License-Identifier: GPL-2.0-or-later
"""Observes for the control plane while that does not: at a start, and while it is restarted.

The control plane says of which packets heads are copied, and begins each epoch. Nobody empties the
ring meanwhile, so the heads are few: it has room for those of more than half a minute.
"""

from contextlib import closing

import numpy as np

from xdpctl.abi.arrays import CONTROL
from xdpctl.abi.constants import REASONS
from xdpctl.datapath.bpf import maps
from xdpctl.datapath.bpf.pins import Pins
from xdpctl.traffic.packets import PACKET, PacketArray
from xdpctl.traffic.sampler import adapt, masks

_SILENT_SECONDS, _EPOCH_SECONDS = 0.5, 1.0


class StandIn:
    """Call `step` with what was read; it observes if the control plane has not begun an epoch."""

    def __init__(self, control: np.void, now: float) -> None:
        self._control = control
        self._epoch, self._moved_at = int(control["epoch"]), now
        self._every_log2 = np.zeros(REASONS, np.int64)
        self._gathered: list[PacketArray] = []
        self._next_at = 0.0
        self.observes = False

    @classmethod
    def pinned(cls, pins: Pins, now: float) -> "StandIn":
        """That of the pinned maps."""
        with closing(maps.open_map(pins.map("controls"))) as controls:
            return cls(np.frombuffer(controls.memory(), CONTROL)[0], now)

    def step(self, now: float, packets: PacketArray) -> None:
        """Note what was read; begin an epoch if it is time to, and nobody else does."""
        epoch = int(self._control["epoch"])
        if epoch != self._epoch:
            self._epoch, self._moved_at = epoch, now
            self.observes, self._gathered = False, []
            return
        if now < self._moved_at + _SILENT_SECONDS:
            return
        self._gathered.append(packets)
        if self.observes and now < self._next_at:
            return
        if self.observes:
            of_epoch = np.concatenate([np.empty(0, PACKET), *self._gathered])
            self._every_log2 = adapt(self._every_log2, of_epoch)
        self._control["observed"] = masks(self._every_log2)
        self._epoch = (epoch + 1) & 0xFFFFFFFF
        self._control["epoch"] = self._epoch
        self.observes, self._gathered, self._next_at = True, [], now + _EPOCH_SECONDS
