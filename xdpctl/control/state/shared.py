# SPDX-License-Identifier: GPL-2.0-or-later
"""Notes which records of a change are intents for the whole fleet.

Like the history, it looks at what the branch of an operation stages, so no operation has to know of
it. The note is written in the same transaction as the change, and an agent sends it on.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from xdpctl.base.clock import Now
from xdpctl.control.state.changes import touched
from xdpctl.control.state.draft import Draft
from xdpctl.control.store.kinds import KINDS
from xdpctl.errors import RuleError
from xdpctl.model.rule import OPERATOR, Rule, automatic
from xdpctl.model.shared import Canary, Outcome, Rollout, Unsent
from xdpctl.model.source_set import SourceSet

_FIELDS = ("rules", "sets", "entries", "tokens", "settings")
KINDS_SHARED = tuple(kind for kind in KINDS if kind.field in _FIELDS)
_BY_FIELD = {kind.field: kind for kind in KINDS_SHARED}
_SETS = _BY_FIELD["sets"]
_TRIED_MOST = 1_000  # records of a change that is tried first


@dataclass(slots=True)
class Sharing:
    """The callbacks by which a controller informs the agent of its fleet.

    `stated` is called when there may be something to send. `detected` is called with the key of
    each automatic rule that was added, changed or removed, and with whether it ended. Both are
    called once the state has the change, since the agent reads it there. `covers` says whether a
    scope has this node, and `content` encodes a record for others. All are called in the
    controller's thread. `states` is false if everything except detectors' rules stays on this node.
    """

    stated: Callable[[], None] = lambda: None
    detected: Callable[[str, bool], None] = lambda key, ended: None
    covers: Callable[[str], bool] = lambda scope: True
    content: Callable[[str, Any, Now], bytes] = lambda field, value, now: b""
    states: bool = True


@dataclass(frozen=True, slots=True)
class Statement:
    """How a change is to be shared: its scope ("": all nodes), and its number in the history.

    With `person`, somebody asked for it, and may also end detectors' rules in the whole fleet.
    """

    scope: str = ""
    change: int = 0
    person: bool = False


def note(draft: Draft, statement: Statement, by: str, sharing: Sharing) -> None:
    """Stage an `Unsent` for each record that a branch changes and that other nodes should have."""
    for kind in KINDS_SHARED:
        for identity, earlier, value in touched(draft, kind):
            owner = _SETS if kind.field == "entries" else kind
            _note(draft, owner.key(identity), earlier, value, statement, by, sharing)
    _wake(draft, sharing)


def _note(
    draft: Draft,
    key: str,
    earlier: Any,
    value: Any,
    statement: Statement,
    by: str,
    sharing: Sharing,
) -> None:
    if _is_automatic(earlier) or _is_automatic(value):
        draft.afterwards.append(partial(sharing.detected, key, not _is_automatic(value)))
    if not sharing.states or (not statement.person and tried(draft, key)):
        return
    removed = value is None
    if isinstance(value, Rule | SourceSet) and value.origin != OPERATOR:
        return
    if removed and _is_automatic(earlier) and not statement.person:
        return
    if (
        removed
        and isinstance(earlier, Rule)
        and earlier.origin != OPERATOR
        and not automatic(earlier)
    ):
        return
    shared, unsent = draft.shared.get(key), draft.unsent.get(key)
    known = bool(unsent) or (shared is not None and shared.stands)
    own = earlier is not None and not known and not _is_automatic(earlier)
    if own and not tried(draft, key):
        return  # a record that only this node has is not shared
    base = unsent.base if unsent else shared.revision if shared else 0
    scope = statement.scope or (unsent.scope if unsent else shared.scope if shared else "")
    draft.unsent[key] = Unsent(by, draft.now.unix, base, scope, removed, b"", statement.change)


def tried_now(rollout: Rollout) -> bool:
    """Whether this node still tries it, or it waits for a person."""
    return rollout.outcome in (None, Outcome.HELD)


def tried(draft: Draft, key: str) -> bool:
    """Whether this node tries a change of an intent's record, so that nobody else may have it."""
    every = draft.state.rollouts
    return bool(every) and any(key in each.keys for each in every.values() if tried_now(each))


def note_rollout(draft: Draft, canary: Canary, change: int, by: str) -> None:
    """Stage a `Rollout` of what a branch changes: this node tries it, before all have it.

    RuleError for what cannot be tried, or taken back.
    """
    known = draft.rollouts.get(str(change))
    keys = dict(known.keys) if known else {}
    for kind in KINDS_SHARED:
        for identity, _, value in touched(draft, kind):
            owner = _SETS if kind.field == "entries" else kind
            if kind.field == "tokens" or not change:
                raise RuleError("this cannot be tried on one node first", "scope", "leave it out")
            key = owner.key(identity)
            _check_tried(draft, key, value, canary)
            standing = draft.shared.get(key)
            keys.setdefault(key, standing.revision if standing else 0)
    if len(keys) > _TRIED_MOST:
        raise RuleError(
            f"at most {_TRIED_MOST:,} rules can be tried on one node first", "scope", "use a set"
        )
    if keys:
        at = draft.now.unix
        draft.rollouts[str(change)] = Rollout(by, at, at + canary.seconds, keys)


def _check_tried(draft: Draft, key: str, value: Any, canary: Canary) -> None:
    """RuleError if nobody could say afterwards what all nodes are to have."""
    if tried(draft, key):
        fix = "wait until it has ended: xdpctl fleet status"
        raise RuleError(f"another change of {key} is tried here already", "scope", fix)
    if draft.unsent.get(key) is not None:
        fix = "try it again when the engine has it: xdpctl fleet status"
        raise RuleError(f"an earlier change of {key} waits to be sent", "scope", fix)
    ends_ns = getattr(value, "expires_ns", 0)
    if ends_ns and (ends_ns - draft.now.ns) / 1e9 < canary.seconds:
        raise RuleError("the rule would end before it was tried", "ttl", "give a longer one")


def note_elsewhere(
    draft: Draft, elsewhere: Draft, statement: Statement, by: str, sharing: Sharing
) -> None:
    """Stage an `Unsent` for each rule that the branch `elsewhere` changes on other nodes only."""
    for kind in KINDS_SHARED:
        for identity, _, value in touched(elsewhere, kind):
            if kind.field != "rules":
                raise RuleError(
                    f"{kind.field} cannot be stated for other nodes only",
                    "scope",
                    "state it on one of these nodes (--node NAME), or for all",
                )
            key, removed = kind.key(identity), value is None
            shared, unsent = draft.shared.get(key), draft.unsent.get(key)
            base = unsent.base if unsent else shared.revision if shared else 0
            data = b"" if removed else sharing.content(kind.field, value, draft.now)
            at, scope, change = draft.now.unix, statement.scope, statement.change
            draft.unsent[key] = Unsent(by, at, base, scope, removed, data, change)
    _wake(draft, sharing)


def _wake(draft: Draft, sharing: Sharing) -> None:
    if draft.unsent.staged:
        draft.afterwards.append(sharing.stated)


def _is_automatic(value: Any) -> bool:
    return isinstance(value, Rule) and automatic(value)
