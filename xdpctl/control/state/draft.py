# SPDX-License-Identifier: GPL-2.0-or-later
"""Drafts: staged changes that are neither stored nor applied yet."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from xdpctl.base.clock import Now
from xdpctl.base.net.prefix import Prefix
from xdpctl.control.state.counts import Counts, check_crowd
from xdpctl.control.state.overlay import Overlay
from xdpctl.control.state.rules_of import RulesOf
from xdpctl.control.state.state import State
from xdpctl.control.store.audit import Event
from xdpctl.control.store.kinds import KINDS, RULES
from xdpctl.control.store.port import ChangeStep
from xdpctl.model.announcement import Announcement
from xdpctl.model.effect import Automatic
from xdpctl.model.expectation import Expectation
from xdpctl.model.identity import Token
from xdpctl.model.incident import Incident
from xdpctl.model.match.match import Key, Match, id_of, key_named
from xdpctl.model.rehearsal import Rehearsal
from xdpctl.model.rule import Rule
from xdpctl.model.shared import Position, Rollout, Shared, Unsent, Yielded
from xdpctl.model.source_set import NOTHING, Entries, SourceSet

# What this process has just written, by key: the bytes, the identity, and the decoded value.
Written = Mapping[str, tuple[bytes | None, Any, Any]]
_FIELDS = frozenset(kind.field for kind in KINDS)
_NOTHING: Mapping[Any, Any] = MappingProxyType({})


class Draft:
    """Staged changes on top of a state; whatever is not staged is read from the state.

    A branch has what was staged since it was made; `merge` stages it in its draft `before`.
    """

    rules: Overlay[Key, Rule]
    tokens: Overlay[str, Token]
    sets: Overlay[str, SourceSet]
    entries: Overlay[str, Entries]
    incidents: Overlay[str, Incident]
    settings: Overlay[str, Automatic]
    announcements: Overlay[str, Announcement]
    rehearsals: Overlay[str, Rehearsal]
    expectations: Overlay[str, Expectation]
    unsent: Overlay[str, Unsent]
    shared: Overlay[str, Shared]
    yielded: Overlay[str, Yielded]
    rollouts: Overlay[str, Rollout]
    followed: Overlay[str, Position]

    def __init__(self, state: State, now: Now, before: "Draft | None" = None) -> None:
        self.state, self.now, self.before = state, now, before
        self.events: list[Event] = []
        self.steps: list[ChangeStep] = []  # of people's changes, to be undone
        self.afterwards: list[Callable[[], None]] = []  # called when the state has the change
        self.created_at = round(now.unix, 3)
        self.counts: Counts = Counts(state) if before is None else before.counts.copy()

    def __getattr__(self, field: str) -> Overlay[Any, Any]:
        """The records of a kind; their overlay is made at its first use."""
        if field not in _FIELDS:
            raise AttributeError(field)
        below = getattr(self.before, field) if self.before is not None else self._stand(field)
        overlay: Overlay[Any, Any] = Overlay(below)
        self.__dict__[field] = overlay
        return overlay

    def _stand(self, field: str) -> Mapping[Any, Any]:
        stand: Mapping[Any, Any] = getattr(self.state, field)
        return RulesOf(self.state) if field == RULES.field else stand

    @property
    def empty(self) -> bool:
        """Whether nothing is staged and nothing is to be audited."""
        return not (any(map(self.staged, _FIELDS)) or self.events)

    def of(self, field: str) -> Overlay[Any, Any]:
        """The records of the kind with this `field`."""
        overlay: Overlay[Any, Any] = getattr(self, field)
        return overlay

    def staged(self, field: str) -> Mapping[Any, Any]:
        """What is staged of a kind, by identity; None stands for a removal."""
        overlay = self.__dict__.get(field)
        return overlay.staged if overlay else _NOTHING

    def branch(self) -> "Draft":
        """A draft on top of this one, on which a change is tried until it is merged."""
        return Draft(self.state, self.now, self)

    def merge(self) -> None:
        """Stage what this branch has in the draft before it."""
        before = self.before
        assert before is not None  # noqa: S101  # it is a branch
        for field in self.__dict__.keys() & _FIELDS:
            before.of(field).staged.update(self.staged(field))
        before.events += self.events
        before.steps += self.steps
        before.afterwards += self.afterwards
        before.counts = self.counts

    def standing(self, source: Prefix) -> Rule | None:
        """The live rule on exactly this source that is in the table of sources."""
        rule = self._live(source)
        return rule if rule and rule.by_source else None

    def matches(self) -> dict[str, Rule]:
        """The rules on matches by id, as they will be in the kernel; also expired ones."""
        rules = dict(self.state.matches)
        alone = {rule.source for rule in rules.values() if rule.match.source_only}
        for key, rule in self.rules.changes():
            if rule and rule.by_source is None:
                rules[rule.id] = rule
            elif isinstance(key, str) or key in alone:
                rules.pop(id_of(key), None)
        return rules

    def all_rules(self) -> list[Rule]:
        """All rules that will be live after the change."""
        return [rule for rule in self.rules.values() if not rule.expired(self.now.ns)]

    def at(self, match: Match) -> Rule | None:
        """The live rule on exactly this match; None if there is none."""
        return self._live(match.key)

    def find(self, rule_id: str) -> Rule | None:
        """The live rule of that id; None if there is none. RuleError if nothing can have the id."""
        return self._live(key_named(rule_id))

    def _live(self, key: Key) -> Rule | None:
        rule = self.rules.get(key)
        return rule if rule and not rule.expired(self.now.ns) else None

    def entries_of(self, name: str) -> Entries:
        """The entries of the set of that name; NOTHING if there is no such set."""
        return self.entries.get(name) or NOTHING

    def all_sets(self) -> list[SourceSet]:
        """All sets as they will be after the change, ordered by name."""
        return [source_set for _, source_set in sorted(self.sets.all().items())]

    def tagged(self, tag: str) -> list[Rule]:
        """The live rules that have the tag of an event or group of events.

        Rules on matches are included even if they have expired.
        """
        staged = (key for key, rule in self.rules.changes() if rule and tag in rule.tags)
        sources = dict.fromkeys(key for key in staged if not isinstance(key, str))
        sources |= dict.fromkeys(self.state.tagged.sources(tag))
        rules = [*map(self.standing, sources), *self.matches().values()]
        return [rule for rule in rules if rule and tag in rule.tags]

    def put(self, rule: Rule, crowded: bool = False) -> None:
        """Stage a new or changed rule.

        CapacityError if there is no room. CapacityError, unless it may be `crowded`, if too many
        rules that let packets pass overlap, since the kernel would not read the last of them.
        """
        key, source = rule.match.key, rule.by_source
        before = self.rules.get(key)
        if source is None and rule.lets_pass and not (crowded or _lets_pass(before)):
            check_crowd(rule, self.matches().values())
        self._move(before, rule)
        if before:
            self.counts.add_rules(before.origin, -1)
        self.counts.add_rules(rule.origin, 1)
        self._cover(before, rule)
        self.rules[key] = rule if source is None or not rule.slot else rule.replace(slot=0)

    def remove(self, rule: Rule) -> None:
        """Stage the removal of a rule."""
        self._move(rule, None)
        self.counts.add_rules(rule.origin, -1)
        self._cover(rule, None)
        self.rules[rule.match.key] = None

    def _move(self, before: Rule | None, after: Rule | None) -> None:
        """Count the place in the table of sources; the state's rule keeps its own until commit."""
        old = before.by_source if before else None
        new = after.by_source if after else None
        source = new or old
        if source is None or (old and new):
            return
        stood = self.rules.stood(source)
        if stood is None or stood.by_source is None:
            self.counts.take_place(source, 1 if new else -1)

    def _cover(self, before: Rule | None, after: Rule | None) -> None:
        rule = after or before
        source = rule.match.source_only if rule else None
        if source is not None:
            self.counts.cover(source, before, after)

    def put_set(self, changed: SourceSet, entries: Entries | None = None) -> None:
        """Stage a new or changed set; None leaves its entries as they are."""
        self.sets[changed.name] = changed
        if entries is not None:
            self._count(changed.name, entries)
            self.entries[changed.name] = entries

    def remove_set(self, name: str) -> None:
        """Stage the removal of a set and its entries."""
        self._count(name, NOTHING)
        self.sets[name] = self.entries[name] = None

    def _count(self, name: str, entries: Entries) -> None:
        for family, before in self.entries_of(name).items():
            self.counts.used[family] += len(entries[family]) - len(before)

    def note(self, actor: str, action: str, subject: str, /, **detail: object) -> None:
        """Add an audit event to this change."""
        self.events.append(Event(actor, action, subject, detail))

    def changes(self) -> dict[str, bytes | None]:
        """The changes to write to the store: the value of each key, None to delete it."""
        return {
            kind.key(identity): None if value is None else kind.encode(value, self.now)
            for kind in KINDS
            for identity, value in self.staged(kind.field).items()
        }

    def written(self, changes: Mapping[str, bytes | None]) -> Written:
        """Those of the changes that are costly to decode, with their decoded values."""
        return {
            key: (changes[key], identity, value)
            for kind in KINDS
            if kind.costly
            for identity, value in self.staged(kind.field).items()
            for key in (kind.key(identity),)
        }

    def inverse(self) -> "Draft":
        """A draft that restores the current values of everything that this one changes."""
        inverse = Draft(self.state, self.now)
        for kind in KINDS:
            current = self._stand(kind.field)
            stood = ((key, current.get(key)) for key in self.staged(kind.field))
            inverse.of(kind.field).staged.update(stood)
        return inverse


def _lets_pass(rule: Rule | None) -> bool:
    return rule is not None and rule.by_source is None and rule.lets_pass
