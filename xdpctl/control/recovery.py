# SPDX-License-Identifier: GPL-2.0-or-later
"""Recovery of a lost store from a kernel that still filters.

Filtering goes on although the file is missing. What the kernel does not hold is lost: the origin
and reason of rules, the names of sets, and the matches of rules, which stay in force.
"""

from dataclasses import dataclass

import numpy as np

from xdpctl.abi.constants import Action as WireAction
from xdpctl.abi.structs import Slot
from xdpctl.base.clock import Now
from xdpctl.base.net.prefix import Prefix
from xdpctl.control.state.draft import Draft
from xdpctl.control.state.state import State
from xdpctl.control.store.records import ENTRIES, SETS
from xdpctl.control.store.rule_records import RULES, key_of
from xdpctl.control.wire import mode_of, spare_of
from xdpctl.datapath.image import Image, is_shared
from xdpctl.errors import RuleError
from xdpctl.model.effect import Action
from xdpctl.model.match.match import Match
from xdpctl.model.rule import Rule
from xdpctl.model.source_set import Entries, SourceSet

TAG = "recovered"
_REASON = "found in the kernel; its record was lost"
_ACTIONS = {WireAction.DROP: Action.DROP, WireAction.ACCEPT: Action.ACCEPT}


@dataclass(frozen=True, slots=True)
class Recovered:
    """How many rules and sets were recovered, and whether the kernel has matches in force."""

    rules: int
    sets: int
    matches: bool

    def __str__(self) -> str:
        more = " Matches stay in force until one is added or removed." if self.matches else ""
        return (
            f"the store was lost: {self.rules} rules and {self.sets} sets were recovered from the "
            f"kernel, under the tag {TAG}.{more} Tokens, incidents and the audit log are gone; "
            "check `xdpctl list`, and restart the control plane when the rules are right"
        )


def lost(image: Image, armed: bool) -> bool:
    """Whether the kernel holds rules or sets, which an empty store would remove."""
    return armed or bool(image.sets) or any(not is_shared(slot) for slot in image.entries.values())


def recover(state: State, now: Now, armed: bool) -> tuple[Draft, Recovered]:
    """A draft that records what the kernel holds, and a summary of it."""
    draft, image = Draft(state, now), state.image
    for prefix, slot in image.entries.items():
        rule = _rule(image, prefix, slot, draft.created_at)
        if rule:
            draft.rules[prefix] = rule
    for number, (slot, keys) in enumerate(sorted(image.sets.items()), 1):
        source_set = _set(image, f"{TAG}-{number}", slot, draft.created_at)
        if source_set:
            draft.sets[source_set.name], draft.entries[source_set.name] = source_set, dict(keys)
    recovered = Recovered(len(draft.rules.staged), len(draft.sets.staged), armed)
    draft.note(
        "xdpctl", "store.lost", "", rules=recovered.rules, sets=recovered.sets, matches=armed
    )
    return draft, recovered


def keep(state: State) -> None:
    """Keep rules and sets that have an unreadable record as they are in the kernel."""
    image = state.image
    for key in state.unreadable:
        kind, _, name = key.partition("/")
        if kind + "/" == RULES:
            _keep_rule(state, key)
        elif kind + "/" == ENTRIES and name in state.sets:
            keys = image.sets.get(state.sets[name].slot)
            if keys is not None:
                state.entries[name] = dict(keys)
        elif kind + "/" == SETS and name in state.entries:
            slot = _slot_of(state, state.entries[name])
            source_set = _set(image, name, slot, 0.0) if slot is not None else None
            if source_set:
                state.sets[name] = source_set


def _keep_rule(state: State, key: str) -> None:
    try:
        source = key_of(key)
    except RuleError:
        return
    if isinstance(source, str):
        return
    slot = state.image.entries.get(source)
    rule = _rule(state.image, source, slot, 0.0) if slot is not None else None
    if rule:
        state.learn(source, rule)


def _slot_of(state: State, entries: Entries) -> int | None:
    """The slot of the set in the kernel that has these entries and no record; None if none has."""
    known = {source_set.slot for source_set in state.sets.values()}
    for slot, keys in state.image.sets.items():
        same = all(np.array_equal(keys[family], entries[family]) for family in entries)
        if slot not in known and same:
            return slot
    return None


def _rule(image: Image, source: Prefix, slot: int, created_at: float) -> Rule | None:
    """The rule in a slot; None for a protected prefix, or a slot without an action."""
    word = Slot.unpack(image.slots[slot])
    if is_shared(slot) or word.action not in _ACTIONS:
        return None
    return Rule(
        match=Match(source),
        action=_ACTIONS[word.action],
        mode=mode_of(word),
        reason=_REASON,
        tags=(TAG,),
        created_at=created_at,
        expires_ns=word.expires_ns,
        spare=spare_of(word),
    )


def _set(image: Image, name: str, slot: int, created_at: float) -> SourceSet | None:
    word = Slot.unpack(image.slots[slot])
    out = word.action is WireAction.OUT
    if word.action not in _ACTIONS and not out:
        return None
    return SourceSet(
        name=name,
        slot=slot,
        action=Action.DROP if out else _ACTIONS[word.action],
        out=out,
        mode=mode_of(word),
        spare=spare_of(word),
        reason=_REASON,
        created_at=created_at,
        changed_at=created_at,
        report={"entries": sum(map(len, image.sets[slot].values()))},
    )
