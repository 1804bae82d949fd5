# SPDX-License-Identifier: GPL-2.0-or-later
"""Limits that nobody posts: those of the configuration, and backstops.

They are added when they are wanted, and removed once they are not.
"""

import logging
from collections.abc import Iterable
from dataclasses import dataclass

from xdpctl.control.operations.slots import free_slot
from xdpctl.control.state.draft import Draft
from xdpctl.model.effect import Action, Mode, Spare
from xdpctl.model.match.match import Match
from xdpctl.model.rate import Rate
from xdpctl.model.rule import CONFIGURED, Rule, sparing

log = logging.getLogger("xdpctl.limits")


@dataclass(frozen=True, slots=True)
class DefaultLimit:
    """One `[[limits]]` table of the configuration."""

    match: Match
    rate: Rate
    mode: Mode = Mode.ENFORCE
    spare: Spare | None = None
    reason: str = ""


def bring(
    draft: Draft, wanted: Iterable[DefaultLimit], origin: str = CONFIGURED, priority: int = 0
) -> None:
    """Make these the only rules of `origin`; leave other origins' alone."""
    limits = {limit.match.id: limit for limit in wanted}
    for rule in draft.all_rules():
        if rule.origin == origin and rule.id not in limits:
            draft.remove(rule)
            draft.note("xdpctl", "rule.remove", rule.id, **rule.describe())
    for identity, limit in limits.items():
        standing = draft.at(limit.match)
        if standing and standing.origin != origin:
            log.warning(
                "the limit of %s (%s) is not applied: %s has a rule with the same match",
                limit.match,
                origin,
                standing.origin,
            )
            continue
        asked = Rule(
            match=limit.match,
            slot=(standing.slot if standing else 0) or free_slot(draft, origin),
            action=Action.LIMIT,
            limit=limit.rate,
            spare=limit.spare or sparing(limit.match, Action.LIMIT, limit.rate),
            mode=limit.mode,
            priority=priority,
            origin=origin,
            reason=limit.reason,
            created_at=standing.created_at if standing else draft.created_at,
        )
        if standing != asked:
            draft.put(asked)
            verb = "rule.change" if standing else "rule.add"
            draft.note("xdpctl", verb, identity, **asked.describe())
