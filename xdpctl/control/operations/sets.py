# SPDX-License-Identifier: GPL-2.0-or-later
"""What one may ask of sets: put, change, remove. Each works on a draft, checks everything first,
and stages nothing if it raises.
"""

from dataclasses import dataclass, field
from typing import Any

from xdpctl.abi.structs import SlotNumber
from xdpctl.base.net.prefix_arrays import difference
from xdpctl.control.operations.lockout import refuse_cut
from xdpctl.control.operations.set_shrinkage import refuse_growth, refuse_loss
from xdpctl.control.operations.signature_guard import exposed
from xdpctl.control.state.coverage import deciding
from xdpctl.control.state.draft import Draft
from xdpctl.errors import (
    CapacityError,
    ConflictError,
    LockoutError,
    NotFoundError,
    RoleError,
    StaleError,
)
from xdpctl.model.identity import Caller
from xdpctl.model.rule import OPERATOR, Action, Mode, Spare
from xdpctl.model.source_set import DEFAULT, Entries, FeedSource, Options, SourceSet, count


@dataclass(frozen=True, slots=True, kw_only=True)
class SetRequest:
    """A set as somebody asks for it; `counts` is what reading and screening its list found.

    What is None stays as it stands; a new set drops, is enforced, spares nobody, has no reason.
    """

    name: str
    entries: Entries
    action: Action | None = None
    mode: Mode | None = None
    spare: Spare | None = None
    reason: str | None = None
    feed: FeedSource | None = None
    options: Options = DEFAULT
    force: bool = False
    counts: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Changed:
    """The set that stands now, whether it is new, and what to know about it."""

    set: SourceSet
    created: bool
    warnings: list[str] = field(default_factory=list)


def _allowed(caller: Caller) -> None:
    if caller.origin != OPERATOR:
        raise RoleError(f"sets belong to {OPERATOR}, and {caller.name} acts for {caller.origin}")


def find(draft: Draft, name: str) -> SourceSet:
    """The set of that name, or NotFoundError."""
    held = draft.set_named(name)
    if held is None:
        raise NotFoundError(f"there is no set {name!r}")
    return held


def _fresh(held: SourceSet | None, etag: str | None) -> None:
    if etag is not None and (held is None or etag != held.etag):
        raise StaleError("the set changed since it was read; read it again")


def _slot(draft: Draft, action: Action) -> int:
    """A free slot: of two sets on one prefix the accepting one has the lower number."""
    taken = {held.slot: held for held in (*draft.state.sets.values(), *draft.all_sets())}
    numbers = range(SlotNumber.SETS, SlotNumber.FIRST)
    if len(taken) == len(numbers):
        raise CapacityError(f"there are {len(numbers)} sets, which is all there can be; remove one")
    others = [held for held in taken.values() if held.action is not action]
    if action is Action.ACCEPT:
        end = min(others, key=lambda held: held.slot, default=None)
        ordered = range(SlotNumber.SETS, end.slot if end else SlotNumber.FIRST)
    else:
        end = max(others, key=lambda held: held.slot, default=None)
        ordered = range(SlotNumber.FIRST - 1, end.slot if end else SlotNumber.SETS - 1, -1)
    free = next((number for number in ordered if number not in taken), None)
    if free is None:
        assert end  # noqa: S101  # without one a slot is free
        raise CapacityError(
            f"a set that {action}s has no place left on its side of the set {end.name}, which "
            f"{end.action}s; remove a set that {action}s, or remove {end.name} and put it again"
        )
    return free


