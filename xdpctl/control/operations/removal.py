# SPDX-License-Identifier: GPL-2.0-or-later
"""Removing many rules at once: all that match, or none."""

from collections.abc import Callable

from xdpctl.control.operations import signature_guard
from xdpctl.control.state.draft import Draft
from xdpctl.errors import ConflictError
from xdpctl.model import policy
from xdpctl.model.identity import Caller
from xdpctl.model.rule import Rule
from xdpctl.model.signature import Signature

_NAMED = 20  # rules that an audit record names
RuleOrSignature = Rule | Signature


def matching(draft: Draft, wanted: Callable[[RuleOrSignature], bool]) -> list[RuleOrSignature]:
    """The live rules and signatures for which `wanted` is true."""
    live = [one for one in draft.all_signatures() if not one.expired(draft.now.ns)]
    both: list[RuleOrSignature] = [*draft.all_rules(), *live]
    return [one for one in both if wanted(one)]


def remove(draft: Draft, rule: RuleOrSignature) -> None:
    """Stage the removal of a rule of either kind."""
    if isinstance(rule, Signature):
        draft.remove_signature(rule.id)
    else:
        draft.remove(rule)


def remove_many(
    draft: Draft,
    wanted: Callable[[RuleOrSignature], bool],
    caller: Caller,
    expected: int | None,
    ended: Callable[[RuleOrSignature], None],
) -> list[RuleOrSignature]:
    """Remove all that match; `ended` is told of each.

    ConflictError unless there are `expected` of them; LockoutError if somebody would then be
    dropped who passes now; RoleError if one belongs to another origin.
    """
    found = matching(draft, wanted)
    if expected is not None and len(found) != expected:
        raise ConflictError(
            f"{len(found)} rules match now, not {expected}; nothing was removed",
            "count",
            "look again what matches, and confirm that number",
        )
    for rule in found:
        policy.check_change(rule, caller.origin, None)
    trial = draft.copy()
    for rule in found:
        remove(trial, rule)
    signature_guard.refuse_cut(draft, trial, caller, "id")
    for rule in found:
        ended(rule)
        remove(draft, rule)
    if found:
        first = [rule.id for rule in found[:_NAMED]]
        draft.note(caller.name, "rule.remove-many", "", rules=len(found), first=first)
    return found
