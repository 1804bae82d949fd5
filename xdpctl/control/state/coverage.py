# SPDX-License-Identifier: GPL-2.0-or-later
"""Which entries cover a source, most specific first: what the filter would meet, in Python.

For questions that come before a change: who would be cut off, what lies around a rule. What the
loaded program does with a packet is answered by `explain` alone.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from xdpctl.base.net.prefix import Prefix
from xdpctl.base.net.prefix_arrays import FAMILIES, within
from xdpctl.control.state.draft import Draft
from xdpctl.model.rule import Action, Mode, Rule
from xdpctl.model.source_set import SourceSet


@dataclass(frozen=True, slots=True)
class MatchingEntry:
    """One entry: a protected prefix (with the reason why), a rule's, or a set's.

    What is not `applied` is in no table: it would drop what is protected.
    """

    prefix: Prefix
    protected: str = ""
    rule: Rule | None = None
    set: SourceSet | None = None
    applied: bool = True

    @property
    def action(self) -> Action:
        """What is done with its packets; a protected prefix accepts."""
        held = self.rule or self.set
        return held.action if held else Action.ACCEPT

    @property
    def mode(self) -> Mode:
        """Whether it acts or only counts; a protected prefix acts."""
        held = self.rule or self.set
        return held.mode if held else Mode.ENFORCE

    def __str__(self) -> str:
        if self.set:
            return f"{self.prefix} of the set {self.set.name}"
        return str(self.prefix)


def covering(draft: Draft, source: Prefix) -> Iterator[MatchingEntry]:
    """Every live entry that covers all of `source`, in the order in which a packet meets them."""
    sets = sorted(draft.all_sets(), key=lambda held: held.slot)
    protection = draft.state.protection
    lengths = draft.lengths(source) | {*protection.lengths(source)}
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
        if rule:
            yield MatchingEntry(prefix, rule=rule, applied=not draft.state.suspended(rule))
        for held, hit in zip(sets, hits, strict=True):
            if hit[at]:
                spared = held.action is Action.DROP and protection.over(prefix) is not None
                yield MatchingEntry(prefix, set=held, applied=not spared)


def deciding(draft: Draft, source: Prefix) -> MatchingEntry | None:
    """The entry that decides all of `source`, unless something inside it decides a part."""
    return next(filter(_decides, covering(draft, source)), None)


def around(draft: Draft, source: Prefix) -> MatchingEntry | None:
    """The entry that would decide if nothing stood on exactly `source`."""
    wider = (e for e in covering(draft, source) if e.prefix != source)
    return next(filter(_decides, wider), None)


def _decides(entry: MatchingEntry) -> bool:
    return entry.applied and entry.mode is Mode.ENFORCE
