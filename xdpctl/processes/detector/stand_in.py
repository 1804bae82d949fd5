# SPDX-License-Identifier: GPL-2.0-or-later
"""Observes in place of the control plane while that starts or restarts.

Usually the control plane selects the packets whose heads are copied, and begins each epoch. While
it is away, nobody empties the ring, so few heads are copied, and fewer when there is less room.
"""

from contextlib import closing

import numpy as np

from xdpctl.abi.arrays import CONTROL
from xdpctl.abi.constants import Reason
from xdpctl.abi.sizes import REASONS
from xdpctl.datapath.bpf import maps
from xdpctl.datapath.bpf.pins import Pins
from xdpctl.datapath.heads import no_masks
from xdpctl.traffic.packets import PacketArray, joined
from xdpctl.traffic.sampler import adapt, masks

_SILENT_SECONDS, _EPOCH_SECONDS = 0.5, 1.0
_AT_FIRST_LOG2 = 6  # one in 64 packets that rules decide: the program does not thin these
_HALF, _LITTLE = 0.5, 0.1  # of the ring is free


class StandIn:
    """Call `step` with what was read; it begins epochs while the control plane begins none."""

    def __init__(self, control: np.void, now: float) -> None:
        self._control = control
        self._epoch, self._moved_at = int(control["epoch"]), now
        self._every_log2 = np.full(REASONS, _AT_FIRST_LOG2)
        self._every_log2[Reason.NO_RULE] = 0
        self._gathered: list[PacketArray] = []
        self._next_at = 0.0
        self.observes = self.blind = False

    @classmethod
    def pinned(cls, pins: Pins, now: float) -> "StandIn":
        """The stand-in that writes to the pinned maps."""
        with closing(maps.open_map(pins.map("controls"))) as controls:
            return cls(np.frombuffer(controls.memory(), CONTROL)[0], now)

    def step(self, now: float, packets: PacketArray, room: float) -> None:
        """Note what was read; begin an epoch if it is time to, and nobody else does.

        `room` is the share of the ring that is free. If little is free, no epoch begins, so the
        program copies no more heads, and the detector is `blind`.
        """
        epoch = int(self._control["epoch"])
        if epoch != self._epoch:
            self._epoch, self._moved_at = epoch, now
            self.observes, self.blind, self._gathered = False, False, []
            return
        if now < self._moved_at + _SILENT_SECONDS:
            return
        self._gathered.append(packets)
        self.blind = self.observes and room < _LITTLE
        if (self.observes and now < self._next_at) or room < _LITTLE:
            return
        if self.observes:
            of_epoch = joined(self._gathered)
            adapted = adapt(self._every_log2, of_epoch)
            rarer = self._every_log2 + 1 if room < _HALF else adapted
            self._every_log2 = np.maximum(adapted, rarer)
        self._control["observed"] = masks(self._every_log2)
        self._epoch = (epoch + 1) & 0xFFFFFFFF
        self._control["epoch"] = self._epoch
        self.observes, self._gathered, self._next_at = True, [], now + _EPOCH_SECONDS

    def stop(self) -> None:
        """Observe no packets any more, unless the control plane observes."""
        if self.observes:
            self._control["observed"] = no_masks()
