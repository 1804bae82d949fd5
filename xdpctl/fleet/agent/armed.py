# SPDX-License-Identifier: GPL-2.0-or-later
"""Rules that the detectors of other nodes made: placed here, and released when all are over.

A node writes the rules of its own detectors under its own name, so none can contradict what a
person asked for. They are placed for their detector, within its quota on this node, and have ends.
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
_ARMED_MAX = 8  # nodes that a rule remembers
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
        for one in batch:
            if one.node == self.name:
                continue
            try:
                if one.problem:
                    raise Unreadable(one.problem)
                if one.intent is None:
                    lockout.take(draft, None, self._release, one, taken)
                else:
                    lockout.take(draft, None, self._place, one, taken)
            except XdpctlError as error:
                taken.refused[f"{one.node}: {one.key}"] = str(error)[:300]
        return taken

    def _place(self, draft: Draft, one: Incoming, taken: Taken) -> None:
        assert one.intent is not None  # noqa: S101  # the caller has looked
        rule = value_of(one.key, one.intent, draft.now)
        if not isinstance(rule, Rule) or not automatic(rule):
            raise Unreadable("it is not a detector's rule")
        if rule.action is Action.ACCEPT:
            raise Unreadable("a detector of another node lets nothing through here")
        check_name(rule.origin, "origin")
        if rule.by_source is None and self.arm is Arm.OFF:
            return
        if rule.by_source is None and self.arm is Arm.MONITOR:
            rule = rule.replace(mode=Mode.MONITOR)
        standing, removed = standing_rule(draft, one.key), draft.shared.get(one.key)
        if rule.expired(draft.now.ns) or (standing is not None and not automatic(standing)):
            return
        if removed and not removed.stands and one.created <= removed.revision:
            return  # a person removed it, and it is still the same attack
        tag = tags.ARMED + one.node
        if standing is not None:
            _extend(draft, standing, rule, tag)
        else:
            _check_unconfigured(draft, rule)
            _add(draft, rule, tag, f"{rule.origin} ({one.node})")
        taken.applied.append(one.key)

    def _release(self, draft: Draft, one: Incoming, taken: Taken) -> None:
        """End a rule here, if no other node and no detector of this node holds it."""
        standing, tag = standing_rule(draft, one.key), tags.ARMED + one.node
        if standing is None or tag not in standing.tags:
            return
        left = tags.without(standing.tags, tag)
        taken.applied.append(one.key)
        if tags.armed(left) or tags.of_event(left) or not automatic(standing):
            draft.put(standing.replace(tags=left))
            return
        hits = self.hits(standing)
        if held_back(standing, hits):
            draft.put(standing.replace(tags=(*left, tags.ENDING)))
            return
        rule_notes.rule_ended(draft, standing, hits, _OVER)
        draft.remove(standing)
        draft.note("fleet", "rule.released", standing.id, node=one.node, packets=hits.packets)


def _extend(draft: Draft, standing: Rule, rule: Rule, tag: str) -> None:
    """Let a standing rule of a detector last as long, and remember the node."""
    nodes = dict.fromkeys((*tags.armed(standing.tags), tag))
    kept = tags.without(standing.tags, *nodes, tags.ENDING)
    most = draft.state.quota(rule.origin).max_ttl
    until = rule.expires_ns
    if most is not None:
        until = min(until or sys.maxsize, draft.now.ns + int(most * _SECOND))
    ends = standing.expires_ns and max(standing.expires_ns, until)
    draft.put(standing.replace(tags=(*kept, *list(nodes)[:_ARMED_MAX]), expires_ns=ends))


def _check_unconfigured(draft: Draft, rule: Rule) -> None:
    """QuotaError if detectors without a quota of their own have all that one may have together.

    A node names the detectors of its rules itself: it could name a thousand.
    """
    quotas, most = draft.state.quotas, AUTOMATIC.max_rules
    if rule.origin in quotas:
        return
    if rule.by_source is None:
        most, rest = AUTOMATIC.max_matches, filter(automatic, draft.matches().values())
        held = sum(each.origin not in quotas for each in rest)
    else:
        held = sum(
            draft.counts.of_origin(each) for each in draft.counts.origins() if each not in quotas
        )
    if held >= most:
        raise QuotaError(
            f"detectors that are not configured on this node have {held:,} rules, their quota",
            "",
            f"add [origins.{rule.origin}]",
        )


def _add(draft: Draft, rule: Rule, tag: str, name: str) -> None:
    who = Caller(name, Role.DETECTOR, rule.origin)
    if not rule.expires_ns:
        raise RuleError("a detector's rule must have an end", "ttl", "")
    ttl = (rule.expires_ns - draft.now.ns) / _SECOND
    ask = RuleRequest(
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
    rules.add(draft, ask, who)
