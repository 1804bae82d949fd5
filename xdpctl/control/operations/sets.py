# SPDX-License-Identifier: GPL-2.0-or-later
"""Operations on sets: put, change, remove.

Each works on a draft, checks everything first, and stages nothing if it raises.
"""

from dataclasses import dataclass, field
from typing import Any

from xdpctl.abi.constants import SlotNumber
from xdpctl.base.net.prefix_arrays import difference
from xdpctl.control.operations.set_shrinkage import refuse_growth, refuse_loss
from xdpctl.control.state.draft import Draft
from xdpctl.errors import (
    CapacityError,
    ConflictError,
    NotFoundError,
    RoleError,
    StaleError,
)
from xdpctl.model.effect import Action, Mode, Spare
from xdpctl.model.identity import Caller
from xdpctl.model.rule import OPERATOR
from xdpctl.model.source_set import DEFAULT, Entries, FeedSource, Options, SourceSet, count


@dataclass(frozen=True, slots=True, kw_only=True)
class SetRequest:
    """A request to put a set; `counts` has the numbers from reading and screening its list.

    A field that is None keeps the set's current value. By default, a new set drops what comes in,
    is enforced, has no reason and spares nobody. A feed that drops spares known flows, since nobody
    reviews its next list.
    """

    name: str
    entries: Entries
    action: Action | None = None
    mode: Mode | None = None
    spare: Spare | None = None
    out: bool | None = None
    reason: str | None = None
    feed: FeedSource | None = None
    options: Options = DEFAULT
    force: bool = False
    counts: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Changed:
    """The set after the change, whether it is new, and warnings."""

    set: SourceSet
    created: bool
    warnings: list[str] = field(default_factory=list)


def _allowed(caller: Caller) -> None:
    if caller.origin != OPERATOR:
        raise RoleError(
            f"only {OPERATOR} may change sets, and {caller.name} acts for {caller.origin}"
        )


def find(draft: Draft, name: str) -> SourceSet:
    """The set of that name, or NotFoundError."""
    source_set = draft.sets.get(name)
    if source_set is None:
        raise NotFoundError(f"there is no set {name!r}")
    return source_set


def _check_etag(current: SourceSet | None, etag: str | None) -> None:
    if etag is not None and (current is None or etag != current.etag):
        raise StaleError("the set changed since it was read; read it again")


def free_slot(draft: Draft, action: Action) -> int:
    """A free slot. Accepting sets get lower numbers than dropping ones, so that accept wins.

    CapacityError if there is none.
    """
    taken = {
        source_set.slot: source_set
        for source_set in (*draft.state.sets.values(), *draft.all_sets())
    }
    numbers = range(SlotNumber.SETS, SlotNumber.FIRST)
    if len(taken) == len(numbers):
        raise CapacityError(f"there are {len(numbers)} sets, which is the maximum; remove one")
    others = [source_set for source_set in taken.values() if source_set.action is not action]
    if action is Action.ACCEPT:
        end = min(others, key=lambda source_set: source_set.slot, default=None)
        ordered = range(SlotNumber.SETS, end.slot if end else SlotNumber.FIRST)
    else:
        end = max(others, key=lambda source_set: source_set.slot, default=None)
        ordered = range(SlotNumber.FIRST - 1, end.slot if end else SlotNumber.SETS - 1, -1)
    free = next((number for number in ordered if number not in taken), None)
    if free is None:
        assert end  # noqa: S101  # without other sets a slot would be free
        raise CapacityError(
            f"there is no slot left for a set that {action}s on its side of the set {end.name}, "
            f"which {end.action}s; remove a set that {action}s, or remove {end.name} and put it "
            "again"
        )
    return free


