# SPDX-License-Identifier: GPL-2.0-or-later
"""Which rules the kernel keeps statistics of: those in monitor mode, as far as there is room."""

import logging
from collections.abc import Iterator
from itertools import islice

from xdpctl.abi.structs import STATISTICS_MAX, SlotNumber
from xdpctl.control.state.state import State
from xdpctl.datapath.port import Datapath
from xdpctl.errors import DatapathError
from xdpctl.model.rule import Mode

log = logging.getLogger("xdpctl.controller")


class MonitorSlots:
    """Statistics that an earlier process began go on if their slot still monitors."""

    def __init__(self, datapath: Datapath, state: State) -> None:
        self._datapath = datapath
        self._state = state
        self._held: dict[int, str] | None = None

    def bring(self) -> None:
        """Statistics of what is in monitor mode now; a failure here stops no rule."""
        try:
            self._bring(dict(islice(self._wanted(), STATISTICS_MAX)))
        except DatapathError as error:
            self._held = None
            log.error("what monitored rules would hit is not known: %s", error)

    def _bring(self, wanted: dict[int, str]) -> None:
        if self._held == wanted:
            return
        if self._held is None:
            self._held = {slot: wanted.get(slot, "") for slot in self._datapath.monitored()}
        for slot in self._held.keys() - wanted.keys():
            self._datapath.end_statistics(slot)
        for slot, whose in wanted.items():
            if self._held.get(slot) != whose:
                self._datapath.begin_statistics(slot)
        self._held = wanted

    def _wanted(self) -> Iterator[tuple[int, str]]:
        """Slots in monitor mode and whose they are: signatures, sets, then rules as they came."""
        state = self._state
        signatures = (s for s in state.signatures.values() if s.mode is Mode.MONITOR)
        yield from ((held.slot, held.id) for held in signatures)
        sets = (s for s in state.sets.values() if s.mode is Mode.MONITOR)
        yield from ((held.slot, held.name) for held in sets)
        for source in state.monitored:
            slot = state.image.entries.get(source, SlotNumber.NONE)
            if slot >= SlotNumber.FIRST:
                yield slot, str(source)
