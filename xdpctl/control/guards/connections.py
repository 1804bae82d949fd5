# SPDX-License-Identifier: GPL-2.0-or-later
"""Refuses changes after which most of this host's established connections are cut off.

The guard compares what happens to each connection before and after a change, for example when a
drop begins or an accept is removed. It judges each change separately. Only within an import does it
add up the connections that successive lines cut off.
"""

from collections.abc import Callable, Iterator
from typing import Concatenate, ParamSpec, TypeVar

import numpy as np

from xdpctl.base.net.prefix import Prefix
from xdpctl.base.net.prefix_arrays import FAMILIES, within
from xdpctl.base.net.tcp_peers import Peers
from xdpctl.control.guards import lockout
from xdpctl.control.guards.cuts import (
    Cut,
    Does,
    cuts,
    reaches,
    takes_all,
    uncovered,
)
from xdpctl.control.guards.narrowness import hardly_narrows
from xdpctl.control.guards.wide import CONFIRM, FORCE, refuse_wide
from xdpctl.control.state.coverage import MatchingEntry
from xdpctl.control.state.draft import Draft
from xdpctl.errors import UnconfirmedError
from xdpctl.model.effect import Action, Mode, Spare
from xdpctl.model.identity import Caller
from xdpctl.model.rule import Rule
from xdpctl.model.source_set import Entries

_LEAST = 8  # with fewer connections, no change is refused
_HEAVIEST, _SAMPLED = 500, 500  # peers to check: with most connections, and of the rest
_TIGHT_PPS, _TIGHT_BPS = 100, 1_000_000  # a shared limit below this counts as a drop
P = ParamSpec("P")
T = TypeVar("T")


class ConnectionsGuard:
    """Judges changes by the peers of this host's connections as of now."""

    def __init__(self, peers: Callable[[], Peers]) -> None:
        self._peers = peers

    def check(self, change: Draft) -> None:
        """UnconfirmedError if a branch cuts off most connections, or has a new wide drop."""
        assert change.before is not None  # noqa: S101  # it is a branch
        for source, rule in change.rules.staged.items():
            if rule is not None:
                refuse_wide(change.before.rules.get(source), rule)
        effect = _Cuts(change)
        if not effect:
            return
        peers = self._peers()
        total = peers.elsewhere()
        if total < _LEAST:
            return
        cut, number = _counted(effect, set(effect.touched(peers)), peers)
        if cut and 2 * number > total:
            when = "when it ends" if cut.start > change.now.ns else "after this change"
            what = getattr(cut.cause, "match", cut.cause)
            raise UnconfirmedError(
                f"{when}, {what} cuts off {number:,} of this host's {total:,} "
                "established connections",
                "match.source",
                CONFIRM if effect.adds_one_rule else FORCE,
            )