def put(draft: Draft, ask: SetRequest, caller: Caller, etag: str | None = None) -> Changed:
    """A new set, or another list for the one of that name."""
    _allowed(caller)
    standing = draft.set_named(ask.name)
    _fresh(standing, etag)
    before = draft.entries_of(ask.name)
    chosen = _chosen(ask, standing)
    refuse_loss(ask.entries, ask.counts, standing, before, ask.force)
    if ask.feed and chosen["action"] is Action.DROP:
        refuse_growth(ask.entries, standing, before, ask.force)
    for family, keys in ask.entries.items():
        draft.check_entries(family, len(keys) - len(before[family]))
    same_slot = standing is not None and standing.action is chosen["action"]
    came = sum(len(difference(keys, before[f])) for f, keys in ask.entries.items())
    gone = sum(len(difference(keys, ask.entries[f])) for f, keys in before.items())
    held = SourceSet(
        name=ask.name,
        slot=standing.slot if standing and same_slot else _slot(draft, chosen["action"]),
        **chosen,
        origin=caller.origin,
        created_at=standing.created_at if standing else draft.created_at,
        changed_at=draft.created_at,
        feed=ask.feed,
        options=ask.options,
        report={**ask.counts, "entries": count(ask.entries), "added": came, "removed": gone},
    )
    _stage(draft, held, ask.entries, caller)
    detail = {"action": held.action.value, "mode": held.mode.value, **held.report}
    draft.note(caller.name, "set.change" if standing else "set.add", held.name, **detail)
    return Changed(held, standing is None, _warnings(standing, held))


def _chosen(ask: SetRequest, standing: SourceSet | None) -> dict[str, Any]:
    """Action, mode, spare and reason: as asked for, else as they stand."""
    action, mode, spare, reason = Action.DROP, Mode.ENFORCE, Spare.NONE, ""
    if standing:
        action, mode, reason = standing.action, standing.mode, standing.reason
        spare = standing.spare
    if standing and ask.action not in (None, action) and not ask.force:
        raise ConflictError(
            f"the set {ask.name} stands and {action}s; it would {ask.action} from now on",
            "action",
            "give force (--force) if it is meant, or take another name",
        )
    action = ask.action or action
    if ask.counts and ("too_wide" in ask.counts) is not (action is Action.DROP):  # screened or not
        raise StaleError("the set's action changed while its list was read; put it again")
    reason = reason if ask.reason is None else ask.reason
    chosen = {"mode": ask.mode or mode, "spare": ask.spare or spare}
    return {"action": action, **chosen, "reason": reason}


def _warnings(before: SourceSet | None, held: SourceSet) -> list[str]:
    """What the author may not have meant to change."""
    if before is None:
        return []
    warnings = []
    if held.action is not before.action:
        warnings.append(f"was {before.action}")
    if held.mode is not before.mode:
        warnings.append(f"was {before.mode}")
    if before.feed and not held.feed:
        warnings.append(f"no longer refreshed from {before.feed.url or before.feed.file}")
    return warnings


def _refuse_cut(before: Draft, after: Draft, caller: Caller) -> None:
    """LockoutError if a change would have its own caller dropped."""
    refuse_cut(before, after, caller, "entries")
    if caller.address is None:
        return
    was, now = deciding(before, caller.address), deciding(after, caller.address)
    signature = exposed(after, caller.address)
    if now is None and was and was.action is Action.ACCEPT and signature:
        raise LockoutError(
            f"without {was}, {signature.match} would cut off your own session",
            "entries",
            f"remove {signature.id} first, or let it spare established connections",
        )


def _stage(draft: Draft, held: SourceSet, entries: Entries | None, caller: Caller) -> None:
    trial = draft.copy()
    trial.put_set(held, entries)
    _refuse_cut(draft, trial, caller)
    draft.put_set(held, entries)


def change(
    draft: Draft, name: str, changes: dict[str, object], caller: Caller, etag: str | None
) -> Changed:
    """Change `mode`, `spare`, `reason` or `feed` of a set, its entries staying as they are."""
    _allowed(caller)
    held = find(draft, name)
    _fresh(held, etag)
    changed = held.replace(**changes)
    _stage(draft, changed, None, caller)
    shown = {k: v for k, v in changes.items() if k != "feed"}
    draft.note(caller.name, "set.change", name, **shown)
    return Changed(changed, False)


def remove(
    draft: Draft, name: str, caller: Caller, etag: str | None, hits: dict[str, int]
) -> SourceSet:
    """Take a set away; `hits` goes into the audit log with it."""
    _allowed(caller)
    held = find(draft, name)
    _fresh(held, etag)
    trial = draft.copy()
    trial.remove_set(name)
    _refuse_cut(draft, trial, caller)
    entries = count(draft.entries_of(name))
    draft.remove_set(name)
    draft.note(caller.name, "set.remove", name, entries=entries, action=held.action.value, **hits)
    return held
