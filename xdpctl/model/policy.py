# SPDX-License-Identifier: GPL-2.0-or-later
"""May this rule stand? Pure questions, answered with an error that says why not."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Generic, Protocol, Self, TypeVar

from xdpctl.base.net.prefix import Prefix
from xdpctl.errors import ConflictError, LockoutError, RoleError, StaleError
from xdpctl.model import tags
from xdpctl.model.protection import CONFIGURED, Protection
from xdpctl.model.requests import check_tags
from xdpctl.model.rule import OPERATOR, Action, Mode, Rule, Spare

_DOING = frozenset(("mode", "limit", "spare", "priority"))


class RuleLike(Protocol):
    """What a rule and a signature have in common for those who change them."""

    @property
    def id(self) -> str:
        """The id by which the API names it."""

    @property
    def etag(self) -> str:
        """A text that differs after any change."""

    @property
    def subject(self) -> str:
        """What it is about, in words."""

    @property
    def action(self) -> Action:
        """What is done with its packets."""

    @property
    def mode(self) -> Mode:
        """Whether it acts or only counts."""

    @property
    def origin(self) -> str:
        """On whose behalf it stands: `operator`, or an automatic origin."""

    @property
    def reason(self) -> str:
        """Why, in the words of who asked for it."""

    @property
    def tags(self) -> tuple[str, ...]:
        """Its tags, in order."""

    @property
    def spare(self) -> Spare:
        """Whose packets it lets pass."""

    @property
    def expires_ns(self) -> int:
        """Its end on CLOCK_MONOTONIC, 0 for never."""

    @property
    def confirm_by_ns(self) -> int:
        """When it ends unless it is confirmed, on CLOCK_MONOTONIC; 0 for never."""

    def same_effect(self, other: Self) -> bool:
        """Whether both do the same with the same packets."""

    def replace(self, **changes: object) -> Self:
        """A copy with these fields changed."""


Merged = TypeVar("Merged", bound=RuleLike)


@dataclass(slots=True)
class Judgement(Generic[Merged]):
    """A rule that may stand, and what its author should know."""

    rule: Merged
    warnings: list[str] = field(default_factory=list)


def guard(rule: Rule, protection: Protection) -> list[str]:
    """LockoutError if the rule would drop what is protected; else the warnings."""
    if rule.action is not Action.DROP or rule.mode is Mode.MONITOR:
        return []
    over = protection.over(rule.source)
    if over is not None:
        _refuse_inside(rule, over, protection.why[over])
    kept = list(protection.inside(rule.source))
    if not kept:
        return []
    names = ", ".join(f"{p} ({protection.why[p]})" for p in kept[:5])
    more = f" and {len(kept) - 5} more" if len(kept) > 5 else ""
    return [f"protected inside it, and still let through: {names}{more}"]


def _refuse_inside(rule: Rule, over: Prefix, why: str) -> None:
    provisional = rule.origin == OPERATOR and rule.confirm_by_ns and rule.source != over
    if why == CONFIGURED and provisional:
        return
    fix = "use mode monitor to watch it"
    if why == CONFIGURED and rule.origin == OPERATOR and rule.source != over:
        fix = "add confirm_within, so that it undoes itself unless you can still confirm it"
    place = "" if rule.source == over else f"in {over}, which is "
    raise LockoutError(f"{rule.source} is {place}{why}", "match.source", fix)


def check_change(standing: RuleLike, origin: str, etag: str | None) -> None:
    """StaleError if it is not what `etag` was read from; RoleError if it is another origin's."""
    if etag is not None and etag != standing.etag:
        raise StaleError(f"rule {standing.id} changed since it was read; read it again")
    if origin not in (standing.origin, OPERATOR):
        raise RoleError(f"rule {standing.id} belongs to {standing.origin}, not to {origin}")


def tags_after(
    standing: RuleLike, changes: Mapping[str, object], origin: str
) -> dict[str, tuple[str, ...]]:
    """The tags that a change leaves, if it touches them; RuleError for one that is not a name.

    An operator's word on what a detector's rule does is not to be overruled by the detector.
    """
    held, asked = standing.tags, changes.get("tags")
    if isinstance(asked, tuple):
        checked = check_tags(asked)
        held = checked if standing.origin == OPERATOR else tags.given(held, checked)
    if origin == OPERATOR != standing.origin and changes.keys() & _DOING:
        held = tags.pinned(held)
    return {} if held == standing.tags else {"tags": held}


def merge(standing: Merged, asked: Merged) -> Judgement[Merged]:
    """The same match asked for again: extend it, take it over, or refuse."""
    if standing.same_effect(asked):
        return _extended(standing, asked)
    automatic = standing.origin != OPERATOR and asked.origin == OPERATOR
    if automatic and standing.action is not asked.action:
        warning = f"replaced the {standing.action} of {standing.origin} on the same source"
        return Judgement(asked, [warning])
    held = f"{standing.origin}'s {standing.mode} {standing.action}"
    fix = (
        f"change the standing one: PATCH /v1/rules/{standing.id}"
        if standing.action is asked.action
        else f"remove the standing one first: DELETE /v1/rules/{standing.id}"
    )
    raise ConflictError(f"{held} already stands on {standing.subject}", "action", fix)


def _extended(standing: Merged, asked: Merged) -> Judgement[Merged]:
    ends = (
        0
        if not (standing.expires_ns and asked.expires_ns)
        else max(standing.expires_ns, asked.expires_ns)
    )
    warnings = []
    confirm_by = standing.confirm_by_ns and asked.confirm_by_ns
    if asked.confirm_by_ns and not standing.confirm_by_ns:
        warnings.append("it already stands confirmed, so confirm_within was not applied")
    if standing.expires_ns and not ends:
        warnings.append("it had an end and has none now: no ttl was asked for")
    taken = asked.origin == OPERATOR and standing.origin != OPERATOR
    held = tags.taken_over(standing.tags) if taken else standing.tags
    merged = standing.replace(
        expires_ns=ends,
        confirm_by_ns=confirm_by,
        origin=OPERATOR if taken else standing.origin,
        reason=asked.reason or standing.reason,
        tags=tags.joined(held, asked.tags),
        **({"spare": asked.spare} if taken else {}),
    )
    return Judgement(merged, warnings)
