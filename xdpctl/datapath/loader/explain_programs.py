# SPDX-License-Identifier: GPL-2.0-or-later
"""The explain programs, which answer what the filter would do; filtering does not need them."""

from contextlib import closing

from xdpctl.datapath.bpf import maps
from xdpctl.datapath.bpf.bpffs import share
from xdpctl.datapath.bpf.pins import Pins
from xdpctl.datapath.loader.filter_program import EXPLAIN, EXPLAIN_STAGES, OUTSIDE
from xdpctl.datapath.loader.layered_programs import LayeredPrograms
from xdpctl.datapath.loader.pinned_maps import PinnedMaps


class ExplainPrograms:
    """Loads and pins the explain program of a side for a group's processes."""

    def __init__(
        self, pins: Pins, pinned: PinnedMaps, programs: LayeredPrograms, group: int
    ) -> None:
        self._pins, self._maps, self._programs, self._group = pins, pinned, programs, group

    def add(self, outside: bool = False) -> None:
        """Load and pin the explain program of a side."""
        pin = self._pins.explain_of(outside)
        program = f"{EXPLAIN}_{OUTSIDE}" if outside else EXPLAIN
        for directory in (self._pins.explain_dir, pin.parent):
            directory.mkdir(exist_ok=True)
            share(directory, self._group, 0o750)
        with closing(self._maps.port(pin.parent, outside)) as port:
            own = {"counters": 0, "port": port.fd}
            staged = self._programs.staged(program, EXPLAIN_STAGES, pin.parent, own)
        fresh = pin.with_name("new")
        fresh.unlink(missing_ok=True)
        maps.pin(staged.program_fd, fresh)
        share(fresh, self._group, 0o660)
        fresh.rename(pin)
        staged.close()
        staged.retire_others()

    def remove(self, outside: bool) -> None:
        """Remove the explain program of a side that no longer has an interface."""
        directory = self._pins.explain_of(outside).parent
        for pin in directory.iterdir() if directory.is_dir() else ():
            pin.unlink()
