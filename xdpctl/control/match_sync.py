# SPDX-License-Identifier: GPL-2.0-or-later
"""Brings the rules on matches in the kernel to the state's, so that no packet sees a mixture."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from xdpctl.abi.arrays import RATE
from xdpctl.abi.constants import Action as WireAction
from xdpctl.abi.constants import Constants, SlotNumber
from xdpctl.abi.constants import Mode as WireMode
from xdpctl.abi.constants import Spare as WireSpare
from xdpctl.abi.sizes import RATE_COST_SHIFT
from xdpctl.abi.structs import Slot
from xdpctl.control import wire
from xdpctl.control.state.state import State
from xdpctl.datapath.image import Plan
from xdpctl.datapath.matches.compile import Tables, compile_tables
from xdpctl.datapath.port import Datapath
from xdpctl.datapath.writes import Word, Zero
from xdpctl.model.effect import CHALLENGES
from xdpctl.model.match.match import Match
from xdpctl.model.rate import Rate
from xdpctl.model.rule import Rule, on_trial

# what tables are compiled from: matches with their slots, and the numbers of modules
_Key = tuple[list[tuple[Match, int]], Mapping[str, int]]
_FREE = Slot(WireAction.NONE).pack()
_NUMBERS = range(SlotNumber.SIGNATURES, SlotNumber.SETS)


@dataclass(frozen=True, slots=True)
class MatchPlan:
    """The differences, in the order in which they are applied.

    Slots and RATE records come first, except slots whose rules block more from now on. Then one
    write switches to the new tables, which puts new rules in force and takes removed ones out. Then
    come the slots that block more, and those that are freed.
    """

    rates: Mapping[int, Any]  # by slot
    first: Mapping[int, bytes]
    tables: Tables | None
    last: Mapping[int, bytes]
    freed: list[int]

    @property
    def empty(self) -> bool:
        return not (self.rates or self.first or self.tables or self.last or self.freed)


class MatchSync:
    """Keeps the kernel's rules on matches as the state has them.

    `execute` applies writes of slots to the kernel and to the image.
    """

    def __init__(self, datapath: Datapath, state: State, execute: Callable[[Plan], None]) -> None:
        self._datapath, self._state, self._execute = datapath, state, execute
        self.paused = False  # after recovery: leave the kernel's rules alone until one is added
        self._rates: dict[int, Any] = {}  # of limits in force, by slot
        self._compiled: tuple[_Key, Tables] | None = None

    def reconcile(self, now_ns: int) -> bool:
        """Bring the kernel's rules to the state's; return whether anything differed."""
        self.paused = self.paused and not self._state.matches
        if self.paused:
            return False
        live = [rule for rule in self._state.matches.values() if not rule.expired(now_ns)]
        challenges = [wire.action_of(rule) for rule in live if rule.action in CHALLENGES]
        self._datapath.matches.challenge(challenges)
        plan = self._difference(live)
        self._apply(plan)
        return not plan.empty

    def agrees(self) -> bool:
        """Whether the kernel still has the rates and tables that were last put in force."""
        if self.paused:
            return True
        table = self._datapath.matches
        return not table.unpaced(self._rates) and (
            self._compiled is None
            or (table.holds(self._compiled[1]) and self._compiled[0][1] == self._datapath.modules())
        )

    def _difference(self, live: list[Rule]) -> MatchPlan:
        table, current = self._datapath.matches, self._state.image.slots
        self._rates = {rule.slot: rate_record(rule.limit) for rule in live if rule.limit}
        tables = self._compile(ordered(live))
        switched = not table.holds(tables)
        wanted = {rule.slot: word_of(rule) for rule in live}
        changed = {n: word for n, word in sorted(wanted.items()) if word != current[n]}
        last = {n for n, word in changed.items() if switched and stronger(word, current[n])}
        return MatchPlan(
            rates={n: self._rates[n] for n in table.unpaced(self._rates)},
            first={n: word for n, word in changed.items() if n not in last},
            tables=tables if switched else None,
            last={n: word for n, word in changed.items() if n in last},
            freed=[n for n in _NUMBERS if n not in wanted and current[n] != _FREE],
        )

    def _apply(self, plan: MatchPlan) -> None:
        table, current = self._datapath.matches, self._state.image.slots
        if plan.tables:
            table.wait_for_packets()  # until no packet uses the generation to overwrite
        for slot, rate in plan.rates.items():
            table.put_rate(slot, rate, in_use=current[slot] != _FREE)
        self._write(plan.first)
        if plan.tables:
            table.install(plan.tables)
        if plan.tables and (plan.last or plan.freed):
            table.wait_for_packets()  # after this, no packet uses the old order
        self._write(plan.last)
        self._write(dict.fromkeys(plan.freed, _FREE))

    def _compile(self, wanted: list[Rule]) -> Tables:
        """The compiled tables; compiled again only if a match, slot, module or order changed."""
        key = [(rule.match, rule.slot) for rule in wanted], self._datapath.modules()
        if self._compiled is None or self._compiled[0] != key:
            self._compiled = key, compile_tables(*key)
        return self._compiled[1]

    def _write(self, words: Mapping[int, bytes]) -> None:
        before = self._state.image.slots
        fresh = [Zero(slot) for slot, word in words.items() if before[slot] == _FREE != word]
        writes = [Word(slot, word) for slot, word in words.items()]
        if writes:
            self._execute(Plan(writes=(*fresh, *writes), slots=dict(words)))


def ordered(rules: Iterable[Rule]) -> list[Rule]:
    """The rules in the order in which a packet is compared with them."""
    return sorted(rules, key=lambda rule: rule.order)


def stronger(word: bytes, before: bytes) -> bool:
    """Whether the new slot value of an existing rule blocks more than the one before.

    Then the value is written after the new order is installed, else before it: so no packet is
    blocked in between that would be blocked neither before nor after the change.
    """
    new, old = Slot.unpack(word), Slot.unpack(before)
    if old.action is WireAction.NONE:
        return False
    enforced = new.mode is WireMode.ENFORCE
    return enforced and (old.mode is WireMode.MONITOR or new.spare < old.spare)


def word_of(rule: Rule) -> bytes:
    """The value of the slot of a rule on a match, as the kernel reads it."""
    spare = wire.spares(rule.spare, rule.action)
    mode, ends = wire.MODES[rule.mode], rule.kernel_expires_ns
    if on_trial(rule):
        spare = WireSpare.TRIAL
    return Slot(wire.action_of(rule), mode, ends, spare).pack()


@lru_cache(2 * Constants.SIGNATURES_MAX)
def rate_record(limit: Rate) -> Any:
    """A limit as a record of the kernel's rate table (dtype RATE)."""
    a_second = 1e9 * (1 << RATE_COST_SHIFT)
    cost = a_second / limit.pps if limit.pps else a_second * 8 / limit.bps
    record = np.zeros(1, RATE)[0]
    record["cost"] = round(cost)
    record["burst_ns"] = round(limit.burst * 1e9)
    record["by_bytes"] = limit.bps > 0
    record["final"] = limit.final
    record["by_address"] = not limit.shared
    record["source4"] = _mask(limit.per_ipv4, 32)
    record["destination4"] = _mask(limit.to_ipv4, 32)
    record["source6"] = _mask(limit.per_ipv6, 64)
    record["destination6"] = divmod(_mask(limit.to_ipv6, 128), 1 << 64)
    return record


def _mask(length: int, bits: int) -> int:
    return (1 << bits) - (1 << (bits - length))
