# SPDX-License-Identifier: GPL-2.0-or-later
"""Ends on a draft what this node has tried alone: publishes it for all nodes, or takes it back."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec

from xdpctl.abi.structs import Hits
from xdpctl.control.operations.undo import as_left
from xdpctl.control.state import changes
from xdpctl.control.state.changes import Part
from xdpctl.control.state.draft import Draft
from xdpctl.errors import NotFoundError, RuleError, XdpctlError
from xdpctl.fleet.intent import POLICY
from xdpctl.mitigation.undo import undo_change
from xdpctl.model.identity import Caller, Role
from xdpctl.model.rule import OPERATOR, Rule
from xdpctl.model.shared import Outcome, Rollout, Shared, Unsent

_BY_HAND = "change the records of this node by hand"
_CHANGED = "it was changed or ended meanwhile"


class Done(NamedTuple):
    """How a rollout ended, and why."""

    outcome: Outcome
    why: str


def went_on(shared: Shared | None, rollout: Rollout, key: str) -> bool:
    """Whether the fleet has another intent of a key than when the rollout began."""
    return shared is not None and shared.revision > rollout.keys[key]


def publish(
    draft: Draft,
    number: str,
    rollout: Rollout,
    *,
    stored: Sequence[bytes],
    hits: Callable[[Rule], Hits],
    by: str,
    why: str,
) -> Done:
    """Publish the records that are as the change left them, unless the fleet has gone on.

    If none is, it is taken back.
    """
    if not rollout.keys:
        return Done(Outcome.PUBLISHED, why)
    if rollout.policy is not None:
        if went_on(draft.shared.get(POLICY), rollout, POLICY):
            return Done(Outcome.BACK, "another policy was set meanwhile")
        data = msgspec.json.encode(rollout.policy) if rollout.policy else b""
        _state(draft, POLICY, rollout, not rollout.policy, data, 0)
        return Done(Outcome.PUBLISHED, why)
    left, touched = 0, _by_key(draft, number, stored)
    for key in rollout.keys:
        parts = touched.get(key, [])
        same = bool(parts) and all(as_left(draft, part) for part in parts)
        if not same or went_on(draft.shared.get(key), rollout, key):
            left += 1
            continue
        removed = any(part.after is None and part.kind.field != "entries" for part in parts)
        _state(draft, key, rollout, removed, b"", int(number))
    if left == len(rollout.keys):
        return take_back(draft, number, rollout, stored=stored, hits=hits, by=by, why=_CHANGED)
    more = f"; {left:,} of its records were changed since, and stay here" if left else ""
    return Done(Outcome.PUBLISHED, why + more)


def take_back(
    draft: Draft,
    number: str,
    rollout: Rollout,
    *,
    stored: Sequence[bytes] | None,
    hits: Callable[[Rule], Hits],
    by: str,
    why: str,
) -> Done:
    """Put back the records that are as the change left them; RuleError if they are not known.

    What the fleet has by now, and this node applies, stays: somebody has asked for it since. With
    `stored` None nothing is put back, since the history has forgotten the change.
    """
    if rollout.keys and rollout.policy is None and stored is not None:
        who = Caller(by, Role.OPERATOR, OPERATOR)
        try:
            undone = undo_change(draft, int(number), stored, who, hits, _stays(draft, rollout))
        except NotFoundError as error:
            raise RuleError(str(error), "number", _BY_HAND) from error
        if undone.kept:
            why += f"; not put back: {undone.kept:,}, such as {': '.join(undone.reasons[0])}"
    return Done(Outcome.BACK, why)


def _stays(draft: Draft, rollout: Rollout) -> frozenset[str]:
    """The keys of what is the fleet's by now, and in force here."""
    shared = {key: draft.shared.get(key) for key in rollout.keys}
    return frozenset(
        key
        for key, each in shared.items()
        if each and each.stands and not each.refused and went_on(each, rollout, key)
    )


def _by_key(draft: Draft, number: str, stored: Sequence[bytes]) -> dict[str, list[Part]]:
    """The parts of the change, by the keys of the intents; RuleError."""
    found: dict[str, list[Part]] = {}
    try:
        for part in changes.parts(draft, stored):
            key = part.kind.key(part.identity)
            owner = key.replace("entries/", "sets/", 1) if part.kind.field == "entries" else key
            found.setdefault(owner, []).append(part)
    except (ValueError, TypeError, KeyError, XdpctlError) as error:
        raise RuleError(f"change {number} cannot be read: {error}", "number", _BY_HAND) from error
    return found


def _state(
    draft: Draft, key: str, rollout: Rollout, removed: bool, data: bytes, change: int
) -> None:
    shared = draft.shared.get(key)
    base, scope = (shared.revision, shared.scope) if shared else (0, "")
    if shared and not shared.stands:
        scope = ""
    draft.unsent[key] = Unsent(rollout.by, draft.now.unix, base, scope, removed, data, change)
