# SPDX-License-Identifier: GPL-2.0-or-later
"""Applies the fleet's intents to this node's records, on a draft of its controller.

Every guard of this node applies: what it protects, its capacity, who is logged in. A refused intent
changes nothing here, and is stored with the reason.
"""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from typing import Any

from msgspec import structs

from xdpctl.abi.structs import Hits
from xdpctl.control.guards import lockout
from xdpctl.control.state.draft import Draft
from xdpctl.control.state.shared import tried
from xdpctl.errors import XdpctlError
from xdpctl.fleet.agent import yielding
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
_LEFT_NS = 150_000_000_000  # a rule that ends later cannot have run out in the engine


@dataclass(frozen=True, slots=True)
class Incoming:
    """A key of the engine and its intent; None if the engine has none any more.

    `entries` are those of a set. `problem`: why the intent cannot be read. `node`: the node whose
    detector made it; "" for a person's. `created` is the revision at which the key was created.
    """

    key: str
    revision: int
    intent: Intent | None
    entries: Entries | None = None
    problem: str = ""
    node: str = ""
    created: int = 0
    again: bool = False  # judge the known intent again, because this node refused it
    lost: bool = False  # a restored or new engine lacks the intent, which did not run out
    own: bool = False  # the record of a lost intent becomes this node's own


@dataclass(slots=True)
class Taken:
    """The result for some intents: keys that were applied, and those refused, with the reasons.

    `conflicts` has the changes of this node that gave way, and why; `reached` has the revision of
    the changes that the engine has. Both are by the number of the change.
    """

    applied: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    conflicts: dict[int, str] = field(default_factory=dict)
    reached: dict[int, int] = field(default_factory=dict)
    special: list[Incoming] = field(default_factory=list)


