# SPDX-License-Identifier: GPL-2.0-or-later
"""Removing many rules at once: all that match, or none."""

from collections.abc import Callable

from xdpctl.control.state.draft import Draft
from xdpctl.errors import ConflictError
from xdpctl.model import policy
from xdpctl.model.identity import Caller
from xdpctl.model.rule import Rule

_NAMED = 20  # rules that an audit record names


def matching(draft: Draft, wanted: Callable[[Rule], bool]) -> list[Rule]:
    """The live rules for which `wanted` is true."""
    return [rule for rule in draft.all_rules() if wanted(rule)]


def remove_many(
    draft: Draft,
    wanted: Callable[[Rule], bool],
    caller: Caller,
    expected: int | None,
    ended: Callable[[Rule], None],
) -> list[Rule]:
    """Remove all that match; `ended` is told of each.

    ConflictError unless there are `expected` of them; RoleError if one belongs to another origin.
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
    for rule in found:
        ended(rule)
        draft.remove(rule)
    if found:
        first = [rule.id for rule in found[:_NAMED]]
        draft.note(caller.name, "rule.remove-many", "", rules=len(found), first=first)
    return found
