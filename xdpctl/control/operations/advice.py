# SPDX-License-Identifier: GPL-2.0-or-later
"""What a caller should know of a rule, and what only an admin may ask for.

Protected and accepted sources are decided before any match.
"""

from xdpctl.control.guards import cuts
from xdpctl.control.state.coverage import deciding
from xdpctl.control.state.draft import Draft
from xdpctl.errors import RoleError, RuleError
from xdpctl.model import policy
from xdpctl.model.effect import CHALLENGES, Action, Mode, Spare
from xdpctl.model.identity import Caller, Role
from xdpctl.model.rule import Rule


def warnings(draft: Draft, asked: Rule, caller: Caller) -> list[str]:
    """What a rule does to the caller, to connections, or to what is protected.

    LockoutError if it drops what is protected.
    """
    if asked.by_source:
        return policy.guard(asked, draft.state.protection)
    if asked.action is Action.ACCEPT or asked.mode is Mode.MONITOR:
        return []
    mine = caller.address is not None and _reaches(draft, asked, caller)
    if mine and asked.limit and asked.limit.by_source:
        return [f"it also limits your own connection to {asked.limit}"]
    if asked.action in CHALLENGES:
        return []
    if asked.spare is not Spare.NONE:
        drops_mine = mine and asked.action is Action.DROP
        return ["it also drops new connections of your own; established ones are spared"][
            :drops_mine
        ]
    if cuts.may_be_tcp(asked.match):
        return ["it spares no connection: those that it matches are cut off"]
    return []


def refuse_everything(asked: Rule, caller: Caller, force: bool) -> None:
    """RuleError, or RoleError unless an admin asks for it, if a match drops every packet."""
    if asked.by_source or not asked.match.everything:
        return
    if (asked.action, asked.mode) != (Action.DROP, Mode.ENFORCE):
        return
    if not force:
        raise RuleError(
            f"{asked.match} matches every packet",
            "match",
            "narrow the match; if everything is to be dropped, an admin can give force (--force)",
        )
    if caller.role is not Role.ADMIN:
        raise RoleError(f"only an admin may drop everything, and {caller.name} is {caller.role}")


def _reaches(draft: Draft, asked: Rule, caller: Caller) -> bool:
    if caller.address is None or not cuts.reaches(asked.match, caller.address):
        return False
    found = deciding(draft, caller.address)
    return found is None or found.action is not Action.ACCEPT
