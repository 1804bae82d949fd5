# SPDX-License-Identifier: GPL-2.0-or-later
"""Removes rules that were added automatically."""

from collections.abc import Callable

from xdpctl.abi.structs import Hits
from xdpctl.control.state.draft import Draft
from xdpctl.errors import RuleError
from xdpctl.incidents.ledger import ledger
from xdpctl.model.identity import Caller
from xdpctl.model.rule import OPERATOR, Rule
from xdpctl.model.signature import CONFIGURED, Signature, automatic

_NAMED = 20  # rules that an audit record names


def remove(draft: Draft, rule: Rule | Signature) -> None:
    """Remove a rule of either kind."""
    if isinstance(rule, Signature):
        draft.remove_signature(rule.id)
    else:
        draft.remove(rule)


def take_back(
    draft: Draft,
    origin: str | None,
    since: float,
    caller: Caller,
    hits: Callable[[Rule | Signature], Hits],
) -> list[str]:
    """Remove rules that were added automatically since `since` (Unix time); return their ids.

    Only rules of `origin`, or of every detector if it is None. RuleError if `origin` is not a
    detector.
    """
    if origin in (OPERATOR, CONFIGURED):
        raise RuleError(f"{origin} is not a detector", "origin", "name a detector")
    rules: list[Rule | Signature] = [
        *(rule for rule in draft.state.rules.values()),
        *draft.all_signatures(),
    ]
    gone = []
    for rule in rules:
        asked = rule.origin == origin if origin else automatic(rule)
        if asked and rule.created_at >= since and not rule.expired(draft.now.ns):
            ledger.rule_ended(draft, rule, hits(rule), f"undone by {caller.name}", taken_back=True)
            remove(draft, rule)
            gone.append(rule.id)
    detail = {"since": round(since, 3), "rules": len(gone), "first": gone[:_NAMED]}
    draft.note(caller.name, "automatic.undo", origin or "all", **detail)
    return gone
