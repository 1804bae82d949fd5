# SPDX-License-Identifier: GPL-2.0-or-later
"""Drafts: staged changes that are neither stored nor applied yet."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from xdpctl.base.clock import Now
from xdpctl.base.net.prefix import Prefix
from xdpctl.control.state.counts import Counts
from xdpctl.control.state.crowd import check_crowd
from xdpctl.control.state.overlay import Overlay
from xdpctl.control.state.state import State
from xdpctl.control.store.audit import Event
from xdpctl.control.store.kinds import KINDS
from xdpctl.control.store.port import ChangeStep
from xdpctl.model.announcement import Announcement
from xdpctl.model.effect import Automatic
from xdpctl.model.expectation import Expectation
from xdpctl.model.identity import Token
from xdpctl.model.incident import Incident
from xdpctl.model.match.match import Match, source_named
from xdpctl.model.names import rule_id as id_of
from xdpctl.model.rule import Rule
from xdpctl.model.sharing import Position, Shared, Unsent
from xdpctl.model.source_set import NOTHING, Entries, SourceSet

# What this process has just written, by key: the bytes, the identity, and the decoded value.
Written = Mapping[str, tuple[bytes | None, Any, Any]]
_FIELDS = frozenset(kind.field for kind in KINDS)
_NOTHING: Mapping[Any, Any] = MappingProxyType({})


class Draft:
    """Staged changes on top of a state; whatever is not staged is read from the state.

    A branch has what was changed since it was made, on top of its draft `before`, which has none of
    it until they are merged.
    """

    rules: Overlay[Prefix, Rule]
    tokens: Overlay[str, Token]
    sets: Overlay[str, SourceSet]
    entries: Overlay[str, Entries]
    matches: Overlay[str, Rule]
    incidents: Overlay[str, Incident]
    settings: Overlay[str, Automatic]
    announcements: Overlay[str, Announcement]
    expectations: Overlay[str, Expectation]
    unsent: Overlay[str, Unsent]
    shared: Overlay[str, Shared]
    followed: Overlay[str, Position]

    def __init__(self, state: State, now: Now, before: "Draft | None" = None) -> None:
        self.state, self.now, self.before = state, now, before
        self.events: list[Event] = []
        self.steps: list[ChangeStep] = []  # of people's changes, to be undone
        self.afterwards: list[Callable[[], None]] = []  # called when the state has the change
        self.created_at = round(now.unix, 3)
        self.counts: Counts = Counts(state) if before is None else before.counts.copy()

    def __getattr__(self, field: str) -> Overlay[Any, Any]:
        """The records of a kind, made when they are first asked for."""
        if field not in _FIELDS:
            raise AttributeError(field)
        below = getattr(self.state if self.before is None else self.before, field)
        overlay: Overlay[Any, Any] = Overlay(below)
        self.__dict__[field] = overlay
        return overlay

    @property
    def empty(self) -> bool:
        """Whether nothing is staged, nor to be audited."""
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
        """The live rule on exactly this source."""
        rule = self.rules.get(source)
        return rule if rule and not rule.expired(self.now.ns) else None

    def all_rules(self) -> list[Rule]:
        """Every live rule that there will be."""
        both = (*self.rules.values(), *self.matches.values())
        return [rule for rule in both if not rule.expired(self.now.ns)]

    def at(self, match: Match) -> Rule | None:
        """The live rule on exactly this match; None if there is none."""
        source = match.source_only
        rule = self.standing(source) if source is not None else None
        return rule or self.on_match(match.id)

    def find(self, rule_id: str) -> Rule | None:
        """The live rule of that id; None if there is none. RuleError if nothing can have the id."""
        source = source_named(rule_id)
        rule = self.standing(source) if source is not None else None
        return rule or self.on_match(rule_id if source is None else id_of(source))

    def entries_of(self, name: str) -> Entries:
        """The entries of the set of that name; NOTHING if there is no such set."""
        return self.entries.get(name) or NOTHING

    def all_sets(self) -> list[SourceSet]:
        """All sets as they will be after the change, ordered by name."""
        return [found for _, found in sorted(self.sets.all().items())]

    def on_match(self, identity: str) -> Rule | None:
        """The live rule with that id that is on more than a source; None if there is none."""
        found = self.matches.get(identity)
        return found if found and not found.expired(self.now.ns) else None

    def tagged(self, tag: str) -> list[Rule]:
        """The live rules that have the tag of an event or group of events.

        Those on matches also if they have expired.
        """
        staged = (source for source, rule in self.rules.changes() if rule and tag in rule.tags)
        sources = dict.fromkeys((*self.state.tagged.sources(tag), *staged))
        rules = [*map(self.standing, sources), *self.matches.values()]
        return [rule for rule in rules if rule and tag in rule.tags]

    def put(self, rule: Rule) -> None:
        """Stage a new or changed rule; CapacityError if too many that let pass overlap."""
        source, alone = rule.by_source, rule.match.source_only
        if source is not None:
            if other := self.matches.get(rule.id):  # there is one rule a match
                self.remove(other)
            self._put_source(source, rule)
            return
        if alone is not None and (other := self.rules.get(alone)):
            self.remove(other)
        self._put_match(rule)

    def remove(self, rule: Rule) -> None:
        """Stage the removal of a rule."""
        self.counts.add_rules(rule.origin, -1)
        source = rule.by_source
        if source is None:
            self.matches[rule.id] = None
        else:
            self.counts.cover(source, rule, None)
            self.rules[source] = None

    def _put_source(self, source: Prefix, rule: Rule) -> None:
        before = self.rules.get(source)
        if before:
            self.counts.add_rules(before.origin, -1)
        else:
            self.counts.take_place(source, new=not self.rules.stood(source))
        self.counts.add_rules(rule.origin, 1)
        self.counts.cover(source, before, rule)
        self.rules[source] = rule

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

    def _put_match(self, rule: Rule) -> None:
        before = self.matches.get(rule.id)
        if rule.lets_pass and not (before and before.lets_pass):
            check_crowd(rule, self.matches.values())
        if before:
            self.counts.add_rules(before.origin, -1)
        self.counts.add_rules(rule.origin, 1)
        self.matches[rule.id] = rule

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
        back = Draft(self.state, self.now)
        for kind in KINDS:
            current = getattr(self.state, kind.field)
            stood = ((key, current.get(key)) for key in self.staged(kind.field))
            back.of(kind.field).staged.update(stood)
        return back
