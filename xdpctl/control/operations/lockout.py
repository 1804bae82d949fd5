# SPDX-License-Identifier: GPL-2.0-or-later
"""Checks that no change cuts off the caller or a logged-in user. Reads a draft."""

from collections.abc import Iterator

from xdpctl.base.net.prefix import Prefix
from xdpctl.control.state.coverage import MatchingEntry, around, covering, deciding
from xdpctl.control.state.draft import Draft
from xdpctl.errors import LockoutError
from xdpctl.model.identity import Caller
from xdpctl.model.rule import Action, Mode, Rule

_NEVER = 1 << 63


def addresses(draft: Draft, caller: Caller) -> Iterator[tuple[Prefix, str]]:
    """The addresses to keep reachable, each with a description; the caller's comes first."""
    if caller.address:
        yield caller.address, "the address you are calling from"
    for address in draft.state.people(draft.now.ns):
        if address != caller.address:
            yield address, "from which a user is logged in"


def name(address: Prefix) -> str:
    """The address without its prefix length."""
    return str(address).split("/")[0]


def refuse_drop(draft: Draft, rule: Rule, caller: Caller) -> None:
    """LockoutError if a drop covers one of these addresses and no accept lasts as long.

    A provisional drop may cover the addresses of users other than the caller.
    """
    if rule.action is not Action.DROP or rule.mode is Mode.MONITOR:
        return
    for address, who in addresses(draft, caller):
        if not rule.source.covers(address) or _accepted(draft, rule, address):
            continue
        if rule.confirm_by_ns and address != caller.address:
            continue
        allow = f"xdpctl allow {name(address)}"
        fix = f"accept your own address first, for as long: {allow}"
        if address != caller.address:
            fix = f"add confirm_within, or accept the address first, for as long: {allow}"
        raise LockoutError(f"{rule.source} contains {name(address)}, {who}", "match.source", fix)


def _accepted(draft: Draft, rule: Rule, address: Prefix) -> bool:
    """Whether a more specific entry accepts the address until the drop has ended."""
    found = deciding(draft, address)
    if found is None or found.prefix.length <= rule.source.length:
        return False
    return found.action is Action.ACCEPT and ends(found) >= (rule.kernel_expires_ns or _NEVER)


def ends(found: MatchingEntry) -> int:
    """When an entry ends, in CLOCK_MONOTONIC nanoseconds; 1 << 63 for never."""
    return (found.rule.kernel_expires_ns if found.rule else 0) or _NEVER


def refuse_cut(before: Draft, after: Draft, caller: Caller, field: str) -> None:
    """LockoutError if one of these addresses passes before a change and is dropped after it."""
    for address, who in addresses(before, caller):
        was, now = deciding(before, address), deciding(after, address)
        if now is None or now.action is Action.ACCEPT or (was and was.action is Action.DROP):
            continue
        whose = "your own" if address == caller.address else "the"
        fix = f"accept {whose} address first: xdpctl allow {name(address)}"
        raise LockoutError(
            f"after this change, {now} would drop {name(address)}, {who}", field, fix
        )


def refuse_end(draft: Draft, rule: Rule, caller: Caller) -> None:
    """LockoutError if an accept ends before a wider drop that would then hit such an address."""
    if rule.action is not Action.ACCEPT or not rule.kernel_expires_ns:
        return
    for address, who in addresses(draft, caller):
        if not rule.source.covers(address):
            continue
        others = (f for f in covering(draft, address) if not f.rule or f.prefix != rule.source)
        behind = next(filter(_decides, others), None)
        if behind and behind.action is Action.DROP and ends(behind) > rule.kernel_expires_ns:
            raise LockoutError(
                f"when it ends, {behind} would drop {name(address)}, {who}",
                "ttl",
                f"let the accept last as long, or remove {behind} first",
            )


def refuse_loss(draft: Draft, rule: Rule, caller: Caller) -> None:
    """LockoutError if a wider drop would hit one of these addresses without this accept."""
    wider = around(draft, rule.source)
    if rule.action is not Action.ACCEPT or wider is None or wider.action is not Action.DROP:
        return
    for address, who in addresses(draft, caller):
        found = deciding(draft, address) if rule.source.covers(address) else None
        if found and found.rule == rule:
            raise LockoutError(
                f"without this accept, the drop of {wider} would hit {name(address)}, {who}",
                "id",
                f"remove the drop of {wider} first",
            )


def about_to_be_dropped(
    draft: Draft, within_ns: int
) -> Iterator[tuple[Prefix, MatchingEntry, MatchingEntry]]:
    """Users whom a drop will hit within `within_ns`: address, accept that ends, and the drop."""
    for address in draft.state.people(draft.now.ns):
        found = [entry for entry in covering(draft, address) if _decides(entry)]
        later = [entry for entry in found if ends(entry) > draft.now.ns + within_ns]
        if not found or not later or found[0] is later[0]:
            continue
        if found[0].action is Action.ACCEPT and later[0].action is Action.DROP:
            yield address, found[0], later[0]


def _decides(found: MatchingEntry) -> bool:
    return found.applied and found.mode is Mode.ENFORCE
