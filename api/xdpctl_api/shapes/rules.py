# SPDX-License-Identifier: GPL-2.0-or-later
"""API models of rules, and their conversion from the internal model."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, Field

from xdpctl.abi.structs import Hits
from xdpctl.base.clock import Now
from xdpctl.control.controller import Controller
from xdpctl.model.collateral import Collateral
from xdpctl.model.effect import Action, Mode, Spare
from xdpctl.model.match.words import in_words
from xdpctl.model.rate import does
from xdpctl.model.rule import Rule
from xdpctl.processes.control_plane import ControlPlane
from xdpctl_api.paging import Next
from xdpctl_api.shapes.common import timestamp
from xdpctl_api.shapes.fleet import WhereOut, absent
from xdpctl_api.shapes.matches import LimitOut, limit_out
from xdpctl_api.shapes.monitor import StatisticsOut


class PeopleOut(BaseModel):
    """Whom a detector's rule hits, measured by a few flows that it lets pass."""

    share: float | None = Field(
        description="Estimated share of people among the sources that it hits; null: not measured"
    )
    low: float = Field(
        description="Lower end of the interval; 95 % of rules are never outside of it"
    )
    high: float = Field(description="Upper end of the interval")
    people: int = Field(description="Sources whose flows the inside took part in")
    sources: int = Field(
        description="Sources that passed, and whose flows the inside could take part in"
    )
    again: int = Field(description="Flows that passed because they came again after a pause")
    repeats: bool = Field(
        description="As many flows come again as may pass: a flood that repeats its flows"
    )
    passed: int = Field(description="Packets that passed")
    hurts: bool = Field(description="Whether it hits people, beyond doubt")
    text: str = Field(description="The same in words, or why it cannot be measured")


class RuleOut(BaseModel):
    """A rule with its counters; times are RFC 3339, in UTC."""

    id: str
    match: dict[str, str]
    text: str = Field(description="The match as text")
    words: str = Field(description="The match in words, with the names of hosts")
    action: Action
    does: str = Field(
        description="The action in words, with its limit", examples=["limit to 5,000 pps"]
    )
    limit: LimitOut | None
    spare: Spare
    priority: int
    mode: Mode
    origin: str
    reason: str
    tags: list[str]
    created_at: datetime
    expires_at: datetime | None
    expires_in: float | None = Field(
        description="Seconds until the kernel ends the rule; null: no expiry"
    )
    confirm_in: float | None = Field(
        description="Seconds left to confirm the rule; null: not provisional"
    )
    slot: int | None = Field(description="Number of the rule in the kernel")
    packets: int
    bytes: int
    etag: str
    rate: float | None = Field(
        default=None,
        description="Packets a second that it hit in the last ten seconds, from samples; only in "
        "lists sorted by it",
    )
    collateral: PeopleOut | None = Field(
        default=None,
        description="Whom it hits; null for rules that are not a detector's drop or limit, and "
        "where the flow memory is not asked",
    )
    statistics: StatisticsOut | None = Field(
        default=None,
        description="What the rule would have hit, in monitor mode; not in lists",
    )


class RuleAnswer(RuleOut):
    """A rule that was added or changed, and is in the kernel."""

    created: bool
    changed: bool = Field(description="Whether anything differs from before")
    in_kernel: bool
    warnings: list[str]
    change: int | None = Field(description="Number of the change, to undo it; null for detectors")
    fleet: WhereOut | None = Field(
        default=None, exclude_if=absent, description="In a fleet, where it is in force"
    )


class RuleRemoved(RuleOut):
    """A rule as it was before its removal, with its last counters."""

    change: int | None = Field(description="Number of the change, to undo it; null for detectors")
    fleet: WhereOut | None = Field(
        default=None, exclude_if=absent, description="In a fleet, where it is gone"
    )


class RuleNamed(BaseModel):
    """A rule among many."""

    id: str
    text: str
    action: Action


class RuleMade(RuleNamed):
    """A rule that was made for an event, or would be in a dry run."""

    mode: Mode
    limit: LimitOut | None
    spare: Spare
    expires_in: float | None = Field(description="Seconds; null: no expiry")


def rule_made(rule: Rule, now: Now) -> RuleMade:
    """What a rule does and for how long."""
    return RuleMade(
        id=rule.id,
        text=_text(rule),
        action=rule.action,
        mode=rule.mode,
        limit=limit_out(rule.limit) if rule.limit else None,
        spare=rule.spare,
        expires_in=(rule.expires_ns - now.ns) / 1e9 if rule.expires_ns else None,
    )


class RulesRemoved(BaseModel):
    """How many rules were removed, or would be in a dry run; `first` has at most 1,000."""

    rules: int
    first: list[RuleNamed]
    missing: list[str] = Field(description="Ids that were given and that no rule has")
    dry_run: bool
    change: int | None = Field(description="Number of the change, to undo it")
    fleet: WhereOut | None = Field(
        default=None, exclude_if=absent, description="In a fleet, where they are gone"
    )


class RulePage(BaseModel):
    """One page."""

    rules: list[RuleOut]
    next: Next


def _text(rule: Rule) -> str:
    """The match as text; a source alone is written with its prefix length."""
    return f"src {rule.by_source}" if rule.by_source else str(rule.match)


def _slot(controller: Controller, rule: Rule) -> int | None:
    """The rule's slot in the kernel; None if the rule is not in force there."""
    if rule.by_source:
        return controller.state.image.entries.get(rule.by_source)
    return rule.slot if controller.in_force(rule) else None


def collateral_out(collateral: Collateral | None) -> PeopleOut | None:
    """The people whom a rule hits; None if nothing is known about them."""
    if collateral is None:
        return None
    return PeopleOut(
        share=collateral.share,
        low=collateral.low,
        high=collateral.high,
        people=collateral.people,
        sources=collateral.sources,
        again=collateral.again,
        repeats=collateral.repeats,
        passed=collateral.passed,
        hurts=collateral.hurts,
        text=str(collateral),
    )


def rule_out(
    ctx: ControlPlane, rule: Rule, now: Now, counted: Hits | None = None
) -> dict[str, Any]:
    """The fields of a RuleOut; the hits are read unless they are given."""
    controller = ctx.controller
    hits = counted or controller.hits(rule)
    expires, confirm = rule.expires_ns, rule.confirm_by_ns
    return {
        "id": rule.id,
        "match": {"source": rule.subject} if rule.by_source else rule.match.as_json(),
        "text": _text(rule),
        "words": ctx.names.tell(in_words(rule.match)),
        "does": does(rule.action, rule.limit),
        "limit": limit_out(rule.limit) if rule.limit else None,
        "spare": rule.spare,
        "priority": rule.priority,
        "slot": _slot(controller, rule),
        "action": rule.action,
        "mode": rule.mode,
        "origin": rule.origin,
        "reason": rule.reason,
        "tags": list(rule.tags),
        "created_at": timestamp(rule.created_at),
        "expires_at": timestamp(now.wall(expires)) if expires else None,
        "expires_in": (expires - now.ns) / 1e9 if expires else None,
        "confirm_in": (confirm - now.ns) / 1e9 if confirm else None,
        "packets": hits.packets,
        "bytes": hits.bytes,
        "etag": rule.etag,
        "collateral": collateral_out(controller.state.collateral.get(rule.id)),
    }
