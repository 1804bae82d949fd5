# SPDX-License-Identifier: GPL-2.0-or-later
"""Warnings about a rule for its caller, and the check of drops that only an admin may add.

Protected and accepted sources are decided before any match.
"""

from xdpctl.control.guards import cuts
from xdpctl.control.state.coverage import deciding
from xdpctl.control.state.draft import Draft
from xdpctl.errors import RoleError, RuleError
from xdpctl.model import policy
from xdpctl.model.effect import CHALLENGES, Action, Mode, Spare
from xdpctl.model.identity import Caller, Role
from xdpctl.model.rule import DNS_ONLY, QUIC_ONLY, Rule, of_quic, of_udp


def warnings(draft: Draft, rule: Rule, caller: Caller) -> list[str]:
    """What a rule does to the caller, to connections, or to what is protected.

    LockoutError if it drops what is protected.
    """
    if rule.by_source:
        return policy.guard(rule, draft.state.protection)
    if rule.action is Action.ACCEPT or rule.mode is Mode.MONITOR:
        return []
    mine = caller.address is not None and _reaches(draft, rule, caller)
    if mine and rule.limit and rule.limit.by_source:
        return [f"it also limits your own connection to {rule.limit}"]
    if rule.action in CHALLENGES:
        return _of_challenge(rule)
    if rule.spare is not Spare.NONE:
        drops_mine = mine and rule.action is Action.DROP
        return ["it also drops new connections of your own; established ones are spared"][
            :drops_mine
        ]
    if cuts.may_be_tcp(rule.match):
        return ["it spares no connection: those that it matches are cut off"]
    return []


def _of_challenge(rule: Rule) -> list[str]:
    port = rule.match.get("destination_port")
    if port not in (DNS_ONLY, QUIC_ONLY):
        return []
    if of_quic(rule.match):
        return ["browsers come by TCP first: the server must accept that on port 443"]
    if of_udp(rule.match):
        return ["resolvers get their first answer over TCP: the name server must accept that"]
    if rule.action is Action.CHALLENGE and rule.match.get("protocol") is None:
        what = "queries" if port == DNS_ONLY else "QUIC's packets"
        return [f"{what} over UDP are not challenged: for them write udp dst-port {port[0][0]}"]
    return []


def refuse_everything(rule: Rule, caller: Caller, force: bool) -> None:
    """RuleError, or RoleError unless an admin asks for it, if a match drops every packet."""
    if rule.by_source or not rule.match.everything:
        return
    if (rule.action, rule.mode) != (Action.DROP, Mode.ENFORCE):
        return
    if not force:
        raise RuleError(
            f"{rule.match} matches every packet",
            "match",
            "narrow the match; if everything is to be dropped, an admin can give force (--force)",
        )
    if caller.role is not Role.ADMIN:
        raise RoleError(f"only an admin may drop everything, and {caller.name} is {caller.role}")


def _reaches(draft: Draft, rule: Rule, caller: Caller) -> bool:
    if caller.address is None or not cuts.reaches(rule.match, caller.address):
        return False
    entry = deciding(draft, caller.address)
    return entry is None or entry.action is not Action.ACCEPT
