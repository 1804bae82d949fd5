# SPDX-License-Identifier: GPL-2.0-or-later
"""Brings the signatures in the kernel to the state's, so that no packet sees a mixture.

Slots that no table refers to yet are written first. Then one write switches all tables over, which
puts the new signatures in force and takes the removed ones out. Then the slots of the removed
ones are emptied.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from xdpctl.abi.arrays import RATE
from xdpctl.abi.constants import RATE_COST_SHIFT, SlotNumber
from xdpctl.abi.constants import Action as WireAction
from xdpctl.abi.constants import Mode as WireMode
from xdpctl.abi.constants import Spare as WireSpare
from xdpctl.abi.structs import Slot
from xdpctl.control import wire
from xdpctl.control.state.state import State
from xdpctl.datapath.image import Plan
from xdpctl.datapath.port import Datapath
from xdpctl.datapath.signatures.compile import Tables, compile_tables
from xdpctl.datapath.writes import Word, Zero
from xdpctl.model.effect import CHALLENGES
from xdpctl.model.match.match import Match
from xdpctl.model.rate import Rate
from xdpctl.model.rule import Rule, on_trial

_FREE = Slot(WireAction.NONE).pack()
_NUMBERS = range(SlotNumber.SIGNATURES, SlotNumber.SETS)


class SignatureSync:
    """Synchronises the signatures; `execute` applies a plan to the kernel and to the image."""

    def __init__(self, datapath: Datapath, state: State, execute: Callable[[Plan], None]) -> None:
        self._datapath = datapath
        self._state = state
        self._execute = execute
        self.paused = (
            False  # after recovery: leave the kernel's signatures alone until one is added
        )
        self._paced: dict[int, Any] = {}
        self._compiled: tuple[list[tuple[Match, int]], Tables] | None = None

    def reconcile(self, now_ns: int) -> bool:
        """Bring the kernel's signatures to the state's; return whether anything differed."""
        self.paused = self.paused and not self._state.matches
        if self.paused:
            return False
        table, current = self._datapath.signatures, self._state.image.slots
        live = {s.slot: s for s in self._state.matches.values() if not s.expired(now_ns)}
        words = {slot: word_of(signature) for slot, signature in live.items()}
        tables = self._compile(ordered(live.values()))
        changed = {slot for slot in _NUMBERS if words.get(slot, _FREE) != current[slot]}
        self._paced = {s.slot: rate_record(s.limit) for s in live.values() if s.limit}
        repaced = [slot for slot, rate in self._paced.items() if not table.paces(slot, rate)]
        rearm = not table.holds(tables)
        last = [s for s in changed & words.keys() if rearm and stronger(words[s], current[s])]
        table.challenge(wire.ACTIONS[s.action] for s in live.values() if s.action in CHALLENGES)
        if rearm:
            table.wait_for_packets()
        for slot in repaced:
            table.put_rate(slot, self._paced[slot], current[slot] != _FREE)
        self._write({slot: words[slot] for slot in sorted(changed & words.keys() - {*last})})
        gone = sorted(changed - words.keys())
        if rearm:
            table.install(tables)
        if rearm and (last or gone):
            table.wait_for_packets()  # after this, no packet uses the old order
        self._write({slot: words[slot] for slot in last})
        self._write(dict.fromkeys(gone, _FREE))
        return bool(changed or repaced or rearm)

    def agrees(self) -> bool:
        """Whether the kernel still has the rates and tables that were last put in force."""
        if self.paused:
            return True
        table = self._datapath.signatures
        paced = all(table.paces(slot, rate) for slot, rate in self._paced.items())
        return paced and (self._compiled is None or table.holds(self._compiled[1]))

    def _compile(self, wanted: list[Rule]) -> Tables:
        """The compiled tables; compiled again only if a match, its slot or the order changed."""
        key = [(signature.match, signature.slot) for signature in wanted]
        if self._compiled is None or self._compiled[0] != key:
            self._compiled = key, compile_tables(key)
        return self._compiled[1]

    def _write(self, words: Mapping[int, bytes]) -> None:
        before = self._state.image.slots
        fresh = [Zero(slot) for slot, word in words.items() if before[slot] == _FREE != word]
        writes = [Word(slot, word) for slot, word in words.items()]
        if writes:
            self._execute(Plan(writes=(*fresh, *writes), slots=dict(words)))


def ordered(signatures: Iterable[Rule]) -> list[Rule]:
    """The signatures in the order in which a packet is compared with them."""
    return sorted(signatures, key=lambda signature: signature.order)


def stronger(word: bytes, before: bytes) -> bool:
    """Whether the new slot value of an existing signature blocks more than the one before.

    Then the value is written after the new order is installed, else before it: so no packet is
    blocked in between that would be blocked neither before nor after the change.
    """
    new, old = Slot.unpack(word), Slot.unpack(before)
    if old.action is WireAction.NONE:
        return False
    enforced = new.mode is WireMode.ENFORCE
    return enforced and (old.mode is WireMode.MONITOR or new.spare < old.spare)


def word_of(signature: Rule) -> bytes:
    """The value of a signature's slot, as the kernel reads it."""
    action, spare = signature.action, wire.spares(signature.spare, signature.action)
    mode, ends = wire.MODES[signature.mode], signature.kernel_expires_ns
    if on_trial(signature):
        spare = WireSpare.TRIAL
    return Slot(wire.ACTIONS[action], mode, ends, spare).pack()


def rate_record(limit: Rate) -> Any:
    """A limit as a record of the kernel's rate table (dtype RATE)."""
    a_second = 1e9 * (1 << RATE_COST_SHIFT)
    cost = a_second / limit.pps if limit.pps else a_second * 8 / limit.bps
    record = np.zeros(1, RATE)[0]
    record["cost"] = round(cost)
    record["burst_ns"] = round(limit.burst * 1e9)
    record["by_bytes"] = limit.bps > 0
    record["by_address"] = limit.per != "all"
    record["source4"] = _mask(limit.per_ipv4, 32)
    record["destination4"] = _mask(limit.to_ipv4, 32)
    record["source6"] = _mask(limit.per_ipv6, 64)
    record["destination6"] = divmod(_mask(limit.to_ipv6, 128), 1 << 64)
    return record


def _mask(length: int, bits: int) -> int:
    return (1 << bits) - (1 << (bits - length))
