# SPDX-License-Identifier: GPL-2.0-or-later
"""Extends an existing rule when a detector asks for it again. Pure."""

from typing import Any

from xdpctl.base.clock import Now
from xdpctl.errors import ConflictError
from xdpctl.model import tags
from xdpctl.model.effect import Action, Mode
from xdpctl.model.requests import RuleRequest
from xdpctl.model.rule import Rule, automatic

_SLACK = 0.01  # share of the requested ttl


def extended(standing: Rule, ask: RuleRequest, detector: str, now: Now) -> Rule:
    """The existing rule with a later end.

    It never goes down a step of its ladder. It also never goes up a step again that it lost because
    it hit people. ConflictError if the rule accepts the source.

    A rule that no detector added, or that another one added without an event, is returned
    unchanged. If an operator changed the rule, only its end and tags change. If another detector
    added it for an event, its end and tags change; it is enforced if `ask` is, unless the ladder
    keeps it in monitor mode.
    """
    if standing.action is Action.ACCEPT:
        raise ConflictError(f"{standing.origin} accepts {standing.subject}", "", "")
    same_detector = standing.origin == detector
    if not automatic(standing) or not (same_detector or tags.of_event(standing.tags)):
        return standing
    changes: dict[str, Any] = {
        "expires_ns": _expires_ns(standing, ask.ttl, now),
        "tags": tags.joined(tags.without(standing.tags, tags.ENDING), ask.tags),
    }
    if tags.PINNED in standing.tags:
        return standing.replace(**changes)
    watched = tags.WATCHED in standing.tags
    if same_detector:
        changes |= {"reason": ask.reason, "mode": _mode(standing, ask.mode, watched)}
        same_table = standing.by_source is None and ask.by_source is None
        if same_table and not _stepped(standing.tags):
            changes |= {"action": ask.action, "limit": ask.limit, "spare": ask.spares}
    elif ask.mode is Mode.ENFORCE and not watched:
        changes["mode"] = Mode.ENFORCE
    return standing.replace(**changes)


def _stepped(rule_tags: tags.Tags) -> bool:
    """Whether xdpctl itself changed what the rule does."""
    return tags.RAISED in rule_tags or tags.SOFTENED in rule_tags


def _expires_ns(standing: Rule, ttl: float | None, now: Now) -> int:
    """The new end. A difference below `_SLACK` is ignored: it is jitter of the remaining time."""
    if not standing.expires_ns or ttl is None:
        return standing.expires_ns
    ends = now.after(ttl)
    return ends if ends - standing.expires_ns > ttl * _SLACK * 1e9 else standing.expires_ns


def _mode(standing: Rule, wanted: Mode, watched: bool) -> Mode:
    if watched:
        return Mode.MONITOR
    return Mode.ENFORCE if standing.mode is Mode.ENFORCE else wanted


def of_another_limit(before: Rule, after: Rule) -> bool:
    """Whether only the limit of a rule, and perhaps its end, has changed."""
    if before.limit is None or after.limit is None or before.limit == after.limit:
        return False
    return before.replace(limit=after.limit, expires_ns=after.expires_ns) == after
