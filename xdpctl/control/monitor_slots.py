# SPDX-License-Identifier: GPL-2.0-or-later
"""Selects the rules that the kernel keeps statistics of: those in monitor mode, up to a maximum."""

import logging
from collections.abc import Iterator
from itertools import islice

from xdpctl.abi.constants import SlotNumber
from xdpctl.abi.sizes import STATISTICS_MAX
from xdpctl.control.state.state import State
from xdpctl.datapath.port import Datapath
from xdpctl.errors import DatapathError
from xdpctl.model.effect import Mode

log = logging.getLogger("xdpctl.controller")


class MonitorSlots:
    """Begins and ends statistics; an earlier process's go on if the slot still monitors."""

    def __init__(self, datapath: Datapath, state: State) -> None:
        self._datapath = datapath
        self._state = state
        self._held: dict[int, str] | None = None

    def bring(self) -> None:
        """Keep statistics of exactly what is in monitor mode now; a failure is only logged."""
        try:
            self._bring(dict(islice(self._wanted(), STATISTICS_MAX)))
        except DatapathError as error:
            self._held = None
            log.error("cannot keep statistics of rules in monitor mode: %s", error)

    def _bring(self, wanted: dict[int, str]) -> None:
        if self._held == wanted:
            return
        if self._held is None:
            self._held = {slot: wanted.get(slot, "") for slot in self._datapath.monitored()}
        for slot in self._held.keys() - wanted.keys():
            self._datapath.end_statistics(slot)
        for slot, owner in wanted.items():
            if self._held.get(slot) != owner:
                self._datapath.begin_statistics(slot)
        self._held = wanted

    def _wanted(self) -> Iterator[tuple[int, str]]:
        """Slots in monitor mode with their owners: matches, sets, then sources, oldest first."""
        state = self._state
        rules = (s for s in state.matches.values() if s.mode is Mode.MONITOR)
        yield from ((rule.slot, rule.id) for rule in rules)
        sets = (s for s in state.sets.values() if s.mode is Mode.MONITOR and not s.out)
        yield from ((source_set.slot, source_set.name) for source_set in sets)
        for source in state.monitored:
            slot = state.image.entries.get(source, SlotNumber.NONE)
            if slot >= SlotNumber.FIRST:
                yield slot, str(source)
