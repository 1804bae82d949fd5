# SPDX-License-Identifier: GPL-2.0-or-later
"""Checks that a signature does not cut off our own sessions.

Protected and accepted sources are decided before any signature, so only others are checked.
"""

from xdpctl.base.net.prefix import Prefix
from xdpctl.control.operations import lockout
from xdpctl.control.state.coverage import deciding
from xdpctl.control.state.draft import Draft
from xdpctl.errors import LockoutError, RoleError, RuleError
from xdpctl.model.identity import Caller, Role
from xdpctl.model.match import bits, ranges
from xdpctl.model.match.components import TCP_FLAGS
from xdpctl.model.match.match import Match
from xdpctl.model.rule import Action, Mode, Spare
from xdpctl.model.signature import CHALLENGES, Signature, automatic

_TCP = 6
_ACK, _OPENING = TCP_FLAGS["ack"], TCP_FLAGS["syn"] | TCP_FLAGS["rst"]
_OF_SESSIONS = [flags for flags in range(4096) if flags & _ACK and not flags & _OPENING]
_ICMP = ("icmp_type", "icmp_code")


def guard(draft: Draft, asked: Signature, caller: Caller, force: bool) -> list[str]:
    """The warnings about a signature; LockoutError or RuleError if it would cut off a session.

    RoleError if it drops everything and the caller is not an admin.
    """
    if asked.action is Action.ACCEPT or asked.mode is Mode.MONITOR:
        return []
    if asked.action is Action.DROP and asked.match.everything:
        _refuse_everything(asked, caller, force)
    reached = [
        (address, who)
        for address, who in lockout.addresses(draft, caller)
        if reaches(asked.match, address) and not _let_in(draft, address)
    ]
    mine = any(address == caller.address for address, _ in reached)
    if mine and asked.limit and asked.limit.by_source:
        return [f"it also limits your own session to {asked.limit}"]
    if asked.action in CHALLENGES:
        return []
    if reached and automatic(asked) and asked.match.get("source") is not None:
        raise LockoutError(
            f"{asked.match} names {lockout.name(reached[0][0])}, {reached[0][1]}",
            "match.source",
            f"accept that address first: xdpctl allow {lockout.name(reached[0][0])}",
        )
    if asked.spare is not Spare.NONE:
        drops_mine = asked.action is Action.DROP and mine
        warning = "it also drops new connections of your own; established ones are spared"
        return [warning][:drops_mine]
    if reached and not asked.confirm_by_ns:
        address, _ = reached[0]
        whose = "your own session" if address == caller.address else "a session"
        raise LockoutError(
            f"it may match {whose} from {lockout.name(address)}, and spares no connection",
            "spare",
            'give spare "known" (--spare known), accept that address first, or add confirm_within',
        )
    if _may_be(asked.match, _TCP):
        return ["it spares no connection: sessions that it matches are cut off"]
    return []


def _let_in(draft: Draft, address: Prefix) -> bool:
    found = deciding(draft, address)
    return found is not None and found.action is Action.ACCEPT


def exposed(draft: Draft, address: Prefix) -> Signature | None:
    """A signature that would cut off a session from an address that nothing accepts, or None."""
    for signature in draft.all_signatures():
        blocks = signature.action is not Action.ACCEPT and signature.mode is Mode.ENFORCE
        paced = signature.limit is not None and signature.limit.by_source
        blocks = blocks and signature.action not in CHALLENGES
        spares = paced or signature.spare is not Spare.NONE or bool(signature.confirm_by_ns)
        cuts = blocks and not spares and not signature.expired(draft.now.ns)
        if cuts and reaches(signature.match, address):
            return signature
    return None


def refuse_cut(before: Draft, after: Draft, caller: Caller, field: str) -> None:
    """LockoutError if a change would cut off the caller or somebody who is logged in.

    By a drop of the source, or by a signature that an accept kept from the caller's session.
    """
    lockout.refuse_cut(before, after, caller, field)
    if caller.address is None:
        return
    was, now = deciding(before, caller.address), deciding(after, caller.address)
    signature = exposed(after, caller.address)
    if now is None and was and was.action is Action.ACCEPT and signature:
        raise LockoutError(
            f"without {was}, {signature.match} would cut off your own session",
            field,
            f"remove {signature.id} first, or let it spare established connections",
        )


def _refuse_everything(asked: Signature, caller: Caller, force: bool) -> None:
    if not force:
        raise RuleError(
            f"{asked.match} matches every packet",
            "match",
            "narrow the match; if everything is to be dropped, an admin can give force (--force)",
        )
    if caller.role is not Role.ADMIN:
        raise RoleError(f"only an admin may drop everything, and {caller.name} is {caller.role}")


def _may_be(match: Match, protocol: int) -> bool:
    given = match.get("protocol")
    return (given is None or ranges.holds(given, protocol)) and not any(map(match.get, _ICMP))


def reaches(match: Match, address: Prefix) -> bool:
    """Whether a match may take a packet of a TCP session from an address; True if in doubt."""
    if match.family not in (None, address.family) or not _may_be(match, _TCP):
        return False
    source, flags = match.get("source"), match.get("tcp_flags")
    if source is not None and not source.covers(address):
        return False
    return flags is None or any(bits.holds(flags, value) for value in _OF_SESSIONS)
