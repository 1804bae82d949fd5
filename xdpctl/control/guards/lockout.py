# SPDX-License-Identifier: GPL-2.0-or-later
"""Refuses changes after which the caller, or somebody who is logged in, would be dropped.

The guard compares when each of these addresses is dropped before and after a change. So it notices
a drop that begins, an accept that is removed, and an accept that ends before the drop it overrides.
"""

from collections.abc import Callable, Iterator
from typing import Concatenate, ParamSpec, TypeVar

from xdpctl.base.net.prefix import Prefix
from xdpctl.control.guards.cuts import Cut, Does, cuts, reaches, takes_all, uncovered
from xdpctl.control.state.coverage import MatchingEntry
from xdpctl.control.state.draft import Draft
from xdpctl.errors import LockoutError
from xdpctl.model import policy
from xdpctl.model.effect import CHALLENGES, Action, Mode, Spare
from xdpctl.model.identity import Caller
from xdpctl.model.rate import Rate
from xdpctl.model.rule import STANDING, Rule, automatic

SSH = 22
_PORTS = (None, SSH)  # of the connections that the guard checks; None: any port
_USABLE_PPS, _USABLE_BPS = 20, 64_000  # least limit for each source with which a connection works
_USABLE_IPV4, _USABLE_IPV6 = 24, 48  # the shortest source prefixes that may share it
P = ParamSpec("P")
T = TypeVar("T")


def kept(draft: Draft, caller: Caller | None) -> Iterator[tuple[Prefix, str]]:
    """The addresses to keep reachable, each with a description; the caller's comes first."""
    mine = caller.address if caller else None
    if mine:
        yield mine, "the address you are calling from"
    for address in draft.state.people(draft.now.ns):
        if address != mine:
            yield address, "from which a user is logged in"


def check(change: Draft, caller: Caller | None, confirms: str = "") -> None:
    """LockoutError if a branch cuts off one of these addresses, or drops what is protected.

    A provisional drop of a source may hit users other than the caller, and a provisional match may
    hit anybody, since both end automatically. The rule with the id `confirms` may hit anybody,
    since whoever confirms it still gets in.
    """
    before = change.before
    assert before is not None  # noqa: S101  # it is a branch
    _refuse_protected(before, change)
    mine = caller.address if caller else None
    for address, who in kept(before, caller):
        if not _touches(change, address):
            continue
        own = address == mine
        for port in _PORTS:
            after = cuts_of(change, address, port, own, confirms)
            cut = uncovered(after, cuts_of(before, address, port, own) if after else [])
            if cut:
                raise _refusal(before, cut, address, who, own)


def take(
    draft: Draft,
    caller: Caller | None,
    stage: Callable[Concatenate[Draft, P], T],
    *args: P.args,
    **kwargs: P.kwargs,
) -> T:
    """Stage one part of a change; if `check` refuses it, the other parts stay."""
    part = draft.branch()
    staged = stage(part, *args, **kwargs)
    check(part, caller)
    part.merge()
    return staged


def cuts_of(
    draft: Draft, address: Prefix, port: int | None, tried: bool, confirms: str = ""
) -> list[Cut]:
    """When connections from an address are cut off, apart from the rule with the id `confirms`.

    A provisional drop of its source counts if `tried`. A rule that spares known connections counts
    if it names a source, since a logged-in user opens new connections.
    """

    def of_entry(entry: MatchingEntry) -> Does:
        rule = entry.rule
        if entry.action is Action.ACCEPT:
            return Does.LETS_IN
        if rule and (rule.id == confirms or (rule.confirm_by_ns and not tried)):
            return Does.NOTHING
        return Does.CUTS

    def of_match(rule: Rule) -> Does:
        if rule.id == confirms or rule.mode is Mode.MONITOR:
            return Does.NOTHING
        if rule.action is Action.ACCEPT:
            return Does.LETS_IN if takes_all(rule.match, address, port) else Does.NOTHING
        return Does.CUTS if _cuts(rule, address, port) else Does.NOTHING

    return cuts(draft, address, of_entry, of_match)


