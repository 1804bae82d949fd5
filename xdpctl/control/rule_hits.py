# SPDX-License-Identifier: GPL-2.0-or-later
"""Reads what rules have hit, or would have hit."""

from collections.abc import Sequence

from xdpctl.abi.constants import SlotNumber
from xdpctl.abi.structs import Hits
from xdpctl.control.state.state import State
from xdpctl.datapath.monitor_statistics import MonitorStatistics
from xdpctl.datapath.port import Datapath
from xdpctl.model.effect import Mode
from xdpctl.model.rule import Rule


def rule_hits(state: State, datapath: Datapath, rules: Sequence[Rule]) -> list[Hits]:
    """The packets and bytes of each rule so far, in that order; none for one without a slot."""
    slots = [slot_of(state, rule) for rule in rules]
    counted = iter(datapath.hits([slot for slot in slots if slot]))
    return [next(counted) if slot else Hits(0, 0) for slot in slots]


def slot_of(state: State, rule: Rule) -> int:
    """The slot that counts the rule's hits; 0 if it has none of its own."""
    source = rule.by_source
    if source is None:
        return rule.slot
    slot = state.image.entries.get(source, SlotNumber.NONE)
    return slot if slot >= SlotNumber.FIRST else 0


def rule_statistics(state: State, datapath: Datapath, rule: Rule) -> MonitorStatistics | None:
    """Statistics of what a rule in monitor mode would have hit; None if none are kept."""
    return datapath.statistics(slot_of(state, rule)) if rule.mode is Mode.MONITOR else None
