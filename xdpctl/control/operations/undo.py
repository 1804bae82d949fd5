# SPDX-License-Identifier: GPL-2.0-or-later
"""Undoing a change: every record that it touched is put back as it was before.

Records that have been changed again since stay as they are, and are reported. So do records that
cannot be put back now, because they drop what is protected, do not fit, or have run out.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from xdpctl.control.operations import advice
from xdpctl.control.operations.admission import free_slot, refuse_released
from xdpctl.control.operations.sets import free_slot as free_set_slot
from xdpctl.control.state.changes import Part
from xdpctl.control.state.draft import Draft
from xdpctl.errors import XdpctlError
from xdpctl.model import policy
from xdpctl.model.identity import Caller
from xdpctl.model.rule import Rule
from xdpctl.model.source_set import NOTHING, Entries, SourceSet

_SAME_NS = 5_000_000_000  # by which a deadline may differ after a reboot or a step of the clock
_KEPT_SHOWN = 1_000
_TIMES = {"expires_ns": 0, "confirm_by_ns": 0}
Ended = Callable[[Rule], None]  # called with each rule that an undo removes


@dataclass(slots=True)
class Undone:
    """How many records were put back, and why others stay as they are: subject, and reason."""

    restored: int = 0
    kept: int = 0
    reasons: list[tuple[str, str]] = field(default_factory=list)

    def keep(self, subject: str, why: str) -> None:
        """Count a record that stays as it is; the first thousand are named."""
        self.kept += 1
        if len(self.reasons) < _KEPT_SHOWN:
            self.reasons.append((subject, why))


def undo(draft: Draft, number: int, parts: Iterable[Part], caller: Caller, ended: Ended) -> Undone:
    """Put back what the change `number` touched."""
    undone = _restore(draft, list(parts), caller, ended)
    counts = {"restored": undone.restored, "kept": undone.kept}
    draft.note(caller.name, "change.undo", str(number), **counts)
    return undone


def _restore(draft: Draft, parts: list[Part], caller: Caller, ended: Ended) -> Undone:
    undone = Undone()
    entries = {part.identity: part for part in parts if part.kind.field == "entries"}
    # removals first: they make room, and may end a release that forbids a drop to put back
    for part in sorted(parts, key=lambda part: part.before is not None):
        try:
            match part.kind.field:
                case "rules":
                    _rule(draft, part, caller, undone, ended)
                case "sets":
                    _set(draft, part, entries.get(part.identity), undone)
                case "settings":
                    _setting(draft, part, undone)
        except XdpctlError as error:
            undone.keep(str(part.identity), str(error))
    return undone


def as_left(draft: Draft, part: Part) -> bool:
    """Whether a record is still as a change left it."""
    match part.kind.field:
        case "rules":
            return _unchanged(draft.of("rules").get(part.identity), part.after, draft.now.ns)
        case "sets":
            return _same_set(draft.sets.get(part.identity), part.after)
        case "entries":
            return _same_entries(draft, draft.sets.get(part.identity), part)
    return bool(draft.of(part.kind.field).get(part.identity) is part.after)


def _rule(draft: Draft, part: Part, caller: Caller, undone: Undone, ended: Ended) -> None:
    now = draft.of(part.kind.field).get(part.identity)
    now = None if now and now.expired(draft.now.ns) else now
    before: Rule | None = _live(part, now, draft, undone)
    if not _unchanged(now, part.after, draft.now.ns):
        return undone.keep(str(part.identity), "it has been changed since")
    if before is None:
        if now:
            ended(now)
            draft.remove(now)
            undone.restored += 1
        return None
    refuse_released(draft, before)
    policy.guard(before, draft.state.protection)
    advice.refuse_everything(before, caller, force=True)
    if before.by_source is None:
        before = before.replace(slot=(now.slot if now else 0) or free_slot(draft))
    draft.put(before)
    undone.restored += 1
    return None


def _live(part: Part, now: Any, draft: Draft, undone: Undone) -> Any:
    """The record before the change; None if there was none, or if its time is up."""
    if part.before is None or not part.before.expired(draft.now.ns):
        return part.before
    if now is None:
        undone.keep(str(part.identity), "its time is up")
    return None


def _unchanged(now: Any, after: Any, now_ns: int) -> bool:
    """Whether a rule is as the change left it, or has run out since."""
    if now is None or after is None:
        return now is after or (now is None and after.expired(now_ns))
    ignored: dict[str, Any] = dict(_TIMES)
    ignored["slot"] = 0
    return bool(now.replace(**ignored) == after.replace(**ignored)) and all(
        abs(getattr(now, name) - getattr(after, name)) <= _SAME_NS for name in _TIMES
    )


def _set(draft: Draft, part: Part, entries: Part | None, undone: Undone) -> None:
    now: SourceSet | None = draft.sets.get(part.identity)
    before: SourceSet | None = part.before
    content = entries.before if entries else None
    if not _same_set(now, part.after) or not _same_entries(draft, now, entries):
        return undone.keep(f"set {part.identity}", "it has been changed since")
    if before is None:
        if now:
            draft.remove_set(now.name)
            undone.restored += 1
        return None
    if content is not None:
        current = draft.entries_of(before.name)
        for family, keys in content.items():
            draft.counts.check_entries(family, len(keys) - len(current[family]))
    same_slot = now is not None and now.action is before.action
    slot = now.slot if now and same_slot else free_set_slot(draft, before.action)
    draft.put_set(before.replace(slot=slot), content)
    undone.restored += 1
    return None


def _same_set(now: SourceSet | None, after: SourceSet | None) -> bool:
    """Whether no person has changed the set since; its feed may have been fetched."""
    if now is None or after is None:
        return now is after
    return _asked(now) == _asked(after)


def _asked(source_set: SourceSet) -> tuple[object, ...]:
    feed = source_set.feed and (
        source_set.feed.url,
        source_set.feed.file,
        source_set.feed.refresh,
        source_set.feed.format,
    )
    return (
        source_set.action,
        source_set.mode,
        source_set.spare,
        source_set.out,
        source_set.origin,
        source_set.reason,
        source_set.options,
        feed,
    )


def _same_entries(draft: Draft, now: SourceSet | None, part: Part | None) -> bool:
    if part is None or (now and now.feed):
        return True
    current, after = draft.entries_of(part.identity), part.after or NOTHING
    return all(_equal(current, after, family) for family in NOTHING)


def _equal(entries: Entries, other: Entries, family: int) -> bool:
    return len(entries[family]) == len(other[family]) and bool(
        (entries[family] == other[family]).all()
    )


def _setting(draft: Draft, part: Part, undone: Undone) -> None:
    now = draft.settings.get(part.identity)
    if now is not part.after:
        return undone.keep(f"the {part.identity} mode", "it has been changed since")
    draft.settings[part.identity] = part.before
    undone.restored += 1
    return None