def name(address: Prefix) -> str:
    """The address without its prefix length."""
    return str(address).split("/")[0]


def _refuse_protected(before: Draft, change: Draft) -> None:
    for key, rule in change.rules.staged.items():
        earlier = before.rules.get(key)
        if rule and not (earlier and earlier.same_effect(rule)):
            policy.guard(rule, change.state.protection)


def _touches(change: Draft, address: Prefix) -> bool:
    """Whether a branch may change when an address is cut off."""
    if change.sets.staged or change.entries.staged:
        return True
    before = change.before
    assert before is not None  # noqa: S101  # it is a branch
    for key, rule in change.rules.staged.items():
        if isinstance(key, Prefix):
            if key.covers(address):
                return True
            continue
        earlier = before.rules.get(key)
        if rule and _cuts(rule, address, None):
            return True
        if earlier and earlier.action is Action.ACCEPT and reaches(earlier.match, address):
            return True
    return False


def _cuts(rule: Rule, address: Prefix, port: int | None) -> bool:
    """Whether a rule on a match may drop packets of a connection from an address."""
    if rule.action in (Action.ACCEPT, *CHALLENGES) or rule.mode is Mode.MONITOR:
        return False
    if rule.origin in STANDING or not reaches(rule.match, address, port):
        return False
    if _names(rule):
        return True
    if rule.spare is not Spare.NONE or rule.confirm_by_ns:
        return False
    return rule.limit is None or not _usable(rule.limit)


def _usable(limit: Rate) -> bool:
    """Whether a connection goes on within a limit for each source."""
    rate = limit.pps >= _USABLE_PPS or limit.bps >= _USABLE_BPS
    return rate and limit.per_ipv4 >= _USABLE_IPV4 and limit.per_ipv6 >= _USABLE_IPV6


def _names(rule: Rule) -> bool:
    """Whether a detector chose the source of a rule, which then drops new connections, too."""
    return automatic(rule) and rule.match.source is not None


def _refusal(before: Draft, cut: Cut, address: Prefix, who: str, mine: bool) -> LockoutError:
    cause, what = cut.cause, f"{name(address)}, {who}"
    allow = f"xdpctl allow {name(address)}"
    if isinstance(cause, Rule):
        return _of_match(before, cause, address, what, mine)
    if cause.rule and before.standing(cause.prefix) != cause.rule:
        fix = f"accept your own address first, for as long: {allow}"
        if not mine:
            fix = f"add confirm_within, or accept the address first, for as long: {allow}"
        return LockoutError(f"{cause.prefix} contains {what}", "match.source", fix)
    if cut.kept and cut.start > before.now.ns:
        fix = f"let the accept last as long, or remove {cause} first"
        return LockoutError(f"when it ends, {cause} would drop {what}", "ttl", fix)
    field = "entries" if cause.set else "id"
    fix = f"accept {'your own' if mine else 'the'} address first: {allow}"
    if cause.rule:
        fix = f"remove the drop of {cause} first"
    return LockoutError(f"after this change, {cause} would drop {what}", field, fix)


def _of_match(before: Draft, rule: Rule, address: Prefix, what: str, mine: bool) -> LockoutError:
    connection = f"{'your own' if mine else 'a'} connection from {name(address)}"
    if before.find(rule.id) == rule:
        fix = f"remove {rule.id} first, or let it spare established connections"
        why = f"after this change, {rule.match} would cut off {connection}"
        return LockoutError(why, "id", fix)
    if _names(rule):
        fix = f"accept that address first: xdpctl allow {name(address)}"
        return LockoutError(f"{rule.match} names {what}", "match.source", fix)
    fix = 'give spare "known" (--spare known), accept that address first, or add confirm_within'
    why = f"{rule.match} may drop packets of {connection}: it spares no connection"
    return LockoutError(why, "spare", fix)
