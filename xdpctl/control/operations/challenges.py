# SPDX-License-Identifier: GPL-2.0-or-later
"""Puts something in place of challenges where a driver cannot send them.

In place of a challenge there is a limit. But a challenge of queries is monitored, if it is not the
embedded detector's, which raises its limits: any other limit on all queries together would keep
people out, too. A challenge of QUIC stays: nothing is sent for it.
"""

from typing import Any

import msgspec

from xdpctl.control.guards import lockout
from xdpctl.control.state.draft import Draft
from xdpctl.errors import ConflictError, LockoutError
from xdpctl.model.effect import CHALLENGES, Action, Mode, Spare
from xdpctl.model.identity import Caller
from xdpctl.model.match.match import Match
from xdpctl.model.rate import Rate
from xdpctl.model.requests import RuleRequest
from xdpctl.model.rule import BUILTIN, OPERATOR, Rule, of_quic, of_udp

_IN_PLACE = Rate(pps=1_000)  # of a challenge: a rate at which there is no SYN flood yet


def answerable(draft: Draft, ask: RuleRequest, caller: Caller) -> RuleRequest:
    """The request, with something in place of a challenge that the driver cannot send.

    ConflictError if a person asks for that challenge.
    """
    interface = draft.state.cannot_answer
    if not interface or ask.action not in CHALLENGES or ask.mode is not Mode.ENFORCE:
        return ask
    if of_quic(ask.match):
        return ask
    if caller.origin == OPERATOR:
        limit = "--per source" if of_udp(ask.match) else f"--pps {_IN_PLACE.pps:.0f}"
        raise ConflictError(
            f"the driver of {interface} cannot send challenges: every newcomer would be kept out",
            "action",
            f"give a limit: {limit}",
        )
    return msgspec.structs.replace(ask, **_instead(ask.match, caller.origin))


def _instead(match: Match, origin: str) -> dict[str, Any]:
    """What is changed in a challenge that cannot be sent."""
    if of_udp(match) and origin != BUILTIN:
        return {"mode": Mode.MONITOR}
    return {"action": Action.LIMIT, "limit": _IN_PLACE, "spare": Spare.KNOWN}


def challenges(rule: Rule) -> bool:
    """Whether a rule keeps newcomers out until they answer a challenge."""
    return rule.action in CHALLENGES and rule.mode is Mode.ENFORCE


def without_challenges(draft: Draft, interface: str) -> None:
    """Replace every challenge, because the driver of an interface cannot send them."""
    for standing in draft.matches().values():
        if not challenges(standing) or of_quic(standing.match):
            continue
        changed = standing.replace(**_instead(standing.match, standing.origin))
        try:
            lockout.take(draft, None, Draft.put, changed)
        except LockoutError:  # a limit might hit a logged-in user
            changed = standing.replace(mode=Mode.MONITOR)
            draft.put(changed)
        why = f"the driver of {interface} cannot send challenges"
        draft.note("xdpctl", "rule.change", standing.id, **changed.describe(), why=why)
