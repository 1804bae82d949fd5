# SPDX-License-Identifier: GPL-2.0-or-later
"""Takes intents of the fleet over into this node's records, on a draft of its controller.

Every guard of this node applies: what it protects, its capacity, who is logged in. What it refuses
stays as it is here, and is remembered with the reason.
"""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from typing import Any

from msgspec import structs

from xdpctl.abi.structs import Hits
from xdpctl.control.guards import lockout
from xdpctl.control.state.draft import Draft
from xdpctl.errors import XdpctlError
from xdpctl.fleet.agent.handlers import HANDLERS, Stated
from xdpctl.fleet.agent.records import OnlyHere, current
from xdpctl.fleet.intent import (
    Intent,
    Special,
    Unreadable,
    agree,
    in_scope,
    kind_named,
    prevails,
    value_of,
)
from xdpctl.model.rule import Rule
from xdpctl.model.shared import Shared, Unsent
from xdpctl.model.source_set import Entries

_NAMED = 20  # keys that an audit record names
_LEFT_NS = 150_000_000_000  # until a rule ends, before which the engine forgets none that has one


@dataclass(frozen=True, slots=True)
class Incoming:
    """An intent as the engine has it; None: it has none any more.

    `entries` are those of a set. `problem`: why it cannot be read. `node`: whose detector made it;
    "": a person. `created` is the revision at which the key came.
    """

    key: str
    revision: int
    intent: Intent | None
    entries: Entries | None = None
    problem: str = ""
    node: str = ""
    created: int = 0
    again: bool = False  # also what is known already: it was refused
    lost: bool = False  # another engine has it not: it did not run out
    own: bool = False  # what is lost stays this node's own


@dataclass(slots=True)
class Taken:
    """What became of some intents: keys that were applied, and those that were refused, with why.

    `conflicts` has changes of this node that gave way, by the number of the change, and `reached`
    the revision of those that the engine has.
    """

    applied: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    conflicts: dict[int, str] = field(default_factory=dict)
    reached: dict[int, int] = field(default_factory=dict)
    special: list[Incoming] = field(default_factory=list)


