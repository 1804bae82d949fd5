# SPDX-License-Identifier: GPL-2.0-or-later
"""Releasing a source by hand: it passes for a while, whatever detectors report."""

from typing import NamedTuple

from xdpctl.base.net.prefix import Prefix
from xdpctl.control.operations import source_rules
from xdpctl.control.operations.changing import Added
from xdpctl.control.operations.removal import RuleOrSignature, matching
from xdpctl.control.state.draft import Draft
from xdpctl.errors import ConflictError
from xdpctl.mitigation.undo import HitsOf, ending
from xdpctl.model import tags
from xdpctl.model.identity import Caller
from xdpctl.model.requests import RuleRequest
from xdpctl.model.rule import Action, Rule
from xdpctl.model.signature import automatic


class Released(NamedTuple):
    """The accept that stands now, and how many rules of detectors it took away."""

    added: Added[Rule]
    removed: int


def release(
    draft: Draft, source: Prefix, seconds: float, reason: str, caller: Caller, hits: HitsOf
) -> Released:
    """Accept a source for so many seconds, and remove the drops of detectors inside it.

    Until it ends, no detector can drop the source or a part of it.
    """

    def dropped(rule: RuleOrSignature) -> bool:
        drops = isinstance(rule, Rule) and rule.action is Action.DROP and automatic(rule)
        return drops and rule.source is not None and source.covers(rule.source)

    _refuse_own(draft.standing(source))
    gone = matching(draft, dropped)
    ended = ending(draft, f"released by {caller.name}", hits)
    request = RuleRequest(
        source, Action.ACCEPT, ttl=seconds, reason=reason, tags=(tags.RELEASED,), replace=True
    )
    added = source_rules.add(draft, request, caller)
    for rule in gone:
        ended(rule)
        if isinstance(rule, Rule) and rule.source != source:
            draft.remove(rule)
    return Released(added, len(gone))


def _refuse_own(standing: Rule | None) -> None:
    """ConflictError if a person's own rule would be replaced by one that ends."""
    if standing is None or automatic(standing) or tags.RELEASED in standing.tags:
        return
    if standing.action is Action.ACCEPT:
        fix = f"it passes already; to let it end: xdpctl edit {standing.source} --ttl 1h"
    else:
        fix = (
            f"remove that rule first: xdpctl unblock {standing.source}; "
            f"or change it: xdpctl edit {standing.source} --action accept"
        )
    raise ConflictError(
        f"there is a rule of {standing.origin} on {standing.source}: {standing.action}",
        "source",
        fix,
    )
