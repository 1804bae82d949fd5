# SPDX-License-Identifier: GPL-2.0-or-later
"""Refuses changes after which the caller, or somebody who is logged in, would be dropped.

It compares when each of these addresses is dropped before and after a change, whatever the change
is: a drop that begins, an accept that goes, or one that ends before what it keeps off.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Concatenate, ParamSpec, TypeVar

from xdpctl.base.net.prefix import Prefix
from xdpctl.control.guards.cuts import Cut, earlier, first_cut
from xdpctl.control.state.coverage import MatchingEntry
from xdpctl.control.state.draft import Draft
from xdpctl.errors import LockoutError
from xdpctl.model import policy
from xdpctl.model.effect import CHALLENGES, Action, Mode, Spare
from xdpctl.model.identity import Caller
from xdpctl.model.match import bits, ranges
from xdpctl.model.match.components import TCP, TCP_FLAGS
from xdpctl.model.match.match import Match
from xdpctl.model.rule import STANDING, Rule, automatic

_ACK, _OPENING = TCP_FLAGS["ack"], TCP_FLAGS["syn"] | TCP_FLAGS["rst"]
_OF_SESSIONS = [flags for flags in range(4096) if flags & _ACK and not flags & _OPENING]
_ICMP = ("icmp_type", "icmp_code")
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

    A provisional drop of a source may hit users other than the caller, and a provisional match
    anybody: it undoes itself. The rule that is confirmed may hit all: somebody got in to say so.
    """
    before = change.before
    assert before is not None  # noqa: S101  # it is a branch
    _refuse_protected(before, change)
    mine = caller.address if caller else None
    for address, who in kept(before, caller):
        if not _touches(change, address):
            continue
        own = address == mine
        cut = cut_of(change, address, own, confirms)
        if cut and earlier(cut, cut_of(before, address, own)):
            raise _refusal(before, cut, address, who, own)


def take(
    draft: Draft,
    caller: Caller | None,
    stage: Callable[Concatenate[Draft, P], T],
    *args: P.args,
    **kwargs: P.kwargs,
) -> T:
    """Stage one part of a change, which alone is refused if `check` refuses it."""
    part = draft.branch()
    staged = stage(part, *args, **kwargs)
    check(part, caller)
    part.merge()
    return staged


def cut_of(draft: Draft, address: Prefix, tried: bool, confirms: str = "") -> Cut | None:
    """When an address is cut off, but for the rule with the id `confirms`.

    A provisional drop of its source counts if `tried`. What spares known connections counts where
    it names a source: who is logged in comes again.
    """

    def drops(entry: MatchingEntry) -> bool:
        rule = entry.rule
        return rule is None or (rule.id != confirms and (tried or not rule.confirm_by_ns))

    rest = (each for each in draft.signatures.values() if each.id != confirms)
    signatures = (each for each in rest if _cuts(each, address))
    return first_cut(draft, address, drops, signatures)


def name(address: Prefix) -> str:
    """The address without its prefix length."""
    return str(address).split("/")[0]


def _refuse_protected(before: Draft, change: Draft) -> None:
    for source, rule in change.rules.staged.items():
        was = before.rules.get(source)
        if rule and not (was and was.same_effect(rule)):
            policy.guard(rule, change.state.protection)


def _touches(change: Draft, address: Prefix) -> bool:
    """Whether a branch may change when an address is cut off."""
    if change.sets.staged or change.entries.staged:
        return True
    if any(source.covers(address) for source in change.rules.staged):
        return True
    staged = change.signatures.staged.values()
    return any(each and _cuts(each, address) for each in staged)


def _cuts(signature: Rule, address: Prefix) -> bool:
    """Whether a signature may drop packets of a session from an address."""
    if signature.action in (Action.ACCEPT, *CHALLENGES) or signature.mode is Mode.MONITOR:
        return False
    if signature.origin in STANDING or not reaches(signature.match, address):
        return False
    if _names(signature):
        return True
    paced = signature.limit is not None and signature.limit.by_source
    return signature.spare is Spare.NONE and not (paced or signature.confirm_by_ns)


def _names(signature: Rule) -> bool:
    """Whether a detector chose the source: then new connections are kept out, too."""
    return automatic(signature) and signature.match.get("source") is not None


def reaches(match: Match, address: Prefix) -> bool:
    """Whether a match may take a packet of a TCP session from an address; True if in doubt."""
    if match.family not in (None, address.family) or not may_be_tcp(match):
        return False
    source, flags = match.get("source"), match.get("tcp_flags")
    if source is not None and not source.covers(address):
        return False
    return flags is None or any(bits.holds(flags, value) for value in _OF_SESSIONS)


def may_be_tcp(match: Match) -> bool:
    """Whether a match may take TCP packets."""
    given = match.get("protocol")
    return (given is None or ranges.holds(given, TCP)) and not any(map(match.get, _ICMP))


def _refusal(before: Draft, cut: Cut, address: Prefix, who: str, mine: bool) -> LockoutError:
    error = partial(_of_signature if isinstance(cut.cause, Rule) else _of_entry, before, cut)
    return error(address, who, mine)


def _of_entry(before: Draft, cut: Cut, address: Prefix, who: str, mine: bool) -> LockoutError:
    entry = cut.cause
    assert isinstance(entry, MatchingEntry)  # noqa: S101  # the caller has looked
    allow, what = f"xdpctl allow {name(address)}", f"{name(address)}, {who}"
    if entry.rule and before.standing(entry.prefix) != entry.rule:
        fix = f"accept your own address first, for as long: {allow}"
        if not mine:
            fix = f"add confirm_within, or accept the address first, for as long: {allow}"
        return LockoutError(f"{entry.prefix} contains {what}", "match.source", fix)
    if cut.kept and cut.at_ns > before.now.ns:
        fix = f"let the accept last as long, or remove {entry} first"
        return LockoutError(f"when it ends, {entry} would drop {what}", "ttl", fix)
    field = "entries" if entry.set else "id"
    fix = f"accept {'your own' if mine else 'the'} address first: {allow}"
    if entry.rule:
        fix = f"remove the drop of {entry} first"
    return LockoutError(f"after this change, {entry} would drop {what}", field, fix)


def _of_signature(before: Draft, cut: Cut, address: Prefix, who: str, mine: bool) -> LockoutError:
    rule = cut.cause
    assert isinstance(rule, Rule)  # noqa: S101  # the caller has looked
    session = f"{'your own' if mine else 'a'} session from {name(address)}"
    if before.signature(rule.id) == rule:
        fix = f"remove {rule.id} first, or let it spare established connections"
        return LockoutError(f"after this change, {rule.match} would cut off {session}", "id", fix)
    if _names(rule):
        fix = f"accept that address first: xdpctl allow {name(address)}"
        return LockoutError(f"{rule.match} names {name(address)}, {who}", "match.source", fix)
    fix = 'give spare "known" (--spare known), accept that address first, or add confirm_within'
    return LockoutError(f"{rule.match} may match {session}, and spares no connection", "spare", fix)
