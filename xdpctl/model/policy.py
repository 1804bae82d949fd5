# SPDX-License-Identifier: GPL-2.0-or-later
"""Policy: pure checks of whether a rule is permitted; they raise an error that says why not."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from xdpctl.base.net.prefix import Prefix
from xdpctl.errors import ConflictError, LockoutError, RoleError, StaleError
from xdpctl.model import tags
from xdpctl.model.effect import Action, Mode
from xdpctl.model.protection import CONFIGURED, Protection
from xdpctl.model.requests import check_tags
from xdpctl.model.rule import OPERATOR, Rule

_DOING = frozenset(("action", "mode", "limit", "spare", "priority"))


@dataclass(slots=True)
class Judgement:
    """A permitted rule, and warnings for the caller."""

    rule: Rule
    warnings: list[str] = field(default_factory=list)


def guard(rule: Rule, protection: Protection) -> list[str]:
    """The warnings about a rule; LockoutError if it would drop what is protected."""
    source = rule.by_source
    if source is None or rule.action is not Action.DROP or rule.mode is Mode.MONITOR:
        return []
    covering = protection.over(source)
    if covering is not None:
        _refuse_inside(rule, covering, protection.why[covering])
    protected = list(protection.inside(source))
    if not protected:
        return []
    names = ", ".join(f"{p} ({protection.why[p]})" for p in protected[:5])
    more = f" and {len(protected) - 5} more" if len(protected) > 5 else ""
    return [f"it contains protected prefixes, which are still accepted: {names}{more}"]


def _refuse_inside(rule: Rule, covering: Prefix, why: str) -> None:
    provisional = rule.origin == OPERATOR and rule.confirm_by_ns and rule.source != covering
    if why == CONFIGURED and provisional:
        return
    fix = "use mode monitor (--monitor) to count its packets"
    if why == CONFIGURED and rule.origin == OPERATOR and rule.source != covering:
        fix = "add confirm_within, so that it undoes itself unless you can still confirm it"
    place = "" if rule.source == covering else f"in {covering}, which is "
    raise LockoutError(f"{rule.source} is {place}{why}", "match.source", fix)


def check_change(standing: Rule, origin: str, etag: str | None) -> None:
    """StaleError if the rule no longer has this `etag`; RoleError if it is another origin's."""
    if etag is not None and etag != standing.etag:
        raise StaleError(f"rule {standing.id} changed since it was read; read it again")
    if origin not in (standing.origin, OPERATOR):
        raise RoleError(f"rule {standing.id} belongs to {standing.origin}, not to {origin}")


def tags_after(
    standing: Rule, changes: Mapping[str, object], origin: str
) -> dict[str, tuple[str, ...]]:
    """The new tags of a changed rule as {"tags": ...}, or {} if they do not change.

    If an operator changes what a detector's rule does, the rule is pinned, so that the detector
    does not change it back. RuleError for a tag that is not a name.
    """
    after, requested = standing.tags, changes.get("tags")
    if isinstance(requested, tuple):
        after = tags.given(after, check_tags(requested))
    if origin == OPERATOR != standing.origin and changes.keys() & _DOING:
        after = tags.pinned(after)
    return {} if after == standing.tags else {"tags": after}


def merge(standing: Rule, requested: Rule) -> Judgement:
    """The result of a request for a match that has a rule: it is extended or taken over.

    ConflictError if the two rules do different things and neither may replace the other.
    """
    if standing.same_effect(requested):
        if standing.origin == OPERATOR != requested.origin:
            return Judgement(standing, [f"{OPERATOR} has that rule, so nothing was changed"])
        return _extended(standing, requested)
    automatic = standing.origin != OPERATOR and requested.origin == OPERATOR
    if automatic and standing.action is not requested.action:
        warning = f"replaced the {standing.action} of {standing.origin} on the same match"
        return Judgement(requested, [warning])
    existing = f"a rule of {standing.origin} ({standing.mode} {standing.action})"
    fix = (
        f"give replace (--replace), or change the existing rule: PATCH /v1/rules/{standing.id}"
        if standing.action is requested.action
        else f"give replace (--replace), or remove it first: DELETE /v1/rules/{standing.id}"
    )
    raise ConflictError(f"there is already {existing} on {standing.subject}", "action", fix)


def _extended(standing: Rule, requested: Rule) -> Judgement:
    ends = (
        0
        if not (standing.expires_ns and requested.expires_ns)
        else max(standing.expires_ns, requested.expires_ns)
    )
    warnings = []
    confirm_by = standing.confirm_by_ns and requested.confirm_by_ns
    if requested.confirm_by_ns and not standing.confirm_by_ns:
        warnings.append("the rule is already confirmed, so confirm_within was not applied")
    if standing.expires_ns and not ends:
        warnings.append("the rule had an end and now has none, since no ttl was given")
    if requested.expires_ns and ends != requested.expires_ns:
        later = "ends later" if ends else "has no end"
        warnings.append(f"the rule {later}, so the ttl was not applied; --replace shortens it")
    taken = requested.origin == OPERATOR and standing.origin != OPERATOR
    current = tags.taken_over(standing.tags) if taken else standing.tags
    merged = standing.replace(
        expires_ns=ends,
        confirm_by_ns=confirm_by,
        origin=OPERATOR if taken else standing.origin,
        reason=requested.reason or standing.reason,
        tags=tags.joined(current, requested.tags),
        **({"spare": requested.spare} if taken else {}),
    )
    return Judgement(merged, warnings)
