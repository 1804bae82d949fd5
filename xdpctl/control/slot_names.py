# SPDX-License-Identifier: GPL-2.0-or-later
"""Which rule or set a slot belongs to."""

from functools import lru_cache

from xdpctl.control.state.state import State
from xdpctl.datapath.image import is_shared
from xdpctl.model.rule import Rule

_REMEMBERED = 4096


class SlotNames:
    """The names of slots, each looked up once; use it for one answer, because rules change."""

    def __init__(self, state: State) -> None:
        self._state = state
        self.name = lru_cache(_REMEMBERED)(self._name)

    def _name(self, slot: int) -> str | None:
        """A rule's source or id, a set's name, or `protected`; None if the slot has no owner."""
        held = self._state.match_of(slot) or self._state.set_of(slot)
        if held:
            return held.id if isinstance(held, Rule) else held.name
        if is_shared(slot):
            return "protected"
        entries = list(self._state.image.entries.items())
        return next((str(prefix) for prefix, number in entries if number == slot), None)
