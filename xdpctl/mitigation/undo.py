# SPDX-License-Identifier: GPL-2.0-or-later
"""Taking back what was done by itself."""

from collections.abc import Callable

from xdpctl.abi.structs import Hits
from xdpctl.control.state.draft import Draft
from xdpctl.errors import RuleError
from xdpctl.incidents.ledger import ledger
from xdpctl.model.identity import Caller
from xdpctl.model.rule import OPERATOR, Rule
from xdpctl.model.signature import CONFIGURED, Signature, automatic

_TOLD = 20  # rules that an audit record names


def remove(draft: Draft, held: Rule | Signature) -> None:
    """Remove a rule of either kind."""
    if isinstance(held, Signature):
        draft.remove_signature(held.id)
    else:
        draft.remove(held)


def take_back(
    draft: Draft,
    origin: str | None,
    since: float,
    caller: Caller,
    hits: Callable[[Rule | Signature], Hits],
) -> list[str]:
    """Take away what was added by itself since then (unix time); the ids.

    Of one origin, or of all but operators and the configuration.
    """
    if origin in (OPERATOR, CONFIGURED):
        raise RuleError(f"{origin} is nobody's automation", "origin", "name a detector")
    everything: list[Rule | Signature] = [
        *(rule for rule in draft.state.rules.values()),
        *draft.all_signatures(),
    ]
    gone = []
    for held in everything:
        asked = held.origin == origin if origin else automatic(held)
        if asked and held.created_at >= since and not held.expired(draft.now.ns):
            ledger.rule_ended(draft, held, hits(held), f"undone by {caller.name}", taken_back=True)
            remove(draft, held)
            gone.append(held.id)
    told = {"since": round(since, 3), "rules": len(gone), "first": gone[:_TOLD]}
    draft.note(caller.name, "automatic.undo", origin or "all", **told)
    return gone
