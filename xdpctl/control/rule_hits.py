# SPDX-License-Identifier: GPL-2.0-or-later
"""Reads what rules have hit, or would have hit, and which rule or set a slot belongs to."""

from collections.abc import Sequence
from functools import lru_cache

from xdpctl.abi.constants import SlotNumber
from xdpctl.abi.structs import Hits
from xdpctl.control.state.state import State
from xdpctl.datapath.image import is_shared
from xdpctl.datapath.monitor_statistics import MonitorStatistics
from xdpctl.datapath.port import Datapath
from xdpctl.model.effect import Mode
from xdpctl.model.rule import Rule

_REMEMBERED = 4096


def rule_hits(state: State, datapath: Datapath, rules: Sequence[Rule]) -> list[Hits]:
    """The packets and bytes of each rule so far, in that order; none for one without a slot."""
    slots = [slot_of(state, rule) for rule in rules]
    counted = iter(datapath.hits([slot for slot in slots if slot]))
    return [next(counted) if slot else Hits(0, 0) for slot in slots]


def slot_of(state: State, rule: Rule) -> int:
    """The slot that counts the rule's hits; 0 if the rule has no slot of its own."""
    source = rule.by_source
    if source is None:
        return rule.slot
    slot = state.image.entries.get(source, SlotNumber.NONE)
    return slot if slot >= SlotNumber.FIRST else 0


def rule_statistics(state: State, datapath: Datapath, rule: Rule) -> MonitorStatistics | None:
    """Statistics of what a rule in monitor mode would have hit; None if none are kept."""
    return datapath.statistics(slot_of(state, rule)) if rule.mode is Mode.MONITOR else None


class SlotNames:
    """The names of slots, each looked up once; use it for one answer, because rules change."""

    def __init__(self, state: State) -> None:
        self._state = state
        self.name = lru_cache(_REMEMBERED)(self._name)

    def _name(self, slot: int) -> str | None:
        """A rule's source or id, a set's name, or `protected`; None if the slot has no owner."""
        owner = self._state.match_of(slot) or self._state.set_of(slot)
        if owner:
            return owner.id if isinstance(owner, Rule) else owner.name
        if is_shared(slot):
            return "protected"
        entries = list(self._state.image.entries.items())
        return next((str(prefix) for prefix, number in entries if number == slot), None)
