# SPDX-License-Identifier: GPL-2.0-or-later
"""What a rule on a source may drop: checked when it is added, replaced, changed or put back."""

from xdpctl.control.state.coverage import covering
from xdpctl.control.state.draft import Draft
from xdpctl.control.state.state import space
from xdpctl.errors import ConflictError
from xdpctl.model import tags
from xdpctl.model.rule import OPERATOR, Action, Mode, Rule
from xdpctl.model.signature import automatic


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


def refuse_outranking(draft: Draft, rule: Rule) -> None:
    """ConflictError for an accept of another origin inside what an operator drops.

    The most specific prefix decides, so it would undo what a person asked for.
    """
    if rule.origin == OPERATOR or rule.action is not Action.ACCEPT or rule.mode is Mode.MONITOR:
        return
    for entry in covering(draft, rule.source):
        drops = entry.action is Action.DROP and entry.mode is Mode.ENFORCE
        if drops and (entry.set or _of_operator(entry.rule)):
            raise ConflictError(
                f"{rule.origin} may not accept what an operator drops with {entry}",
                "match.source",
                "ask an operator to accept it",
            )


def _of_operator(rule: Rule | None) -> bool:
    return rule is not None and rule.origin == OPERATOR
