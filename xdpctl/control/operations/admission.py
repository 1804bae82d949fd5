# SPDX-License-Identifier: GPL-2.0-or-later
"""What a rule on a source may drop: checked when it is added, replaced, changed or put back."""

from collections.abc import Collection

from xdpctl.base.net.prefix import Prefix
from xdpctl.base.net.prefix_arrays import FAMILIES, within
from xdpctl.base.net.tcp_peers import Peers
from xdpctl.control.state.coverage import covering
from xdpctl.control.state.draft import Draft
from xdpctl.control.state.state import space
from xdpctl.errors import ConflictError, UnconfirmedError
from xdpctl.model import tags
from xdpctl.model.requests import WIDEST_DROP, RuleRequest
from xdpctl.model.rule import OPERATOR, Action, Mode, Rule
from xdpctl.model.signature import automatic
from xdpctl.model.source_set import Entries

_PEERS_LEAST = 8  # fewer connections are no majority
_CONFIRM = "try it with confirm_within (--confirm-within 60s), or give force (--force)"
FORCE = "give force (--force)"  # for a change, which cannot be a trial


def check_share(draft: Draft, before: Rule | None, after: Rule) -> None:
    """QuotaError if a detector's drops would cover too large a share of the address space."""
    more = space(after) - (space(before) if before else 0)
    if not automatic(after) or more <= 0:
        return
    family, quota = after.source.family, draft.state.quota(after.origin)
    of_origin, of_all = draft.covered(family, after.origin), draft.covered(family)
    quota.check_share(after.origin, family, of_origin + more, of_all + more)


def refuse_released(draft: Draft, rule: Rule) -> None:
    """ConflictError for a drop of a detector on what a person has released."""
    if not automatic(rule) or rule.action is not Action.DROP:
        return
    for entry in covering(draft, rule.source):
        released = entry.rule and tags.RELEASED in entry.rule.tags
        if released and entry.prefix != rule.source and _of_operator(entry.rule):
            raise ConflictError(f"an operator has released {entry.prefix}", "match.source", "")


def _of_operator(rule: Rule | None) -> bool:
    return rule is not None and rule.origin == OPERATOR


def refuse_wide(before: Rule | None, rule: Rule, force: bool, fix: str = _CONFIRM) -> None:
    """UnconfirmedError for a new drop of a large part of the Internet that nobody has confirmed."""
    if not _is_wide(rule) or force or (before is not None and _is_wide(before)):
        return
    share = f"1/{1 << rule.source.length}" if rule.source.length else "all"
    widest = WIDEST_DROP[rule.source.family]
    raise UnconfirmedError(
        f"{rule.source} is wider than /{widest}: it drops {share} of IPv{rule.source.family}",
        "match.source",
        fix,
    )


class PeersGuard:
    """Refuses enforced drops that together hold more than half of this host's connections."""

    def __init__(self, peers: Peers) -> None:
        self._peers, self._total = peers, peers.elsewhere()
        self._held: set[bytes] = set()

    def check(self, asked: RuleRequest | Rule, fix: str = _CONFIRM) -> None:
        """UnconfirmedError, with this fix, if the drop is one too many; it is not counted then."""
        if asked.action is not Action.DROP or asked.mode is not Mode.ENFORCE or _is_trial(asked):
            return
        covered = set(self._peers.covered(asked.source)) - self._held
        if covered:
            what = f"{asked.source} holds" if not self._held else "with the drops before, they hold"
            self.refuse_most(covered | self._held, what, fix)
            self._held |= covered

    def refuse_most(self, peers: Collection[bytes], what: str, fix: str) -> None:
        """UnconfirmedError if these are peers of most connections."""
        number = self._peers.connections(peers)
        if self._total >= _PEERS_LEAST and 2 * number > self._total:
            raise UnconfirmedError(
                f"{what} {number:,} of this host's {self._total:,} established connections",
                "match.source",
                fix,
            )

    def check_set(self, entries: Entries) -> None:
        """UnconfirmedError if the entries of a set that drops hold most connections."""
        if self._total >= _PEERS_LEAST:
            what = "the entries of the set hold"
            self.refuse_most(_within(entries, self._peers), what, FORCE)


def _is_trial(asked: RuleRequest | Rule) -> bool:
    if isinstance(asked, RuleRequest):
        return asked.force or asked.confirm_within is not None
    return bool(asked.confirm_by_ns)


def _within(entries: Entries, peers: Peers) -> list[bytes]:
    """The peers that an entry covers."""
    found = []
    for number, keys in entries.items():
        family = FAMILIES[number]
        for address in peers:
            if len(address) * 8 == family.bits:
                exact = Prefix(address, family.bits)
                wider = family.keys(exact.widened(length) for length in range(family.bits + 1))
                if within(keys, wider).any():
                    found.append(address)
    return found


def _is_wide(rule: Rule) -> bool:
    enforced = rule.action is Action.DROP and rule.mode is Mode.ENFORCE
    wide = rule.source.length < WIDEST_DROP[rule.source.family]
    return enforced and wide and not rule.confirm_by_ns
