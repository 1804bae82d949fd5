# SPDX-License-Identifier: GPL-2.0-or-later
"""Packets for the comparison of two filters are made while the controller goes on."""

from xdpctl.abi.constants import SlotNumber
from xdpctl.base.net.prefix import parse_prefix
from xdpctl.control.sample_packets import of_state, slots_of_rules
from xdpctl.control.state.state import State
from xdpctl.datapath.image import Image
from xdpctl.model.protection import Protection

SOURCES = [parse_prefix(f"192.0.2.{number}") for number in range(8)]


def state() -> State:
    made = State(Image(16), {}, {4: 100, 6: 100}, Protection({}))
    slots = range(SlotNumber.FIRST, SlotNumber.FIRST + len(SOURCES))
    made.image.entries.update(zip(SOURCES, slots, strict=True))
    return made


def test_rules_may_end_while_their_packets_are_made() -> None:
    changing = state()
    seen = 0
    for source, slot in slots_of_rules(changing):
        changing.image.entries.pop(SOURCES[seen])
        seen += 1
        assert slot >= SlotNumber.FIRST
        assert source.exact
    assert seen == len(SOURCES)
    assert not changing.image.entries


def test_there_are_packets_of_each_rule_and_of_anybody() -> None:
    frames = list(of_state(state(), []))
    for source in SOURCES:
        assert sum(frame[26:30] == source.address for frame in frames) == 3
    assert len(frames) > 3 * len(SOURCES) + 600
