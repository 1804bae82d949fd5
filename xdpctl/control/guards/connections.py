# SPDX-License-Identifier: GPL-2.0-or-later
"""Refuses changes after which most of this host's established connections are cut off.

It compares what happens to each connection before and after a change, whatever the change is: a
drop that begins, or an accept that goes. Each change is judged by itself: what several cut off that
came one after the other is not added up, except within an import.
"""

from collections.abc import Callable, Iterator
from typing import Concatenate, ParamSpec, TypeVar

import numpy as np

from xdpctl.base.net.prefix import Prefix
from xdpctl.base.net.prefix_arrays import FAMILIES, within
from xdpctl.base.net.tcp_peers import Peers
from xdpctl.control.guards import lockout
from xdpctl.control.guards.cuts import Cut, earlier, first_cut
from xdpctl.control.guards.wide import CONFIRM, FORCE, refuse_wide
from xdpctl.control.state.coverage import MatchingEntry
from xdpctl.control.state.draft import Draft
from xdpctl.errors import UnconfirmedError
from xdpctl.model.effect import Action, Mode, Spare
from xdpctl.model.identity import Caller
from xdpctl.model.match import ranges
from xdpctl.model.match.components import TCP
from xdpctl.model.rule import Rule
from xdpctl.model.source_set import Entries

_LEAST = 8  # fewer connections are no majority
_MOST = 1_000  # peers that are looked at: of more, a part that stands for all
P = ParamSpec("P")
T = TypeVar("T")
_HARDLY_NARROWING = frozenset(("source", "protocol", "packet_length", "ttl"))


class ConnectionsGuard:
    """Judges changes by the peers of this host's connections as of now."""

    def __init__(self, peers: Callable[[], Peers]) -> None:
        self._peers = peers

    def check(self, change: Draft) -> None:
        """UnconfirmedError if a branch cuts off most connections, or has a new wide drop."""
        assert change.before is not None  # noqa: S101  # it is a branch
        for source, rule in change.rules.staged.items():
            if rule is not None:
                refuse_wide(change.before.standing(source), rule)
        cuts = _Cuts(change)
        if not cuts:
            return
        peers = self._peers()
        total = peers.elsewhere()
        if total < _LEAST:
            return
        touched = set(cuts.touched(peers))
        looked = _some(touched)
        cut = [each for each in looked if cuts.of(each)]
        number = round(peers.connections(cut) * len(touched) / max(len(looked), 1))
        if 2 * number > total:
            found = cuts.of(cut[0])
            when = "when it ends" if found and found.at_ns > change.now.ns else "after this change"
            what = getattr(found.cause, "match", found.cause) if found else ""
            raise UnconfirmedError(
                f"{when}, {what} cuts off {number:,} of this host's {total:,} "
                "established connections",
                "match.source",
                CONFIRM if cuts.adds_one_rule else FORCE,
            )


class ImportGuard:
    """The same for the lines of an import, of which each is judged with those before it.

    What it looks at are the peers of this host's connections; of a detector's import, none.
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
        """Stage a line about a source (None: any) by itself.

        UnconfirmedError if it is one too many, LockoutError as from `lockout.check`.
        """
        peers, people = self._reached(source), self._people(draft)
        if not peers and not any(source is None or source.covers(each) for each in people):
            return stage(draft, *args, **kwargs)
        part = draft.branch()
        staged = stage(part, *args, **kwargs)
        lockout.check(part, self._caller)
        cuts = _Cuts(part)
        cut = {each for each in peers if cuts.of(each)}
        number = self._peers.connections(self._cut | cut)
        if cut and 2 * number > self._total:
            what = "with the drops before, they hold" if self._cut else "it holds"
            raise UnconfirmedError(
                f"{what} {number:,} of this host's {self._total:,} established connections",
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
        self._rules = list(change.rules.staged)
        self._sets = {*change.sets.staged, *change.entries.staged}
        self._cutting_before = list(_cutting(self._before))
        changed = bool(change.signatures.staged)
        self._cutting_after = list(_cutting(change)) if changed else self._cutting_before

    def __bool__(self) -> bool:
        return bool(self._rules or self._sets or self._begun)

    @property
    def _begun(self) -> list[Rule]:
        known = {each.id for each in self._cutting_before}
        return [each for each in self._cutting_after if each.id not in known]

    @property
    def adds_one_rule(self) -> bool:
        """Whether it is a new rule, which can be tried."""
        new = [each for each in self._rules if self._before.standing(each) is None]
        return len(new) + len(self._begun) == 1 and not self._sets

    def touched(self, peers: Peers) -> Iterator[bytes]:
        """The peers that the change may be about."""
        for source in self._rules:
            yield from peers.covered(source)
        for name in self._sets:
            for draft in (self._before, self._after):
                yield from _within(draft.entries_of(name), peers)
        for signature in self._begun:
            source = signature.match.get("source")
            yield from peers if source is None else peers.covered(source)

    def of(self, peer: bytes) -> Cut | None:
        """From when on connections with a peer are cut off, if that is earlier than before."""
        address = Prefix(peer, 8 * len(peer))
        before = _first_cut(self._before, address, self._cutting_before)
        cut = _first_cut(self._after, address, self._cutting_after)
        return cut if earlier(cut, before) else None


def _first_cut(draft: Draft, address: Prefix, cutting: list[Rule]) -> Cut | None:
    """The first cut of connections with an address.

    What is provisional ends by itself unless it is confirmed, so it cuts off nobody.
    """
    return first_cut(
        draft, address, _drops_known, (each for each in cutting if _reaches(each, address))
    )


def _drops_known(entry: MatchingEntry) -> bool:
    owner = entry.rule or entry.set
    tried = entry.rule is not None and entry.rule.confirm_by_ns
    return owner is not None and owner.spare is Spare.NONE and not tried


def _cutting(draft: Draft) -> Iterator[Rule]:
    """Signatures that drop all TCP packets of a source, or of everybody."""
    for each in draft.signatures.values():
        acts = each.action is Action.DROP and each.mode is Mode.ENFORCE
        protocols = each.match.get("protocol")
        tcp = protocols is None or ranges.holds(protocols, TCP)
        whole = tcp and each.match.narrowing <= _HARDLY_NARROWING
        gone = each.confirm_by_ns or each.expired(draft.now.ns)
        if acts and whole and each.spare is Spare.NONE and not gone:
            yield each


def _reaches(signature: Rule, address: Prefix) -> bool:
    source: Prefix | None = signature.match.get("source")
    family = signature.match.family
    return family in (None, address.family) and (source is None or source.covers(address))


def _some(peers: set[bytes]) -> list[bytes]:
    ordered = sorted(peers)
    return ordered[:: max(1, len(ordered) // _MOST)]


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
