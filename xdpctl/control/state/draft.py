# SPDX-License-Identifier: GPL-2.0-or-later
"""Drafts: staged changes that are neither stored nor applied yet."""

from collections import Counter
from collections.abc import Callable, Mapping
from copy import copy
from typing import Any

from xdpctl.base.clock import Now
from xdpctl.base.net.prefix import Prefix
from xdpctl.control.state.crowd import check_crowd
from xdpctl.control.state.state import State, space
from xdpctl.control.store.audit import Event
from xdpctl.control.store.kinds import KINDS, Kind
from xdpctl.control.store.port import ChangeStep
from xdpctl.errors import CapacityError
from xdpctl.model.announcement import Announcement
from xdpctl.model.expectation import Expectation
from xdpctl.model.identity import Token
from xdpctl.model.incident import Incident
from xdpctl.model.rule import Automatic, Rule
from xdpctl.model.sharing import Position, Shared, Unsent
from xdpctl.model.signature import Signature
from xdpctl.model.source_set import NOTHING, Entries, SourceSet

# What this process has just written, by key: the bytes, the identity, and the decoded value.
Written = Mapping[str, tuple[bytes | None, Any, Any]]


class Draft:
    """Staged changes on top of a state; whatever is not staged is read from the state."""

    def __init__(self, state: State, now: Now) -> None:
        self.state = state
        self.now = now
        self.rules: dict[Prefix, Rule | None] = {}
        self.tokens: dict[str, Token | None] = {}
        self.sets: dict[str, SourceSet | None] = {}
        self.entries: dict[str, Entries | None] = {}
        self.signatures: dict[str, Signature | None] = {}
        self.incidents: dict[str, Incident | None] = {}
        self.settings: dict[str, Automatic | None] = {}
        self.announcements: dict[str, Announcement | None] = {}
        self.expectations: dict[str, Expectation | None] = {}
        self.unsent: dict[str, Unsent | None] = {}
        self.shared: dict[str, Shared | None] = {}
        self.followed: dict[str, Position | None] = {}
        self.events: list[Event] = []
        self.steps: list[ChangeStep] = []  # of people's changes, to be undone
        self.afterwards: list[Callable[[], None]] = []  # called when the state has the change
        self.created_at = round(now.unix, 3)
        self._origins: Counter[str] = Counter(s.origin for s in list(state.signatures.values()))
        self._covered: Counter[tuple[str, int]] = Counter()
        self._staged_lengths: set[int] = set()
        self._room = state.room
        self._used = {family: state.used(family) for family in state.capacity}

    def __bool__(self) -> bool:
        return any(map(self._staged, KINDS)) or bool(self.events)

    def _staged(self, kind: Kind) -> dict[Any, Any]:
        """The staged changes of a kind by identity; None stands for a removal."""
        staged: dict[Any, Any] = getattr(self, kind.field)
        return staged

    def copy(self) -> "Draft":
        """A copy, on which a change can be tried."""
        other = copy(self)
        for kind in KINDS:
            setattr(other, kind.field, dict(self._staged(kind)))
        other.events, other.steps = list(self.events), list(self.steps)
        other.afterwards = list(self.afterwards)
        other._staged_lengths = set(self._staged_lengths)
        other._origins, other._covered = Counter(self._origins), Counter(self._covered)
        other._used = dict(self._used)
        return other

    def restore(self, other: "Draft") -> None:
        """Stage exactly what a copy that was made before has."""
        self.__dict__.update(other.__dict__)

    def standing(self, source: Prefix) -> Rule | None:
        """The live rule on exactly this source."""
        rule = self.rules[source] if source in self.rules else self.state.rules.get(source)
        return rule if rule and not rule.expired(self.now.ns) else None

    def all_rules(self) -> list[Rule]:
        """Every live rule on a source that there will be."""
        both = {**self.state.rules, **self.rules}.values()
        return [rule for rule in both if rule and not rule.expired(self.now.ns)]

    def set_named(self, name: str) -> SourceSet | None:
        """The set of that name, or None."""
        return self.sets[name] if name in self.sets else self.state.sets.get(name)

    def entries_of(self, name: str) -> Entries:
        """The entries of the set of that name; NOTHING if there is no such set."""
        found = self.entries[name] if name in self.entries else self.state.entries.get(name)
        return found or NOTHING

    def all_sets(self) -> list[SourceSet]:
        """All sets as they will be after the change, ordered by name."""
        names = sorted({*self.state.sets, *self.sets})
        return [found for found in map(self.set_named, names) if found]

    def all_signatures(self) -> list[Signature]:
        """All signatures as they will be after the change, including expired ones."""
        return [s for s in {**self.state.signatures, **self.signatures}.values() if s]

    def signature(self, identity: str) -> Signature | None:
        """The live signature of that id, or None."""
        staged, current = self.signatures, self.state.signatures
        found = staged[identity] if identity in staged else current.get(identity)
        return found if found and not found.expired(self.now.ns) else None

    def unsent_intent(self, key: str) -> Unsent | None:
        """What was stated here of an intent, and waits to be confirmed; None if nothing does."""
        return self.unsent[key] if key in self.unsent else self.state.unsent.get(key)

    def shared_intent(self, key: str) -> Shared | None:
        """The intent of the fleet as this node took it over; None if it never did."""
        return self.shared[key] if key in self.shared else self.state.shared.get(key)

    def all_announcements(self) -> list[Announcement]:
        """All announcements and proposals as they will be after the change."""
        both = {**self.state.announcements, **self.announcements}
        return [each for each in both.values() if each]

    def all_incidents(self) -> list[Incident]:
        """All incidents as they will be after the change."""
        return [i for i in {**self.state.incidents, **self.incidents}.values() if i]

    def incident(self, identity: str) -> Incident | None:
        """The incident of that id, or None."""
        staged = identity in self.incidents
        return (self.incidents if staged else self.state.incidents).get(identity)

    def tagged(self, tag: str) -> list[Rule | Signature]:
        """The live rules and all signatures that have the tag of an event or group of events."""
        staged = (source for source, rule in self.rules.items() if rule and tag in rule.tags)
        sources = dict.fromkeys((*self.state.tagged.sources(tag), *staged))
        rules = [*map(self.standing, sources), *self.all_signatures()]
        return [rule for rule in rules if rule and tag in rule.tags]

    def origins(self) -> frozenset[str]:
        """The origins that may have rules or signatures."""
        return frozenset((*list(self.state.origins), *self._origins))

    def of_origin(self, origin: str) -> int:
        """How many rules and signatures an origin has."""
        return self.state.origins[origin] + self._origins[origin]

    def covered(self, family: int, origin: str | None = None) -> int:
        """How much of the address space the rules of an origin drop; None: of all detectors.

        In IPv4 addresses, or in /64s of IPv6.
        """
        both = self.state.covered, self._covered
        of_family = ((who, n) for counts in both for (who, of), n in counts.items() if of == family)
        return sum(n for who, n in of_family if origin in (None, who))

    def _cover(self, before: Rule | None, after: Rule | None) -> None:
        for rule, sign in ((before, -1), (after, 1)):
            if rule:
                self._covered[rule.origin, rule.source.family] += sign * space(rule)

    @property
    def room(self) -> int:
        """How many more rules fit into the kernel's tables."""
        return self._room

    def check_room(self) -> None:
        """CapacityError unless one more rule on a source fits."""
        if self._room < 1:
            raise CapacityError(
                f"the source table is full: {self.state.image.capacity} rules, its capacity. "
                "Nothing was applied. Remove rules, or raise capacity: xdpctl down, then start "
                "again."
            )

    def check_entries(self, family: int, more: int) -> None:
        """CapacityError unless `more` further entries of a family fit."""
        capacity, used = self.state.capacity[family], self._used[family]
        if more > 0 and used + more > capacity:
            raise CapacityError(
                f"the source table has room for {capacity:,} IPv{family} entries and has {used:,}; "
                f"{more:,} more do not fit, and nothing was applied. Remove some, aggregate, or "
                f"raise capacity_ipv{family}: xdpctl down, then start again."
            )

    def lengths(self, source: Prefix) -> set[int]:
        """The prefix lengths at which there may be rules of this source's family."""
        return self._staged_lengths.union(self.state.lengths(source))

    def put(self, rule: Rule) -> None:
        """Stage a new or changed rule."""
        self._staged_lengths.add(rule.source.length)
        staged = rule.source in self.rules
        before = self.rules[rule.source] if staged else self.state.rules.get(rule.source)
        if before:
            self._origins[before.origin] -= 1
        elif not staged:
            self._room -= 1
            self._used[rule.source.family] += 1
        self._origins[rule.origin] += 1
        self._cover(before, rule)
        self.rules[rule.source] = rule

    def remove(self, rule: Rule) -> None:
        """Stage the removal of a rule."""
        self._origins[rule.origin] -= 1
        self._cover(rule, None)
        self.rules[rule.source] = None

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
            self._used[family] += len(entries[family]) - len(before)

    def put_signature(self, signature: Signature) -> None:
        """Stage a new or changed signature; CapacityError if too many overlap and let pass."""
        before = self.signatures.get(signature.id) or self.state.signatures.get(signature.id)
        if signature.lets_pass and not (before and before.lets_pass):
            check_crowd(signature, self.all_signatures())
        self.remove_signature(signature.id)
        self._origins[signature.origin] += 1
        self.signatures[signature.id] = signature

    def remove_signature(self, identity: str) -> None:
        """Stage the removal of a signature."""
        staged, current = self.signatures, self.state.signatures
        before = staged[identity] if identity in staged else current.get(identity)
        if before:
            self._origins[before.origin] -= 1
        self.signatures[identity] = None

    def note(self, actor: str, action: str, subject: str, /, **detail: object) -> None:
        """Add an audit event to this change."""
        self.events.append(Event(actor, action, subject, detail))

    def changes(self) -> dict[str, bytes | None]:
        """The changes to write to the store: the value of each key, None to delete it."""
        return {
            kind.key(identity): None if value is None else kind.encode(value, self.now)
            for kind in KINDS
            for identity, value in self._staged(kind).items()
        }

    def written(self, changes: Mapping[str, bytes | None]) -> Written:
        """Those of the changes that are costly to decode, with their decoded values."""
        return {
            key: (changes[key], identity, value)
            for kind in KINDS
            if kind.costly
            for identity, value in self._staged(kind).items()
            for key in (kind.key(identity),)
        }

    def inverse(self) -> "Draft":
        """A draft that restores the current values of everything that this one changes."""
        back = Draft(self.state, self.now)
        for kind in KINDS:
            current = getattr(self.state, kind.field)
            back._staged(kind).update((key, current.get(key)) for key in self._staged(kind))
        return back
