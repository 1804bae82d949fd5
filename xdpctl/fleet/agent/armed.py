# SPDX-License-Identifier: GPL-2.0-or-later
"""Places rules of other nodes' detectors here, and ends them when no node has them any more.

A node writes the rules of its own detectors under its own name, so none can contradict what a
person asked for. They count in the quota of their detector on this node, and they have ends.
"""

import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from xdpctl.abi.structs import Hits
from xdpctl.control.guards import lockout
from xdpctl.control.operations import rules
from xdpctl.control.state.draft import Draft
from xdpctl.errors import QuotaError, RuleError, XdpctlError
from xdpctl.fleet.agent.intake import Incoming, Taken
from xdpctl.fleet.agent.records import standing_rule
from xdpctl.fleet.intent import Unreadable, value_of
from xdpctl.fleet.settings import Arm
from xdpctl.incidents.ledger import rule_notes
from xdpctl.mitigation.watchers.release import held_back
from xdpctl.model import tags
from xdpctl.model.effect import Action, Mode
from xdpctl.model.identity import Caller, Role
from xdpctl.model.names import check_name
from xdpctl.model.quota import AUTOMATIC
from xdpctl.model.requests import RuleRequest
from xdpctl.model.rule import Rule, automatic

_SECOND = 1_000_000_000
_ARMED_MAX = 8  # nodes that a rule names in its tags
_OVER = "the attack is over on the node whose detector made it"


@dataclass(slots=True)
class Arming:
    """Places rules of other nodes' detectors on the node `name`, as `arm` says."""

    name: str
    arm: Arm
    hits: Callable[[Rule], Hits]

    def take(self, draft: Draft, batch: Iterable[Incoming]) -> Taken:
        """Take over each rule of a detector, or its end."""
        taken = Taken()
        for incoming in batch:
            if incoming.node == self.name:
                continue
            try:
                if incoming.problem:
                    raise Unreadable(incoming.problem)
                if incoming.intent is None:
                    lockout.take(draft, None, self._release, incoming, taken)
                else:
                    lockout.take(draft, None, self._place, incoming, taken)
            except XdpctlError as error:
                taken.refused[f"{incoming.node}: {incoming.key}"] = str(error)[:300]
        return taken

    def _place(self, draft: Draft, incoming: Incoming, taken: Taken) -> None:
        assert incoming.intent is not None  # noqa: S101  # the caller has checked
        rule = value_of(incoming.key, incoming.intent, draft.now)
        if not isinstance(rule, Rule) or not automatic(rule):
            raise Unreadable("it is not a detector's rule")
        if rule.action is Action.ACCEPT:
            raise Unreadable("a detector of another node lets nothing through here")
        check_name(rule.origin, "origin")
        if rule.by_source is None and self.arm is Arm.OFF:
            return
        if rule.by_source is None and self.arm is Arm.MONITOR:
            rule = rule.replace(mode=Mode.MONITOR)
        standing, removed = standing_rule(draft, incoming.key), draft.shared.get(incoming.key)
        if rule.expired(draft.now.ns) or (standing is not None and not automatic(standing)):
            return
        if removed and not removed.stands and incoming.created <= removed.revision:
            return  # a person removed the rule, and the attack is still the same
        tag = tags.ARMED + incoming.node
        if standing is not None:
            _extend(draft, standing, rule, tag)
        else:
            _check_unconfigured(draft, rule)
            _add(draft, rule, tag, f"{rule.origin} ({incoming.node})")
        taken.applied.append(incoming.key)

    def _release(self, draft: Draft, incoming: Incoming, taken: Taken) -> None:
        """End a rule here, unless another node or a detector of this node still has it."""
        standing, tag = standing_rule(draft, incoming.key), tags.ARMED + incoming.node
        if standing is None or tag not in standing.tags:
            return
        remaining = tags.without(standing.tags, tag)
        taken.applied.append(incoming.key)
        if tags.armed(remaining) or tags.of_event(remaining) or not automatic(standing):
            draft.put(standing.replace(tags=remaining))
            return
        hits = self.hits(standing)
        if held_back(standing, hits):
            draft.put(standing.replace(tags=(*remaining, tags.ENDING)))
            return
        rule_notes.rule_ended(draft, standing, hits, _OVER)
        draft.remove(standing)
        draft.note("fleet", "rule.released", standing.id, node=incoming.node, packets=hits.packets)


def _extend(draft: Draft, standing: Rule, rule: Rule, tag: str) -> None:
    """Prolong a detector's existing rule to the end of `rule`, and remember the node."""
    nodes = dict.fromkeys((*tags.armed(standing.tags), tag))
    other_tags = tags.without(standing.tags, *nodes, tags.ENDING)
    max_ttl = draft.state.quota(rule.origin).max_ttl
    until = rule.expires_ns
    if max_ttl is not None:
        until = min(until or sys.maxsize, draft.now.ns + int(max_ttl * _SECOND))
    ends = standing.expires_ns and max(standing.expires_ns, until)
    draft.put(standing.replace(tags=(*other_tags, *list(nodes)[:_ARMED_MAX]), expires_ns=ends))


def _check_unconfigured(draft: Draft, rule: Rule) -> None:
    """QuotaError if detectors that have no quota here have, together, the rules of one quota.

    A node names the detectors of its rules itself, so it could name a thousand detectors.
    """
    quotas, most = draft.state.quotas, AUTOMATIC.max_rules
    if rule.origin in quotas:
        return
    if rule.by_source is None:
        most, rest = AUTOMATIC.max_matches, filter(automatic, draft.matches().values())
        count = sum(other.origin not in quotas for other in rest)
    else:
        count = sum(
            draft.counts.of_origin(origin)
            for origin in draft.counts.origins()
            if origin not in quotas
        )
    if count >= most:
        raise QuotaError(
            f"detectors that are not configured on this node have {count:,} rules, which is their "
            "common quota",
            "",
            f"add [origins.{rule.origin}]",
        )


def _add(draft: Draft, rule: Rule, tag: str, name: str) -> None:
    who = Caller(name, Role.DETECTOR, rule.origin)
    if not rule.expires_ns:
        raise RuleError("a detector's rule must have an end", "ttl", "")
    ttl = (rule.expires_ns - draft.now.ns) / _SECOND
    request = RuleRequest(
        match=rule.match,
        action=rule.action,
        limit=rule.limit,
        spare=rule.spare,
        priority=rule.priority,
        mode=rule.mode,
        ttl=ttl,
        reason=rule.reason,
        tags=(tag,),
    )
    rules.add(draft, request, who)
