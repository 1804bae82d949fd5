# SPDX-License-Identifier: GPL-2.0-or-later
"""Finds the entries that cover a source, most specific first, as the kernel's lookup would.

Used to judge a change before it is made: who would be cut off, which wider entry covers a rule.
Only `explain` tells what the loaded program really does with a packet.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from xdpctl.base.net.prefix import Prefix
from xdpctl.base.net.prefix_arrays import FAMILIES, within
from xdpctl.control.state.draft import Draft
from xdpctl.model.effect import Action, Mode
from xdpctl.model.rule import Rule
from xdpctl.model.source_set import SourceSet


@dataclass(frozen=True, slots=True)
class MatchingEntry:
    """One entry: a protected prefix (with the reason), or an entry of a rule or a set.

    An entry that is not `applied` is in no kernel table, because it would drop what is protected.
    """

    prefix: Prefix
    protected: str = ""
    rule: Rule | None = None
    set: SourceSet | None = None
    applied: bool = True

    @property
    def action(self) -> Action:
        """The action on matching packets; a protected prefix accepts."""
        owner = self.rule or self.set
        return owner.action if owner else Action.ACCEPT

    @property
    def mode(self) -> Mode:
        """Whether the action is enforced or only counted; a protected prefix is enforced."""
        owner = self.rule or self.set
        return owner.mode if owner else Mode.ENFORCE

    @property
    def out(self) -> bool:
        """Whether it is about what goes out, instead of what comes in."""
        return self.set is not None and self.set.out

    @property
    def decides(self) -> bool:
        """Whether the kernel acts on it, if no narrower entry does."""
        return self.applied and self.mode is Mode.ENFORCE

    def __str__(self) -> str:
        if self.set:
            return f"{self.prefix} of the set {self.set.name}"
        return str(self.prefix)


def covering(draft: Draft, source: Prefix, out: bool = False) -> Iterator[MatchingEntry]:
    """Every live entry that covers all of `source`, in the order of the kernel's lookup.

    With `out`, those that decide about what goes out to it: all that accept, and out sets.
    """
    sets = sorted(draft.all_sets(), key=lambda source_set: source_set.slot)
    sets = [one for one in sets if one.out is out or (out and one.action is Action.ACCEPT)]
    protection = draft.state.protection
    lengths = draft.counts.lengths(source) | {*protection.lengths(source)}
    if sets:
        lengths = {*range(source.length + 1)}
    prefixes = [source.widened(n) for n in sorted(lengths, reverse=True) if n <= source.length]
    hits = []
    if sets:
        keys = FAMILIES[source.family].keys(prefixes)
        hits = [within(draft.entries_of(s.name)[source.family], keys).tolist() for s in sets]
    for at, prefix in enumerate(prefixes):
        if prefix in protection.why:
            yield MatchingEntry(prefix, protected=protection.why[prefix])
        rule = draft.standing(prefix)
        if rule and (rule.action is Action.ACCEPT or not out):
            yield MatchingEntry(prefix, rule=rule, applied=not draft.state.suspended(rule))
        for source_set, hit in zip(sets, hits, strict=True):
            if hit[at]:
                spared = source_set.action is Action.DROP and protection.over(prefix) is not None
                yield MatchingEntry(prefix, set=source_set, applied=not spared)


def deciding(draft: Draft, source: Prefix) -> MatchingEntry | None:
    """The entry that decides for `source`, apart from narrower entries inside it; None if none."""
    return next((entry for entry in covering(draft, source) if entry.decides), None)


def around(draft: Draft, source: Prefix) -> MatchingEntry | None:
    """The entry that would decide if there were none on exactly `source`; None if none would."""
    wider = (entry for entry in covering(draft, source) if entry.prefix != source)
    return next((entry for entry in wider if entry.decides), None)
