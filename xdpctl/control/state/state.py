# SPDX-License-Identifier: GPL-2.0-or-later
"""The controller's state: rules, sets, tokens, and an image of the kernel's tables."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from xdpctl.abi.constants import Side
from xdpctl.base.net.prefix import Prefix, order
from xdpctl.control import wire
from xdpctl.control.state.tag_index import TagIndex
from xdpctl.control.store.kinds import AUTOMATIC_MODE, KINDS, RULES, Kind
from xdpctl.control.wire import word
from xdpctl.datapath.image import NEIGHBOUR, PROTECTED, Image, Listing, Target, own_slot
from xdpctl.model.announcement import Announcement
from xdpctl.model.collateral import Collateral
from xdpctl.model.effect import Action, Automatic, Mode
from xdpctl.model.expectation import Expectation
from xdpctl.model.identity import Token
from xdpctl.model.incident import Incident
from xdpctl.model.match.match import Key, id_of, key_named
from xdpctl.model.protection import Protection
from xdpctl.model.quota import AUTOMATIC, Quota, space
from xdpctl.model.rehearsal import Rehearsal
from xdpctl.model.rule import OPERATOR, Rule
from xdpctl.model.screening import outside
from xdpctl.model.shared import Position, Rollout, Shared, Unsent, Yielded
from xdpctl.model.source_set import NOTHING, Entries, SourceSet

NEVER = 1 << 63
_CALLERS_KEPT, _CALLED_NS = 256, 3600 * 10**9


@dataclass(slots=True)
class State:
    """Rules by source or by id, sets and tokens by name, and the image of the kernel.

    `capacity` is the maximum number of entries by family, of rules, sets and protection together.
    """

    image: Image
    quotas: Mapping[str, Quota]
    capacity: Mapping[int, int]
    protection: Protection = field(default_factory=lambda: Protection({}))
    rules: dict[Prefix, Rule] = field(default_factory=dict)
    origins: Counter[str] = field(default_factory=Counter)
    monitored: dict[Prefix, None] = field(default_factory=dict)  # in the order they came
    tagged: TagIndex = field(default_factory=TagIndex)
    tokens: dict[str, Token] = field(default_factory=dict)
    sets: dict[str, SourceSet] = field(default_factory=dict)
    entries: dict[str, Entries] = field(default_factory=dict)
    matches: dict[str, Rule] = field(default_factory=dict)
    incidents: dict[str, Incident] = field(default_factory=dict)
    sides: Mapping[Prefix, Side] = field(default_factory=dict)
    in_use: frozenset[Prefix] = frozenset()  # networks inside that nobody named
    logins: tuple[Prefix, ...] = ()  # of who is logged in by ssh, from the loader
    modules: Callable[[], Mapping[str, int]] = dict  # those that matches may name, by name
    cannot_answer: str = ""  # an interface whose driver cannot send challenges
    collateral: Mapping[str, Collateral] = field(default_factory=dict)  # by ids of detectors' rules
    members: frozenset[Prefix] = frozenset()  # addresses of the fleet's nodes, from its agent
    callers: dict[Prefix, int] = field(default_factory=dict)  # last use of the API (kernel time)
    covered: Counter[tuple[str, int]] = field(default_factory=Counter)  # by origin and family
    unreadable: dict[str, str] = field(default_factory=dict)  # keys of skipped records, and why
    checkpoint: bytes | None = None  # of the audit log, if its oldest records were dropped
    settings: dict[str, Automatic] = field(default_factory=dict)
    announcements: dict[str, Announcement] = field(default_factory=dict)
    rehearsals: dict[str, Rehearsal] = field(default_factory=dict)
    expectations: dict[str, Expectation] = field(default_factory=dict)
    unsent: dict[str, Unsent] = field(default_factory=dict)  # by the key of the intent
    shared: dict[str, Shared] = field(default_factory=dict)
    yielded: dict[str, Yielded] = field(default_factory=dict)  # by the key of the intent
    rollouts: dict[str, Rollout] = field(default_factory=dict)  # by the number of the change
    followed: dict[str, Position] = field(default_factory=dict)
    _by_digest: Mapping[str, Token] = field(default_factory=dict)
    _lengths: dict[tuple[int, int], int] = field(default_factory=dict)
    next_expiry: int = NEVER  # no rule ends before this (kernel time)
    _membership: int = 0  # incremented whenever a source gets its rule or loses it
    _ordered: tuple[int, list[Prefix]] = (-1, [])
    _listed: dict[str, tuple[Entries, Protection, Entries]] = field(default_factory=dict)

    def ordered(self) -> list[Prefix]:
        """The rules' sources: IPv4 first, by address, wider before narrower."""
        membership, (ordered_at, ordered) = self._membership, self._ordered
        if ordered_at != membership:
            ordered = sorted(list(self.rules), key=order)
            self._ordered = membership, ordered
        return ordered

    @property
    def room(self) -> int:
        """How many more rules fit; suspended rules count, although they have no slot."""
        return min(self.image.room, self.image.capacity - len(self.rules))

    def learn(self, key: Key, rule: Rule | None) -> None:
        """Add or replace the rule on a match, or remove it if `rule` is None."""
        before, name = self.record(key), id_of(key)
        if before and before.by_source is None and (rule is None or rule.by_source):
            del self.matches[name]
        if rule and rule.by_source is None:
            self.matches[name] = rule
        if isinstance(key, Prefix):
            self._learn_source(key, rule if rule and rule.by_source else None)

    def _learn_source(self, source: Prefix, rule: Rule | None) -> None:
        before = self.rules.pop(source, None) if rule is None else self.rules.get(source)
        if before:
            self.origins[before.origin] -= 1
            self.covered[before.origin, source.family] -= space(before)
            self.monitored.pop(source, None)
            if before.tags:
                self.tagged.remove(source, before)
        if rule:
            ends = rule.kernel_expires_ns
            if ends and ends < self.next_expiry:
                self.next_expiry = ends
            self.rules[source] = rule
            if rule.mode is Mode.MONITOR:
                self.monitored[source] = None
            self.origins[rule.origin] += 1
            self.covered[rule.origin, source.family] += space(rule)
            if rule.tags:
                self.tagged.add(source, rule)
        if (before is None) != (rule is None):
            self._membership += 1
            shape = len(source.address), source.length
            self._lengths[shape] = self._lengths.get(shape, 0) + (1 if rule else -1)

    def record(self, key: Key) -> Rule | None:
        """The rule on a match, also if it has expired; None if there is none."""
        if isinstance(key, str):
            return self.matches.get(key)
        return self.rules.get(key) or (self.matches.get(id_of(key)) if self.matches else None)

    def moved(self, source: Prefix) -> bool:
        """Whether the rule on a source alone is among the matches."""
        return bool(self.matches) and id_of(source) in self.matches

    def all_rules(self) -> list[Rule]:
        """All rules, also those that have expired."""
        return [*list(self.rules.values()), *list(self.matches.values())]

    def find(self, rule_id: str, now_ns: int) -> Rule | None:
        """The live rule of that id; None if there is none. RuleError if nothing can have the id."""
        rule = self.record(key_named(rule_id))
        return rule if rule and not rule.expired(now_ns) else None

    def lengths(self, source: Prefix) -> list[int]:
        """The prefix lengths that rules of this source's family have."""
        size = len(source.address)
        return [n for (of, n), count in list(self._lengths.items()) if count and of == size]

    def called(self, address: Prefix, now_ns: int) -> None:
        """Note that a caller who may change rules used the API from this address."""
        self.callers.pop(address, None)
        self.callers[address] = now_ns
        while len(self.callers) > _CALLERS_KEPT:
            del self.callers[next(iter(self.callers))]

    def people(self, now_ns: int) -> list[Prefix]:
        """Addresses of logged-in users, and of callers who used the API within the last hour."""
        recent = [caller for caller, at in list(self.callers.items()) if now_ns - at < _CALLED_NS]
        return list(dict.fromkeys((*self.logins, *recent)))

    @property
    def automatic(self) -> Automatic | None:
        """What detectors may do, as set by an operator; None: the configuration applies."""
        return self.settings.get(AUTOMATIC_MODE)

    @property
    def tokens_by_digest(self) -> Mapping[str, Token]:
        """The tokens by digest, for authentication; a new mapping after each change."""
        return self._by_digest

    def take_over(self, kind: Kind, identity: Any, value: Any) -> None:
        """Take over one record of the store; None removes it."""
        if kind is RULES:
            self.learn(identity, value)
            return
        values: dict[Any, Any] = getattr(self, kind.field)
        if value is None:
            values.pop(identity, None)
        else:
            values[identity] = value
        if kind.field == "tokens":
            self._by_digest = {token.digest: token for token in values.values()}

    def forget(self) -> None:
        """Discard everything that came from the store, but keep the image of the kernel."""
        for kind in KINDS:
            setattr(self, kind.field, {})
        for index in (self.monitored, self.tagged, self._lengths, self.origins, self.covered):
            index.clear()
        self._membership += 1
        self.matches, self._by_digest, self.unreadable, self.checkpoint = {}, {}, {}, None

    def target(self, source: Prefix, now_ns: int) -> Target | None:
        """The target that the tables should have for a prefix: protection first, then its rule."""
        if source in self.protection.why:
            return NEIGHBOUR if source in self.protection.neighbours else PROTECTED
        rule = self.rules.get(source)
        if rule is None or rule.expired(now_ns) or self.suspended(rule):
            return None
        action, spare = rule.action, wire.spares(rule.spare, rule.action)
        return own_slot(wire.ACTIONS[action], wire.MODES[rule.mode], rule.kernel_expires_ns, spare)

    def suspended(self, rule: Rule) -> bool:
        """Whether a detector's drop is not applied because its source has become protected."""
        source = rule.by_source
        if source is None or rule.origin == OPERATOR or rule.action is not Action.DROP:
            return False
        return self.protection.over(source) is not None

    def used(self, family: int) -> int:
        """How many entries of a family are needed, for rules, protection and sets."""
        size = 4 if family == 4 else 16
        rules = sum(n for (of, _), n in list(self._lengths.items()) if of == size)
        protected = sum(prefix.family == family for prefix in self.protection.why)
        return rules + protected + sum(len(keys[family]) for keys in list(self.entries.values()))

    def applied(self, name: str) -> Entries:
        """The entries of a set for the kernel; if it drops, without those in protected prefixes."""
        entries = self.entries.get(name, NOTHING)
        if self.sets[name].action is not Action.DROP:
            return entries
        cached = self._listed.get(name)
        if cached is None or cached[0] is not entries or cached[1] is not self.protection:
            cached = entries, self.protection, outside(entries, self.protection.why)
            self._listed[name] = cached
        return cached[2]

    def listings(self) -> dict[int, Listing]:
        """The slot value and entries that the kernel should have for each set, by slot."""
        return {
            source_set.slot: Listing(word(source_set), self.applied(name))
            for name, source_set in list(self.sets.items())
        }

    def match_of(self, slot: int) -> Rule | None:
        """The rule on a match that has this slot, or None."""
        return next((rule for rule in list(self.matches.values()) if rule.slot == slot), None)

    def set_of(self, slot: int) -> SourceSet | None:
        """The set that has this slot, or None."""
        return next((owner for owner in list(self.sets.values()) if owner.slot == slot), None)

    def desired(self, now_ns: int) -> dict[Prefix, Target]:
        """The targets of all prefixes of rules and protection that the tables should have."""
        prefixes = chain(self.rules, self.protection.why)
        targets = ((prefix, self.target(prefix, now_ns)) for prefix in prefixes)
        return {prefix: target for prefix, target in targets if target}

    def quota(self, origin: str) -> Quota:
        """The quota of an origin; AUTOMATIC if none is configured for it."""
        return self.quotas.get(origin, AUTOMATIC)
