"""What one may ask of sets: put, change, remove. Each works on a draft, checks everything first,
and stages nothing if it raises.
"""

from dataclasses import dataclass, field

from xdpctl.covering import deciding
from xdpctl.draft import Draft
from xdpctl.errors import (
    CapacityError,
    ConflictError,
    LockoutError,
    NotFoundError,
    RoleError,
    StaleError,
)
from xdpctl.model import OPERATOR, Action, Mode
from xdpctl.sets.model import DEFAULT, Entries, FeedSource, Options, SourceSet, count
from xdpctl.table.family import difference
from xdpctl.tokens import Caller
from xdpctl.wire import SlotNumber

_SHRINK = 0.5  # a new list with a smaller share of the old one's entries is taken for a mistake


@dataclass(frozen=True, slots=True, kw_only=True)
class SetAsk:
    """A set as somebody asks for it; `counts` is what reading and screening its list found."""

    name: str
    entries: Entries
    action: Action | None = None
    mode: Mode | None = None
    reason: str | None = None
    feed: FeedSource | None = None
    options: Options = DEFAULT
    force: bool = False
    counts: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Changed:
    """The set that stands now, and whether it is new."""

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
    taken = {held.slot for held in (*draft.all_sets(), *draft.state.sets.values())}
    numbers = range(SlotNumber.SETS, SlotNumber.FIRST)
    ordered = numbers if action is Action.ACCEPT else reversed(numbers)
    for number in ordered:
        if number not in taken:
            return number
    raise CapacityError(f"there are {len(numbers)} sets, which is all there can be")


def put(draft: Draft, ask: SetAsk, caller: Caller, etag: str | None = None) -> Changed:
    """A new set, or another list for the one of that name."""
    _allowed(caller)
    standing = draft.set_named(ask.name)
    _fresh(standing, etag)
    before = draft.entries_of(ask.name)
    _refuse_shrunk(ask, count(before))
    for family, keys in ask.entries.items():
        draft.check_entries(family, len(keys) - len(before[family]))
    plain = standing or SourceSet(name=ask.name, slot=0)
    action = ask.action or plain.action
    same_slot = standing is not None and standing.action is action
    came = sum(len(difference(keys, before[f])) for f, keys in ask.entries.items())
    gone = sum(len(difference(keys, ask.entries[f])) for f, keys in before.items())
    held = SourceSet(
        name=ask.name,
        slot=standing.slot if standing and same_slot else _slot(draft, action),
        action=action,
        mode=ask.mode or plain.mode,
        origin=caller.origin,
        reason=plain.reason if ask.reason is None else ask.reason,
        created_at=standing.created_at if standing else draft.created_at,
        changed_at=draft.created_at,
        feed=ask.feed,
        options=ask.options,
        report={**ask.counts, "entries": count(ask.entries), "added": came, "removed": gone},
    )
    _stage(draft, held, ask.entries, caller)
    detail = {"action": held.action.value, "mode": held.mode.value, **held.report}
    draft.note(caller.name, "set.change" if standing else "set.add", held.name, **detail)
    return Changed(held, standing is None)


def _refuse_shrunk(ask: SetAsk, before: int) -> None:
    now = count(ask.entries)
    if ask.force or (now and now >= before * _SHRINK):
        return
    raise ConflictError(
        f"the new list has {now:,} entries, the one that stands {before:,}; "
        "that looks like a broken feed, so the old one stays",
        "entries",
        "give force (--force) if it is meant",
    )


def _refuse_cut(before: Draft, after: Draft, caller: Caller) -> None:
    """LockoutError if a change would have its own caller dropped."""
    if caller.address is None:
        return
    was, now = deciding(before, caller.address), deciding(after, caller.address)
    if now is None or now.action is Action.ACCEPT or (was and was.action is Action.DROP):
        return
    raise LockoutError(
        f"then {now} would drop {str(caller.address).split('/')[0]}, the address you are calling "
        "from",
        "entries",
        "accept your own address first, or call from elsewhere",
    )


def _stage(draft: Draft, held: SourceSet, entries: Entries | None, caller: Caller) -> None:
    trial = draft.copy()
    trial.put_set(held, entries)
    _refuse_cut(draft, trial, caller)
    draft.put_set(held, entries)


def change(
    draft: Draft, name: str, changes: dict[str, object], caller: Caller, etag: str | None
) -> Changed:
    """Change `mode`, `reason` or `feed` of a set, its entries staying as they are."""
    _allowed(caller)
    held = find(draft, name)
    _fresh(held, etag)
    changed = held.but(**changes)
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