def put(draft: Draft, ask: SetRequest, caller: Caller, etag: str | None = None) -> Changed:
    """Add a set, or replace the list of the set with that name.

    Raises RoleError, StaleError, ConflictError or CapacityError.
    """
    _allowed(caller)
    standing = draft.sets.get(ask.name)
    _check_etag(standing, etag)
    before = draft.entries_of(ask.name)
    chosen = _chosen(ask, standing)
    refuse_loss(ask.entries, ask.counts, standing, before, ask.force)
    if ask.feed and chosen["action"] is Action.DROP:
        refuse_growth(ask.entries, standing, before, ask.force)
    for family, keys in ask.entries.items():
        draft.counts.check_entries(family, len(keys) - len(before[family]))
    same_slot = standing is not None and standing.action is chosen["action"]
    added = sum(len(difference(keys, before[f])) for f, keys in ask.entries.items())
    removed = sum(len(difference(keys, ask.entries[f])) for f, keys in before.items())
    changed = SourceSet(
        name=ask.name,
        slot=standing.slot if standing and same_slot else free_slot(draft, chosen["action"]),
        **chosen,
        origin=caller.origin,
        created_at=standing.created_at if standing else draft.created_at,
        changed_at=draft.created_at,
        feed=ask.feed,
        options=ask.options,
        report={**ask.counts, "entries": count(ask.entries), "added": added, "removed": removed},
    )
    draft.put_set(changed, ask.entries)
    detail = {"action": changed.action.value, "mode": changed.mode.value, **changed.report}
    detail |= {"out": True} if changed.out else {}
    draft.note(caller.name, "set.change" if standing else "set.add", changed.name, **detail)
    return Changed(changed, standing is None, _warnings(standing, changed))


def _chosen(ask: SetRequest, standing: SourceSet | None) -> dict[str, Any]:
    """Action, direction, mode, spare and reason: from the request, else from the current set."""
    action, mode, spare, reason = Action.DROP, Mode.ENFORCE, Spare.NONE, ""
    out = bool(ask.out)
    if standing:
        action, mode, reason = standing.action, standing.mode, standing.reason
        spare = standing.spare
        if ask.out not in (None, standing.out):
            raise ConflictError(
                f"the set {ask.name} exists and is about what "
                f"{'goes out' if standing.out else 'comes in'}",
                "out",
                "use another name, or remove it first",
            )
        out = standing.out
    if standing and ask.action not in (None, action) and not ask.force:
        raise ConflictError(
            f"the set {ask.name} exists and {action}s; it would {ask.action} from now on",
            "action",
            "give force (--force) if that is intended, or use another name",
        )
    action = ask.action or action
    if standing is None and ask.feed and action is Action.DROP and not out:
        spare = Spare.KNOWN
    if ask.counts and ("too_wide" in ask.counts) is not (action is Action.DROP):  # screened or not
        raise StaleError("the set's action changed while its list was read; put it again")
    reason = reason if ask.reason is None else ask.reason
    chosen = {"mode": ask.mode or mode, "spare": ask.spare or spare}
    return {"action": action, "out": out, **chosen, "reason": reason}


def _warnings(before: SourceSet | None, after: SourceSet) -> list[str]:
    """Warnings of changes that the caller may not have intended."""
    if before is None:
        return []
    warnings = []
    if after.action is not before.action:
        warnings.append(f"was {before.action}")
    if after.mode is not before.mode:
        warnings.append(f"was {before.mode}")
    if before.feed and not after.feed:
        warnings.append(f"no longer refreshed from {before.feed.url or before.feed.file}")
    return warnings


def change(
    draft: Draft, name: str, changes: dict[str, object], caller: Caller, etag: str | None
) -> Changed:
    """Change `mode`, `spare`, `reason` or `feed` of a set; its entries stay as they are."""
    _allowed(caller)
    before = find(draft, name)
    _check_etag(before, etag)
    changed = before.replace(**changes)
    draft.put_set(changed)
    shown = {k: v for k, v in changes.items() if k != "feed"}
    draft.note(caller.name, "set.change", name, **shown)
    return Changed(changed, False)


def remove(
    draft: Draft, name: str, caller: Caller, etag: str | None, hits: dict[str, int]
) -> SourceSet:
    """Remove a set and return it; `hits` is added to the audit record."""
    _allowed(caller)
    removed = find(draft, name)
    _check_etag(removed, etag)
    entries = count(draft.entries_of(name))
    draft.remove_set(name)
    detail = {"action": removed.action.value, **({"out": True} if removed.out else {})}
    draft.note(caller.name, "set.remove", name, entries=entries, **detail, **hits)
    return removed
