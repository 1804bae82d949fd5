# SPDX-License-Identifier: GPL-2.0-or-later
"""Removes rules for a person: those added automatically or by a change, or all that match.

Each rule that ends is recorded in its incident as taken back by a person.
"""

from collections.abc import Callable, Container, Sequence

from xdpctl.abi.structs import Hits
from xdpctl.control.operations.bulk import remove_many
from xdpctl.control.operations.undo import Undone, undo
from xdpctl.control.state import changes
from xdpctl.control.state.draft import Draft
from xdpctl.errors import NotFoundError, RuleError
from xdpctl.incidents.ledger import rule_notes
from xdpctl.incidents.ledger.attribution import of_rule
from xdpctl.model.identity import Caller
from xdpctl.model.rule import OPERATOR, STANDING, Rule, automatic

_NAMED = 20  # rules that an audit record names
HitsOf = Callable[[Rule], Hits]


def ending(draft: Draft, why: str, hits: HitsOf) -> Callable[[Rule], None]:
    """A function that records in a rule's incident that a person takes the rule back."""

    def ended(rule: Rule) -> None:
        if of_rule(draft, rule):  # else its hits, which cost a system call, are not needed
            rule_notes.rule_ended(draft, rule, hits(rule), why, taken_back=True)

    return ended


def take_back(
    draft: Draft, origin: str | None, since: float, caller: Caller, hits: HitsOf
) -> list[str]:
    """Remove the rules that were added automatically after `since` (Unix time); return their ids.

    These are the rules of one origin, or of all origins but operators and the configuration.
    """
    if origin in (OPERATOR, *STANDING):
        raise RuleError(f"{origin} is not a detector", "origin", "name a detector")
    ended = ending(draft, f"undone by {caller.name}", hits)
    gone = []
    for rule in draft.all_rules():
        wanted = rule.origin == origin if origin else automatic(rule)
        if wanted and rule.created_at >= since:
            ended(rule)
            draft.remove(rule)
            gone.append(rule.id)
    detail = {"since": round(since, 3), "rules": len(gone), "first": gone[:_NAMED]}
    draft.note(caller.name, "automatic.undo", origin or "all", **detail)
    return gone


def undo_change(
    draft: Draft,
    number: int,
    stored: Sequence[bytes],
    caller: Caller,
    hits: HitsOf,
    stays: Container[str] = (),
) -> Undone:
    """Undo the change of that number; NotFoundError if it is not known or cannot be read.

    Records with keys in `stays` are left as they are.
    """
    if not stored:
        raise NotFoundError(f"no change {number} is known: see xdpctl history")
    try:
        every = changes.parts(draft, stored)
        parts = [part for part in every if part.kind.key(part.identity) not in stays]
    except (ValueError, TypeError, KeyError) as error:
        raise NotFoundError(f"change {number} cannot be read: {error}") from error
    before = {rule.id: rule for rule in _recorded(draft)}
    undone = undo(draft, number, parts, caller, ending(draft, f"undone by {caller.name}", hits))
    for rule in _recorded(draft):
        was = before.get(rule.id)
        if was is not None and (was.mode, was.action) != (rule.mode, rule.action):
            rule_notes.rule_edited(draft, was, rule, hits(was))
    return undone


def _recorded(draft: Draft) -> list[Rule]:
    """The rules of open incidents that still stand."""
    records = (r for incident in draft.incidents.values() if incident.open for r in incident.rules)
    found = (draft.find(record.id) for record in records if not record.ended_at)
    return [rule for rule in found if rule is not None]


def remove_matching(
    draft: Draft,
    wanted: Callable[[Rule], bool],
    caller: Caller,
    expected: int | None,
    hits: HitsOf,
) -> list[Rule]:
    """Remove all rules that match; see control.operations.removal."""
    ended = ending(draft, f"removed by {caller.name}", hits)
    return remove_many(draft, wanted, caller, expected, ended)
