# SPDX-License-Identifier: GPL-2.0-or-later
"""Compares two filters, also of two versions; bpf/pins.py says what every version relies on."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager

import numpy as np

from xdpctl.abi.arrays import CONTROL
from xdpctl.abi.constants import Filled
from xdpctl.abi.explanation import slot_of, stops
from xdpctl.abi.structs import Hits, total_hits
from xdpctl.datapath.bpf import maps, programs
from xdpctl.datapath.bpf.pins import Pins
from xdpctl.datapath.loader.kept_maps import HITS
from xdpctl.errors import DatapathError


class Judge:
    """Says what a filter does with a frame that arrives on one side, without counting it."""

    def __init__(self, explain_fd: int) -> None:
        self._run = programs.Runner(explain_fd).run

    def stops(self, frame: bytes) -> bool:
        """Whether the frame does not pass."""
        return stops(self._run(frame))

    def slot(self, frame: bytes) -> int:
        """The slot that decides the frame, or SLOT_NONE."""
        return slot_of(self._run(frame))


@contextmanager
def judges(one: Pins, other: Pins) -> Iterator[dict[bool, tuple[Judge, Judge]]]:
    """The judges of two filters, by whether frames arrive on an outside interface.

    A side is missing if one of the filters has no explain program for it. DatapathError if the
    programs cannot be run.
    """
    found = {}
    with ExitStack() as ending:
        for outside in (False, True):
            paths = [pins.explain_of(outside) for pins in (one, other)]
            if not all(path.exists() for path in paths):
                continue
            fds = [maps.open_pin(path) for path in paths]
            for fd in fds:
                ending.callback(os.close, fd)
            found[outside] = (Judge(fds[0]), Judge(fds[1]))
        try:
            yield found
        except OSError as error:
            raise DatapathError(f"an explain program cannot be run: {error.strerror}") from error


class OtherHits:
    """The hits of another filter's slots; none if they do not mean the same there."""

    def __init__(self, pins: Pins) -> None:
        self._map = maps.open_map(pins.map("hits")) if (pins.root / HITS.mark).is_dir() else None

    def close(self) -> None:
        if self._map:
            self._map.close()

    def of(self, slot: int) -> Hits:
        """The packets and bytes of a slot, over all CPUs."""
        if self._map is None or slot >= self._map.shape.max_entries:
            return Hits(0, 0)
        return total_hits(self._map.get(slot.to_bytes(4, "little")) or b"")


def is_taken_unchecked(pins: Pins) -> bool:
    """Whether somebody has decided that a filter of this version takes over as it is."""
    with closing(maps.open_map(pins.map("controls"))) as controls:
        filled = np.frombuffer(controls.memory(), CONTROL)[0]["filled"]
        return bool(filled == Filled.UNCHECKED)


def take_unchecked(pins: Pins) -> None:
    """Let a filter of this version take over, once it is filled, without a comparison."""
    with closing(maps.open_map(pins.map("controls"))) as controls:
        np.frombuffer(controls.memory(), CONTROL)[0]["filled"] = Filled.UNCHECKED