@dataclass(slots=True)
class Intake:
    """Takes intents over for the node `name`, a member of `groups`; `hits` are a rule's."""

    name: str
    groups: Collection[str]
    hits: Callable[[Rule], Hits]
    states: bool = True  # whether this node may state intents

    def take(self, draft: Draft, batch: Iterable[Incoming]) -> Taken:
        """Take over each intent that is newer than what is known; the audit log says what."""
        taken = Taken()
        for one in batch:
            known = draft.shared.get(one.key)
            if known and one.revision <= known.revision and not (one.again and known.refused):
                continue
            try:
                if known and self._stands(draft, one, known):
                    self._restate(draft, one, known)
                else:
                    self._one(draft, one, known, taken)
            except XdpctlError as error:  # such as a key that names nothing
                taken.refused[one.key] = str(error)[:300]
        _note(draft, batch, taken)
        return taken

    def _one(self, draft: Draft, one: Incoming, known: Shared | None, taken: Taken) -> None:
        intent, unsent = one.intent, draft.unsent.get(one.key)
        if unsent and intent and intent.node == self.name:
            draft.unsent[one.key] = _confirmed(unsent, intent, one.revision)
            taken.reached[intent.change] = one.revision
            draft.shared[one.key] = _mirrored(one)
            return
        if unsent and not self._yields(draft, one, unsent, taken):
            return
        if intent is None:
            self._vanished(draft, one, known)
            return
        # what was stated here and gives way is the fleet's, too
        ours = unsent is not None or (known is not None and known.stands and not known.local)
        refused, local = one.problem, False
        try:
            if not refused:
                lockout.take(draft, None, self._apply, one, ours, taken)
        except XdpctlError as error:
            refused, local = str(error), isinstance(error, OnlyHere)
        refused = refused[:300]
        if refused and one.again and known and refused == known.refused:
            return
        draft.shared[one.key] = structs.replace(_mirrored(one), refused=refused, local=local)
        if refused:
            taken.refused[one.key] = refused
        else:
            taken.applied.append(one.key)

    def _stands(self, draft: Draft, one: Incoming, known: Shared) -> bool:
        """Whether what this node has is to be stated again, as the engine has an older one.

        What is stated anew here goes before; of what this node has no record, others state it.
        """
        if not self.states or not _older(one, known) or draft.unsent.get(one.key):
            return False
        return not known.stands or current(draft, one.key) is not None

    def _restate(self, draft: Draft, one: Incoming, known: Shared) -> None:
        """State again what this node has, as what the engine has is older: it was restored."""
        gone = not known.stands
        draft.unsent[one.key] = Unsent(
            "fleet", known.at or known.removed_at, one.revision, known.scope, removed=gone
        )
        draft.note("fleet", "fleet.restate", one.key, removed=gone)

    def _yields(self, draft: Draft, one: Incoming, unsent: Unsent, taken: Taken) -> bool:
        """Whether what was stated here gives way to what the engine has; then it is dropped."""
        theirs = None if one.intent is None or one.intent.removed else self._value(draft, one)
        ours = None if unsent.removed else current(draft, one.key)
        if one.intent is None or prevails(ours, theirs):
            draft.unsent[one.key] = structs.replace(unsent, base=one.revision if one.intent else 0)
            if one.intent is not None:
                draft.shared[one.key] = _mirrored(one)
            return False
        draft.unsent[one.key] = None
        if not agree(ours, theirs):
            who = f"{one.intent.by} on {one.intent.node}"
            why = f"{who} stated otherwise of {one.key}, and the engine had that first"
            taken.conflicts[unsent.change] = why
            draft.note(unsent.by, "fleet.conflict", one.key, stands=who, removed=one.intent.removed)
        return True

    def _value(self, draft: Draft, one: Incoming) -> Any:
        if one.intent is None or one.problem or kind_named(one.key)[0] == "sets":
            return None
        try:
            return value_of(one.key, one.intent, draft.now)
        except Unreadable:
            return None

    def _vanished(self, draft: Draft, one: Incoming, known: Shared | None) -> None:
        """The engine has no such intent any more: it ran out, or its removal is forgotten.

        What has no end is stated again: that it is gone is nobody's wish. What has one is, if the
        engine has lost it. After too long an absence it is this node's own: somebody may have
        removed it.
        """
        value = current(draft, one.key)
        lost = known and known.stands and not known.refused and value is not None
        ends = getattr(value, "expires_ns", 0)
        left = not ends or (one.lost and ends > draft.now.ns + _LEFT_NS)
        if known and lost and left and self.states and not one.own:
            draft.unsent[one.key] = Unsent("fleet", known.at or draft.now.unix, 0, known.scope)
        draft.shared[one.key] = None

    def _apply(self, draft: Draft, one: Incoming, ours: bool, taken: Taken) -> None:
        intent, (kind, name) = one.intent, kind_named(one.key)
        assert intent is not None  # noqa: S101  # the caller has looked
        here = in_scope(intent.scope, self.name, self.groups) and not intent.removed
        if kind in tuple(Special):
            if here or (ours and intent.removed):
                taken.special.append(one)
        elif handler := HANDLERS.get(kind):
            handler(draft, Stated(one.key, name, intent, one.entries, here, ours, self.hits))
        else:
            raise Unreadable(f"this version does not know {kind[:40]!r}: it is kept in the engine")


def _older(one: Incoming, known: Shared) -> bool:
    """Whether an older engine came back with what was stated otherwise since.

    The revision of what is known is 0 then, as `following` has forgotten those.
    """
    intent = one.intent
    if known.revision or known.refused or intent is None:
        return False
    if not known.stands:
        return not intent.removed and intent.at <= known.removed_at
    return intent.at < known.at


def _confirmed(unsent: Unsent, intent: Intent, revision: int) -> Unsent | None:
    """What is left to send of what was stated here, when the engine has an intent of this node."""
    if (unsent.at, unsent.change, unsent.removed) == (intent.at, intent.change, intent.removed):
        return None
    return structs.replace(unsent, base=revision)


def _mirrored(one: Incoming) -> Shared:
    intent = one.intent
    if intent is None:
        return Shared(one.revision)
    gone = intent.at if intent.removed else 0.0
    return Shared(one.revision, intent.scope, "", gone, at=intent.at)


def _note(draft: Draft, batch: Iterable[Incoming], taken: Taken) -> None:
    """An audit record of what was taken over: who asked for it, and what was refused."""
    if not taken.applied and not taken.refused:
        return
    who = sorted({f"{i.intent.by} ({i.intent.node})" for i in batch if i.intent})
    refused = [f"{key}: {why}" for key, why in list(taken.refused.items())[:_NAMED]]
    draft.note(
        "fleet",
        "fleet.apply",
        taken.applied[0] if len(taken.applied) == 1 else "",
        intents=len(taken.applied),
        first=taken.applied[:_NAMED],
        by=who[:_NAMED],
        refused=refused,
    )