class ImportGuard:
    """Judges each line of an import together with the lines before it.

    `peers` are the peers of this host's connections; none for a detector's import.
    """

    def __init__(self, peers: Peers, caller: Caller) -> None:
        self._peers, self._caller, self._total = peers, caller, peers.elsewhere()
        self._cut: set[bytes] = set()
        self._of: tuple[Draft | None, list[Prefix]] = (None, [])

    def take(
        self,
        draft: Draft,
        source: Prefix | None,
        fix: str,
        stage: Callable[Concatenate[Draft, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Stage a line about a source (None: any) in a separate branch.

        UnconfirmedError if this line and those before it cut off most connections. LockoutError as
        from `lockout.check`.
        """
        peers, people = self._reached(source), self._people(draft)
        if not peers and not any(source is None or source.covers(address) for address in people):
            return stage(draft, *args, **kwargs)
        part = draft.branch()
        staged = stage(part, *args, **kwargs)
        lockout.check(part, self._caller)
        effect = _Cuts(part)
        cut = {peer for peer in peers if effect.of(peer)}
        number = self._peers.connections(self._cut | cut)
        if cut and 2 * number > self._total:
            what = "with the lines before it, this line" if self._cut else "this line"
            raise UnconfirmedError(
                f"{what} cuts off {number:,} of this host's {self._total:,} established "
                "connections",
                "match.source",
                fix,
            )
        self._cut |= cut
        part.merge()
        return staged

    def _people(self, draft: Draft) -> list[Prefix]:
        """The addresses to keep reachable, looked up once for each draft."""
        if self._of[0] is not draft:
            self._of = draft, [address for address, _ in lockout.kept(draft, self._caller)]
        return self._of[1]

    def _reached(self, source: Prefix | None) -> set[bytes]:
        if self._total < _LEAST:
            return set()
        return set(self._peers if source is None else self._peers.covered(source)) - self._cut


class _Cuts:
    """Whom a branch cuts off."""

    def __init__(self, change: Draft) -> None:
        assert change.before is not None  # noqa: S101  # it is a branch
        self._before, self._after = change.before, change
        staged = change.rules.staged
        pairs = [(self._before.rules.get(key), rule) for key, rule in staged.items()]
        self._rules = [
            key
            for (before, after), key in zip(pairs, staged, strict=True)
            if isinstance(key, Prefix) and (_keeps_in(before) or _drops_all(after))
        ]
        self._sets = {*change.sets.staged, *change.entries.staged}
        self._begun = [
            after for _, after in pairs if after and not after.by_source and _cuts(change, after)
        ]
        lets_in = (before for before, _ in pairs if before and before.action is Action.ACCEPT)
        self._gone = [before for before in lets_in if not before.by_source]

    def __bool__(self) -> bool:
        return bool(self._rules or self._sets or self._begun or self._gone)

    @property
    def adds_one_rule(self) -> bool:
        """Whether the change is one new rule, which can be tried with confirm_within."""
        keys = {*self._rules, *(rule.match.key for rule in self._begun)}
        new = [key for key in keys if self._before.rules.get(key) is None]
        return len(new) == len(keys) == 1 and not (self._sets or self._gone)

    def touched(self, peers: Peers) -> Iterator[bytes]:
        """The peers whose connections the change may affect."""
        for source in self._rules:
            yield from peers.covered(source)
        for name in self._sets:
            for draft in (self._before, self._after):
                yield from _within(draft.entries_of(name), peers)
        for rule in (*self._begun, *self._gone):
            yield from peers if rule.source is None else peers.covered(rule.source)

    def of(self, peer: bytes) -> Cut | None:
        """The first new cut of connections with a peer; None if there is none."""
        address = Prefix(peer, 8 * len(peer))
        after = _all_cuts(self._after, address)
        return uncovered(after, _all_cuts(self._before, address)) if after else None


def _counted(effect: _Cuts, touched: set[bytes], peers: Peers) -> tuple[Cut | None, int]:
    """One of the cuts, and how many connections are cut off: estimated, if there are many peers."""
    ordered = sorted(touched, key=lambda peer: (-peers.connections([peer]), peer))
    heaviest, rest = ordered[:_HEAVIEST], ordered[_HEAVIEST:]
    sampled = rest[:: max(1, len(rest) // _SAMPLED)]
    cut = {peer: cut for peer in (*heaviest, *sampled) if (cut := effect.of(peer))}
    number = float(peers.connections(peer for peer in heaviest if peer in cut))
    if sampled:
        share = peers.connections(p for p in sampled if p in cut) / peers.connections(sampled)
        number += share * peers.connections(rest)
    return next(iter(cut.values()), None), round(number)


def _all_cuts(draft: Draft, address: Prefix) -> list[Cut]:
    """The times at which connections with an address are cut off.

    Provisional rules count as harmless, since they end automatically unless somebody confirms them.
    """

    def of_match(rule: Rule) -> Does:
        if rule.action is Action.ACCEPT and rule.mode is Mode.ENFORCE:
            return Does.LETS_IN if takes_all(rule.match, address) else Does.NOTHING
        cuts_off = reaches(rule.match, address) and _cuts(draft, rule)
        return Does.CUTS if cuts_off else Does.NOTHING

    return cuts(draft, address, _of_entry, of_match)


def _drops_all(rule: Rule | None) -> bool:
    """Whether a rule drops a source alone, known connections too."""
    if rule is None or rule.by_source is None or rule.mode is Mode.MONITOR:
        return False
    return rule.action is Action.DROP and rule.spare is Spare.NONE


def _keeps_in(rule: Rule | None) -> bool:
    """Whether a rule on a source alone lets in what other rules would drop."""
    if rule is None or rule.by_source is None or rule.mode is Mode.MONITOR:
        return False
    return rule.action is Action.ACCEPT or rule.spare is not Spare.NONE


def _of_entry(entry: MatchingEntry) -> Does:
    if entry.action is Action.ACCEPT:
        return Does.LETS_IN
    if entry.rule and entry.rule.confirm_by_ns:
        return Does.NOTHING
    owner = entry.rule or entry.set
    return Does.CUTS if owner and owner.spare is Spare.NONE else Does.SPARES


def _cuts(draft: Draft, rule: Rule) -> bool:
    """Whether a rule on a match drops almost all TCP packets of a source, or of everybody."""
    limit = rule.limit
    tight = limit is not None and not limit.by_source
    if limit is not None:
        tight = tight and (0 < limit.pps < _TIGHT_PPS or 0 < limit.bps < _TIGHT_BPS)
    acts = rule.mode is Mode.ENFORCE and (rule.action is Action.DROP or tight)
    spares = rule.spare is not Spare.NONE or rule.confirm_by_ns
    return acts and not spares and hardly_narrows(draft, rule)


def _within(entries: Entries, peers: Peers) -> Iterator[bytes]:
    """The peers that an entry covers."""
    for number, keys in entries.items():
        family = FAMILIES[number]
        listed = [address for address in peers if len(address) * 8 == family.bits]
        exact = family.keys(Prefix(address, family.bits) for address in listed)
        covered = np.zeros(len(listed), np.bool_)
        for length in np.unique(family.lengths(keys)).tolist():
            covered |= within(keys, family.widened(exact, length))
        yield from (listed[place] for place in np.flatnonzero(covered).tolist())