@dataclass(slots=True)
class Intake:
    """Takes intents over for the node `name`, a member of `groups`; `hits` counts a rule's hits."""

    name: str
    groups: Collection[str]
    hits: Callable[[Rule], Hits]
    states: bool = True  # whether this node may publish intents

    def take(self, draft: Draft, batch: Iterable[Incoming]) -> Taken:
        """Take over each intent that is newer than the known one, and note it in the audit log."""
        taken = Taken()
        for incoming in batch:
            known = draft.shared.get(incoming.key)
            if (
                known
                and incoming.revision <= known.revision
                and not (incoming.again and known.refused)
            ):
                continue
            try:
                if known and self._stands(draft, incoming, known):
                    self._restate(draft, incoming, known)
                else:
                    self._one(draft, incoming, known, taken)
            except XdpctlError as error:  # such as a key that names nothing
                taken.refused[incoming.key] = str(error)[:300]
        _note(draft, batch, taken)
        return taken

    def _one(self, draft: Draft, incoming: Incoming, known: Shared | None, taken: Taken) -> None:
        intent, key, unsent = incoming.intent, incoming.key, draft.unsent.get(incoming.key)
        if unsent and intent and intent.node == self.name:
            draft.unsent[key] = _confirmed(unsent, intent, incoming.revision)
            taken.reached[intent.change] = incoming.revision
            draft.shared[key] = _mirrored(incoming)
            return
        if unsent and not self._yields(draft, incoming, unsent, taken):
            return
        if intent is None:
            self._vanished(draft, incoming, known)
            return
        # the fleet also knows a record that this node published and that gives way
        ours = unsent is not None or (known is not None and known.stands and not known.local)
        refused, local = incoming.problem, False
        try:
            if not refused:
                lockout.take(draft, None, self._apply, incoming, ours, taken)
        except XdpctlError as error:
            refused, local = str(error), isinstance(error, OnlyHere)
        refused = refused[:300]
        if refused and incoming.again and known and refused == known.refused:
            return
        draft.shared[key] = structs.replace(_mirrored(incoming), refused=refused, local=local)
        if refused:
            taken.refused[key] = refused
        else:
            taken.applied.append(key)

    def _stands(self, draft: Draft, incoming: Incoming, known: Shared) -> bool:
        """Whether to publish this node's record again, because a restored engine has an older one.

        An unsent intent of this node goes first. If this node has no record, other nodes publish
        theirs.
        """
        if not self.states or not _older(incoming, known) or draft.unsent.get(incoming.key):
            return False
        if tried(draft, incoming.key):
            return False  # other nodes publish what all had
        return not known.stands or current(draft, incoming.key) is not None

    def _restate(self, draft: Draft, incoming: Incoming, known: Shared) -> None:
        """Publish this node's record again: the engine was restored, and has an older one."""
        removed = not known.stands
        draft.unsent[incoming.key] = Unsent(
            "fleet", known.at or known.removed_at, incoming.revision, known.scope, removed=removed
        )
        draft.note("fleet", "fleet.restate", incoming.key, removed=removed)

    def _yields(self, draft: Draft, incoming: Incoming, unsent: Unsent, taken: Taken) -> bool:
        """Whether the unsent intent gives way to the engine's; if so, it is dropped."""
        intent, key = incoming.intent, incoming.key
        theirs = None if intent is None or intent.removed else self._value(draft, incoming)
        ours = None if unsent.removed else current(draft, key)
        if intent is None or prevails(ours, theirs):
            draft.unsent[key] = structs.replace(unsent, base=incoming.revision if intent else 0)
            if intent is not None:
                draft.shared[key] = _mirrored(incoming)
            return False
        draft.unsent[key] = None
        if not agree(ours, theirs):
            who = f"{intent.by} on {intent.node}"
            why = f"{who} stated {key} differently, and the engine had that first"
            taken.conflicts[unsent.change] = why
            draft.note(unsent.by, "fleet.conflict", key, stands=who, removed=intent.removed)
            yielding.keep(draft, key, unsent, ours, theirs, who)
        return True

    def _value(self, draft: Draft, incoming: Incoming) -> Any:
        if incoming.intent is None or incoming.problem or kind_named(incoming.key)[0] == "sets":
            return None
        try:
            return value_of(incoming.key, incoming.intent, draft.now)
        except Unreadable:
            return None

    def _vanished(self, draft: Draft, incoming: Incoming, known: Shared | None) -> None:
        """Handle an intent that the engine no longer has: it ran out, or its removal is forgotten.

        This node publishes a record without an end again, since nobody asked to remove it. It
        publishes a record with an end again if the engine has lost it. After too long an absence
        the record becomes this node's own: somebody may have removed it meanwhile.
        """
        value = current(draft, incoming.key)
        lost = known and known.stands and not known.refused and value is not None
        ends = getattr(value, "expires_ns", 0)
        lasting = not ends or (incoming.lost and ends > draft.now.ns + _LEFT_NS)
        alone = incoming.own or tried(draft, incoming.key)
        if known and lost and lasting and self.states and not alone:
            draft.unsent[incoming.key] = Unsent("fleet", known.at or draft.now.unix, 0, known.scope)
        draft.shared[incoming.key] = None

    def _apply(self, draft: Draft, incoming: Incoming, ours: bool, taken: Taken) -> None:
        intent, (kind, name) = incoming.intent, kind_named(incoming.key)
        assert intent is not None  # noqa: S101  # the caller has checked
        here = in_scope(intent.scope, self.name, self.groups) and not intent.removed
        if kind in tuple(Special):
            if here or (ours and intent.removed):
                taken.special.append(incoming)
        elif handler := HANDLERS.get(kind):
            key, entries = incoming.key, incoming.entries
            handler(draft, Stated(key, name, intent, entries, here, ours, self.hits))
        else:
            raise Unreadable(f"this version does not know {kind[:40]!r}: it is kept in the engine")


def _older(incoming: Incoming, known: Shared) -> bool:
    """Whether a restored engine has an older intent than the one that this node knows.

    The known revision is 0 then, because the follower has forgotten those of the earlier engine.
    """
    intent = incoming.intent
    if known.revision or known.refused or intent is None:
        return False
    if not known.stands:
        return not intent.removed and intent.at <= known.removed_at
    return intent.at < known.at


def _confirmed(unsent: Unsent, intent: Intent, revision: int) -> Unsent | None:
    """What is still to be sent after the engine has an intent of this node; None for nothing."""
    if (unsent.at, unsent.change, unsent.removed) == (intent.at, intent.change, intent.removed):
        return None
    return structs.replace(unsent, base=revision)


def _mirrored(incoming: Incoming) -> Shared:
    intent = incoming.intent
    if intent is None:
        return Shared(incoming.revision)
    removed_at = intent.at if intent.removed else 0.0
    return Shared(incoming.revision, intent.scope, "", removed_at, at=intent.at)


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
