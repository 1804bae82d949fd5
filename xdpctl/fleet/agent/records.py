# SPDX-License-Identifier: GPL-2.0-or-later
"""Finds, places and removes the records of this node that the fleet's intents are about."""

from collections.abc import Sequence
from typing import Any

from msgspec import structs

from xdpctl.control.operations import rules, sets
from xdpctl.control.operations.sets import SetRequest
from xdpctl.control.state.draft import Draft
from xdpctl.errors import XdpctlError
from xdpctl.fleet.intent import (
    kind_named,
)
from xdpctl.model.identity import Caller
from xdpctl.model.requests import RuleRequest
from xdpctl.model.rule import Rule, automatic
from xdpctl.model.shared import Unsent
from xdpctl.model.source_set import Entries, SourceSet

_SECOND = 1_000_000_000


class OnlyHere(XdpctlError):
    """A record that is only on this node is in the way of the fleet's."""


def standing_rule(draft: Draft, key: str) -> Rule | None:
    """The live rule of an intent's key; None if there is none."""
    _, name = kind_named(key)
    return draft.find(name)


def current(draft: Draft, key: str) -> Any:
    """This node's record of an intent's key; None if there is none."""
    kind, name = kind_named(key)
    if kind == "rules":
        return standing_rule(draft, key)
    if kind == "sets":
        return draft.sets.get(name)
    if kind in ("tokens", "settings"):
        return draft.of(kind).get(name)
    return None


def place(draft: Draft, rule: Rule, standing: Rule | None, ours: bool, who: Caller) -> None:
    """Add a rule, or let it replace the one of the same match; raises what its guards raise."""
    if standing is not None and not automatic(standing) and not ours:
        if rule.by_source and standing.same_effect(rule):
            return  # this node had the rule before the fleet
        raise OnlyHere("a rule that is only on this node stands on the same match")
    now = draft.now.ns
    common: dict[str, Any] = {
        "action": rule.action,
        "mode": rule.mode,
        "ttl": (rule.expires_ns - now) / _SECOND if rule.expires_ns else None,
        "confirm_within": (rule.confirm_by_ns - now) / _SECOND if rule.confirm_by_ns else None,
        "reason": rule.reason,
        "tags": rule.tags,
        "spare": rule.spare,
        "limit": rule.limit,
        "priority": rule.priority,
        "replace": True,
        "force": True,
    }
    stage = rules.place if rule.by_source else rules.add
    placed = stage(draft, RuleRequest(match=rule.match, **common), who)
    draft.put(placed.rule.replace(created_at=rule.created_at))  # as on the node that published it


def put_set(draft: Draft, record: SourceSet, entries: Entries, ours: bool, who: Caller) -> None:
    """Put a set of the fleet; raises what its guards raise."""
    standing = draft.sets.get(record.name)
    if standing is not None and not ours:
        raise OnlyHere("a set that is only on this node has the same name")
    if standing is not None and standing.out is not record.out:  # it was removed, and put again
        draft.remove_set(record.name)
    request = SetRequest(
        name=record.name,
        entries=entries,
        action=record.action,
        mode=record.mode,
        spare=record.spare,
        out=record.out,
        reason=record.reason,
        feed=record.feed,
        options=record.options,
        force=True,
    )
    sets.put(draft, request, who)


def forget_fleet(draft: Draft) -> int:
    """Keep all records as this node's own; return how many intents it had of the fleet."""
    number = 0
    for field in ("shared", "unsent", "followed", "rollouts"):
        for key in getattr(draft.state, field):
            getattr(draft, field)[key] = None
            number += field == "shared"
    return number


def forget_revisions(draft: Draft) -> None:
    """Reset all revisions, which mean nothing in another cluster, to compare everything anew."""
    for key, shared in draft.state.shared.items():
        draft.shared[key] = structs.replace(shared, revision=0)
    for key, unsent in draft.state.unsent.items():
        draft.unsent[key] = structs.replace(unsent, base=0)
    draft.note("fleet", "fleet.engine", "", intents=len(draft.state.shared))


def of_detector(value: Any) -> bool:
    return isinstance(value, Rule) and automatic(value)


def drop_sent(draft: Draft, dropped: Sequence[tuple[str, Unsent]]) -> None:
    """Forget intents that need not be sent any more, unless somebody asked for them anew."""
    for key, unsent in dropped:
        if draft.unsent.get(key) == unsent:
            draft.unsent[key] = None


def known(draft: Draft, key: str) -> bool:
    """Whether the fleet has an intent of a key, or will have it."""
    shared = draft.shared.get(key)
    return draft.unsent.get(key) is not None or (shared is not None and shared.stands)
