# SPDX-License-Identifier: GPL-2.0-or-later
"""The heads of packets that the program copies to user space: which ones, and reading them."""

from threading import Lock
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from xdpctl.abi.arrays import HEAD, PACE
from xdpctl.abi.constants import OutClass, Traffic
from xdpctl.abi.sizes import REASONS
from xdpctl.abi.structs import total_hits
from xdpctl.datapath.bpf.maps import Map
from xdpctl.datapath.bpf.ringbuf import Ring

NEVER = 0xFFFFFFFF  # the mask of a reason whose packets are not observed
Masks = NDArray[np.uint32]
HeadArray = NDArray[np.void]
Volumes = NDArray[np.float64]


def no_masks() -> Masks:
    """One mask for each reason, with which no packet is observed."""
    return np.full(REASONS, NEVER, np.uint32)


class OutHeads(Protocol):
    """The heads of packets that go out; only one reader at a time."""

    def observe(self, masks: Masks) -> None:
        """Observe one packet in mask + 1 of each OutClass; a mask is 2^n - 1, or NEVER for none."""
        ...

    def read(self) -> HeadArray:
        """The heads since the last reading, as an array of HEAD."""
        ...

    def lost(self) -> int:
        """How many packets' heads are missing so far because there was no room for them."""
        ...


class Heads(Protocol):
    """The heads of observed packets; only one reader at a time."""

    @property
    def out(self) -> OutHeads:
        """The heads of what goes out."""
        ...

    def observe(self, masks: Masks) -> None:
        """Observe one packet in mask + 1 of each reason; a mask is 2^n - 1, or NEVER for none."""
        ...

    def read(self) -> HeadArray:
        """The heads of what came in since the last reading, as an array of HEAD.

        This call begins a new epoch, also of what goes out.
        """
        ...

    def lost(self) -> int:
        """How many packets' heads are missing so far because there was no room for them."""
        ...

    def volumes(self) -> Volumes:
        """Packets and bytes of each kind so far, estimated from observed packets: two columns."""
        ...


def nothing_out() -> Masks:
    """One mask for each OutClass, with which no packet is observed."""
    return np.full(len(OutClass), NEVER, np.uint32)


def _lost(paces: Map) -> int:
    per_cpu = np.frombuffer(paces.get(bytes(4)) or b"", PACE)
    return int(per_cpu["lost"].sum())


class PinnedOutHeads:
    """The heads of packets that go out, in the pinned ring buffer."""

    def __init__(self, control: np.void, ring: Ring, paces: Map) -> None:
        self._control, self._ring, self._paces = control, ring, paces

    def observe(self, masks: Masks) -> None:
        self._control["observed_out"] = masks

    def read(self) -> HeadArray:
        return self._ring.read_all(HEAD)

    def lost(self) -> int:
        return _lost(self._paces)


class PinnedHeads:
    """The heads in the pinned ring buffer."""

    def __init__(
        self, control: np.void, ring: Ring, paces: Map, volumes: Map, out: OutHeads
    ) -> None:
        self._control, self._ring, self.out = control, ring, out
        self._paces, self._volumes = paces, volumes
        self._standing, self._captured = no_masks(), no_masks()
        self._lock = Lock()

    def observe(self, masks: Masks) -> None:
        with self._lock:
            self._standing = masks
            self._store()

    def capture(self, masks: Masks) -> None:
        """Observe also the packets that captures ask for."""
        with self._lock:
            self._captured = masks
            self._store()

    def _store(self) -> None:
        self._control["observed"] = np.minimum(self._standing, self._captured)

    def read(self) -> HeadArray:
        heads = self._ring.read_all(HEAD)
        self._control["epoch"] += 1
        return heads

    def lost(self) -> int:
        return _lost(self._paces)

    def volumes(self) -> Volumes:
        values = [self._volumes.get(int(kind).to_bytes(4, "little")) or b"" for kind in Traffic]
        hits = [total_hits(per_cpu) for per_cpu in values]
        return np.array([(total.packets, total.bytes) for total in hits], np.float64)
