# SPDX-License-Identifier: GPL-2.0-or-later
"""Refuses changes after which most of this host's established connections are cut off.

It compares what happens to each connection before and after a change, whatever the change is: a
drop that begins, or an accept that goes. Each change is judged by itself: what several cut off that
came one after the other is not added up, except within an import.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TypeVar

import numpy as np

from xdpctl.base.net.prefix import Prefix
from xdpctl.base.net.prefix_arrays import FAMILIES, within
from xdpctl.base.net.tcp_peers import Peers
from xdpctl.control.guards.wide import CONFIRM, FORCE, refuse_wide
from xdpctl.control.state.coverage import deciding
from xdpctl.control.state.draft import Draft
from xdpctl.errors import UnconfirmedError
from xdpctl.model.match import ranges
from xdpctl.model.match.components import TCP
from xdpctl.model.rule import Action, Mode, Spare
from xdpctl.model.signature import Signature
from xdpctl.model.source_set import Entries

_LEAST = 8  # fewer connections are no majority
_MOST = 1_000  # peers that are looked at: of more, a part that stands for all
K = TypeVar("K")
V = TypeVar("V")
T = TypeVar("T")
_HARDLY_NARROWING = frozenset(("source", "protocol", "packet_length", "ttl"))


class ConnectionsGuard:
    """Judges changes by the peers of this host's connections as of now."""

    def __init__(self, peers: Callable[[], Peers]) -> None:
        self._peers = peers

    def check(self, before: Draft, after: Draft) -> None:
        """UnconfirmedError if the change between two drafts is one too many, or a wide drop."""
        for source, rule in _differing(before.rules, after.rules):
            if rule is not None:
                refuse_wide(before.standing(source), rule, False, FORCE)
        changes = _Changes(before, after)
        if not changes:
            return
        peers = self._peers()
        total = peers.elsewhere()
        if total < _LEAST:
            return
        touched = set(changes.touched(peers))
        looked = _some(touched)
        cut = [each for each in looked if changes.cuts(each)]
        number = round(peers.connections(cut) * len(touched) / max(len(looked), 1))
        if 2 * number > total:
            what = changes.cause(cut[0])
            raise UnconfirmedError(
                f"after this change, {what} cuts off {number:,} of this host's {total:,} "
                "established connections",
                "match.source",
                CONFIRM if changes.adds_one_rule else FORCE,
            )


class ImportGuard:
    """The same for an import, of which each line is judged with those before it."""

    def __init__(self, peers: Peers) -> None:
        self._peers, self._total = peers, peers.elsewhere()
        self._cut: set[bytes] = set()

    def take(self, draft: Draft, source: Prefix | None, stage: Callable[[], T], fix: str) -> T:
        """Stage a line about a source (None: any); UnconfirmedError if it is one too many.

        Nothing of the line is staged then.
        """
        there = set(self._peers if source is None else self._peers.covered(source)) - self._cut
        if self._total < _LEAST or not there:
            return stage()
        before = draft.copy()
        staged = stage()
        changes = _Changes(before, draft)
        cut = {each for each in there if changes.cuts(each)}
        number = self._peers.connections(self._cut | cut)
        if cut and 2 * number > self._total:
            draft.restore(before)
            what = "with the drops before, they hold" if self._cut else "it holds"
            raise UnconfirmedError(
                f"{what} {number:,} of this host's {self._total:,} established connections",
                "match.source",
                fix,
            )
        self._cut |= cut
        return staged


class _Changes:
    """What differs between two drafts, and whom it cuts off."""

    def __init__(self, before: Draft, after: Draft) -> None:
        self._before, self._after = before, after
        self._rules = [source for source, _ in _differing(before.rules, after.rules)]
        self._sets = {
            name
            for name, _ in (
                *_differing(before.sets, after.sets),
                *_differing(before.entries, after.entries),
            )
        }
        same = not any(_differing(before.signatures, after.signatures))
        self._cutting_before = list(_cutting(before))
        self._cutting_after = self._cutting_before if same else list(_cutting(after))

    def __bool__(self) -> bool:
        return bool(self._rules or self._sets or self._begun)

    @property
    def _begun(self) -> list[Signature]:
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

    def cuts(self, peer: bytes) -> bool:
        """Whether connections with a peer pass before and not after."""
        address = Prefix(peer, 8 * len(peer))
        return (
            _cutter(self._before, address, self._cutting_before) is None
            and _cutter(self._after, address, self._cutting_after) is not None
        )

    def cause(self, peer: bytes) -> str:
        """What cuts a peer off."""
        return str(_cutter(self._after, Prefix(peer, 8 * len(peer)), self._cutting_after))


def _differing(before: Mapping[K, V], after: Mapping[K, V]) -> Iterator[tuple[K, V]]:
    for key, value in after.items():
        if key not in before or before[key] is not value:
            yield key, value


def _cutter(draft: Draft, address: Prefix, cutting: Iterable[Signature]) -> object | None:
    """What drops packets of established connections from an address; None if nothing does.

    What is provisional ends by itself unless it is confirmed, so it cuts off nobody.
    """
    found = deciding(draft, address)
    if found is not None and found.action is Action.ACCEPT:
        return None
    owner = found and (found.rule or found.set)
    if owner and owner.spare is Spare.NONE and not (found and found.rule and _tried(found.rule)):
        return found
    return next((each.match for each in cutting if _reaches(each, address)), None)


def _tried(rule: object) -> bool:
    return bool(getattr(rule, "confirm_by_ns", 0))


def _cutting(draft: Draft) -> Iterator[Signature]:
    """Signatures that drop all TCP packets of a source, or of everybody."""
    for each in draft.all_signatures():
        acts = each.action is Action.DROP and each.mode is Mode.ENFORCE
        protocols = each.match.get("protocol")
        tcp = protocols is None or ranges.holds(protocols, TCP)
        whole = tcp and each.match.narrowing <= _HARDLY_NARROWING
        ends = each.confirm_by_ns or each.expired(draft.now.ns)
        if acts and whole and each.spare is Spare.NONE and not ends:
            yield each


def _reaches(signature: Signature, address: Prefix) -> bool:
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
