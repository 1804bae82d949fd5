# SPDX-License-Identifier: GPL-2.0-or-later
"""Refuses changes that would hold most of this host's established connections, unless meant.

It looks at one change at a time: what several drops hold that came one after the other is not added
up.
"""

from collections.abc import Iterator

import numpy as np

from xdpctl.base.net.prefix import Prefix
from xdpctl.base.net.prefix_arrays import FAMILIES, within
from xdpctl.base.net.tcp_peers import Peers
from xdpctl.control.operations.admission import CONFIRM, FORCE, refuse_wide
from xdpctl.control.state.draft import Draft
from xdpctl.errors import UnconfirmedError
from xdpctl.model.match import ranges
from xdpctl.model.match.components import TCP
from xdpctl.model.requests import RuleRequest, SignatureRequest
from xdpctl.model.rule import Action, Mode, Rule, Spare
from xdpctl.model.signature import Signature
from xdpctl.model.source_set import Entries, SourceSet

_LEAST = 8  # fewer connections are no majority
_HARDLY_NARROWING = frozenset(("source", "protocol", "packet_length", "ttl"))
Asked = RuleRequest | SignatureRequest | Rule | Signature


class PeersGuard:
    """Counts the connections that enforced drops hold, and refuses the one that is too much."""

    def __init__(self, peers: Peers) -> None:
        self._peers, self._total = peers, peers.elsewhere()
        self._held: set[bytes] = set()
        self._number = 0  # of connections with these

    def check(self, asked: Asked, fix: str = CONFIRM) -> None:
        """UnconfirmedError, with this fix, if the drop is one too many; it is not counted then."""
        if self._total < _LEAST or not _cuts(asked) or _is_meant(asked):
            return
        covered = self._covered(asked) - self._held
        if covered:
            what = "with the drops before, they hold" if self._held else f"{_name(asked)} holds"
            number = self._number + self._peers.connections(covered)
            self._refuse_most(number, what, fix)
            self._held |= covered
            self._number = number

    def check_set(self, entries: Entries) -> None:
        """UnconfirmedError if the entries of a set that drops hold most connections."""
        if self._total >= _LEAST:
            held = self._peers.connections(_within(entries, self._peers))
            self._refuse_most(held, "the entries of the set hold", FORCE)

    def check_changes(self, before: Draft, after: Draft) -> None:
        """The same for everything that drops after a change and did not before it.

        For changes that put back or switch on what may be old. A wide drop is refused, too.
        """
        for source, rule in after.rules.items():
            was = before.standing(source)
            if rule and not (was and _cuts(was)):
                refuse_wide(was, rule, False, FORCE)
                self.check(rule, FORCE)
        for identity, signature in after.signatures.items():
            old = before.signature(identity)
            if signature and not (old and _cuts(old)):
                self.check(signature, FORCE)
        for name, held in after.sets.items():
            known = before.set_named(name)
            same = name not in after.entries or after.entries[name] is before.entries.get(name)
            if held and set_cuts(held) and not (known and set_cuts(known) and same):
                self.check_set(after.entries_of(name))

    def _covered(self, asked: Asked) -> set[bytes]:
        source = _source(asked)
        return set(self._peers if source is None else self._peers.covered(source))

    def _refuse_most(self, number: int, what: str, fix: str) -> None:
        if 2 * number > self._total:
            raise UnconfirmedError(
                f"{what} {number:,} of this host's {self._total:,} established connections",
                "match.source",
                fix,
            )


def set_cuts(held: SourceSet) -> bool:
    """Whether a set drops packets of established connections."""
    enforced = held.action is Action.DROP and held.mode is Mode.ENFORCE
    return enforced and held.spare is Spare.NONE


def _cuts(asked: Asked) -> bool:
    """Whether it drops all TCP packets of its source, or of everybody, by its match."""
    if asked.action is not Action.DROP or asked.mode is not Mode.ENFORCE:
        return False
    if isinstance(asked, RuleRequest | Rule):
        return asked.spare is Spare.NONE
    protocols = asked.match.get("protocol")
    tcp = protocols is None or ranges.holds(protocols, TCP)
    return tcp and asked.spare is Spare.NONE and asked.match.narrowing <= _HARDLY_NARROWING


def _is_meant(asked: Asked) -> bool:
    if isinstance(asked, RuleRequest | SignatureRequest):
        return asked.force or asked.confirm_within is not None
    return bool(asked.confirm_by_ns)


def _source(asked: Asked) -> Prefix | None:
    if isinstance(asked, RuleRequest | Rule):
        return asked.source
    source: Prefix | None = asked.match.get("source")
    return source


def _name(asked: Asked) -> str:
    return str(_source(asked) or "the match")


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
