# SPDX-License-Identifier: GPL-2.0-or-later
"""Operations on rules: add, change, confirm, remove.

Each works on a draft, checks everything first, and stages nothing if it raises.
"""

from dataclasses import dataclass

from xdpctl.control.operations import advice
from xdpctl.control.operations.admission import check, check_quota, free_slot, named
from xdpctl.control.operations.challenges import answerable
from xdpctl.control.state.coverage import around
from xdpctl.control.state.draft import Draft
from xdpctl.errors import ConflictError, NotFoundError, RuleError
from xdpctl.model import policy
from xdpctl.model.effect import CHALLENGES, Action, Mode, Spare
from xdpctl.model.identity import Caller
from xdpctl.model.rate import Rate
from xdpctl.model.requests import RuleRequest, check_seconds
from xdpctl.model.rule import OPERATOR, STANDING, TTL_MAX, Rule, sparing


@dataclass(frozen=True, slots=True)
class Added:
    """The rule as it is now, whether it is new, and warnings.

    `changed` is whether anything differs from before, `replaced` whether it replaced another rule.
    """

    rule: Rule
    created: bool
    warnings: list[str]
    changed: bool = True
    replaced: bool = False


def place(draft: Draft, ask: RuleRequest, caller: Caller) -> Added:
    """Check and stage a new rule without an audit event, which the caller notes.

    If one with the same match and effect exists, extend it. Raises QuotaError, CapacityError,
    LockoutError for what is protected, RuleError, RoleError or ConflictError.
    """
    ask = answerable(draft, ask, caller)
    standing = draft.at(ask.match)
    rule = _build(draft, ask, caller, standing)
    check_quota(draft, standing, rule, ask.ttl)
    check(draft, standing, rule)
    advice.refuse_everything(rule, caller, ask.force)
    warnings = advice.warnings(draft, rule, caller)
    of_source = ask.replace and rule.by_source
    if standing and standing.origin in STANDING and not of_source:
        raise ConflictError(
            f"{standing.match} is limited by the configuration",
            "match",
            "change the configuration and restart, or match something narrower; "
            f"DELETE /v1/rules/{standing.id} removes the limit until the next start",
        )
    if standing and ask.replace:
        policy.check_change(standing, caller.origin, None)
        draft.put(rule)
        return Added(rule, False, warnings, rule != standing, replaced=True)
    if standing:
        judgement = policy.merge(standing, rule)
        draft.put(judgement.rule)
        return Added(
            judgement.rule, False, warnings + judgement.warnings, judgement.rule != standing
        )
    draft.put(rule)
    return Added(rule, True, warnings)


def _build(draft: Draft, ask: RuleRequest, caller: Caller, standing: Rule | None) -> Rule:
    now, slot = draft.now, 0
    if ask.by_source is None:
        slot = (standing.slot if standing else 0) or free_slot(draft, caller.origin)
    return Rule(
        match=ask.match,
        slot=slot,
        action=ask.action,
        limit=ask.limit,
        spare=ask.spares,
        priority=ask.priority,
        rank=ask.rank,
        mode=ask.mode,
        origin=caller.origin,
        reason=ask.reason,
        tags=ask.tags,
        created_at=draft.created_at,
        expires_ns=now.after(ask.ttl) if ask.ttl is not None else 0,
        confirm_by_ns=now.after(ask.confirm_within) if ask.confirm_within is not None else 0,
    )


def add(draft: Draft, ask: RuleRequest, caller: Caller) -> Added:
    """Add a rule, as `place` does, and note it in the audit log."""
    added = place(draft, ask, caller)
    source = added.rule.by_source
    wider = around(draft, source) if source else None
    enforced = added.rule.mode is Mode.ENFORCE
    if wider and enforced and wider.action is added.rule.action and not wider.protected:
        added.warnings.append(f"{wider} already covers it with the same action")
    detail = {**added.rule.describe(), "ttl": ask.ttl, "confirm_within": ask.confirm_within}
    verb = "rule.add" if added.created else "rule.replace" if added.replaced else "rule.extend"
    draft.note(caller.name, verb, added.rule.id, **detail)
    return added


def find(draft: Draft, rule_id: str, caller: Caller, etag: str | None) -> Rule:
    """The live rule with that id, if the caller may change it.

    NotFoundError if there is none; RoleError or StaleError as from policy.check_change.
    """
    rule = draft.find(rule_id)
    if rule is None:
        raise NotFoundError(f"there is no rule {rule_id}; see GET /v1/rules")
    policy.check_change(rule, caller.origin, etag)
    return rule


def change(
    draft: Draft, rule_id: str, changes: dict[str, object], caller: Caller, etag: str | None
) -> Added:
    """Change `action`, `mode`, `ttl` (None: no end), `reason`, `tags`, `limit`, `spare` or
    `priority` of a live rule.
    """
    rule = find(draft, rule_id, caller, etag)
    changed = _placed(draft, rule, rule.replace(**_fields(draft, rule, changes, caller)), changes)
    if caller.origin != OPERATOR or changed.by_source:
        check(draft, rule, changed)
    warnings = []
    if not (rule.same_effect(changed) and rule.spare is changed.spare):
        advice.refuse_everything(changed, caller, rule.match.everything)
        warnings = advice.warnings(draft, changed, caller)
    draft.put(changed)
    shown = {k: str(v) if isinstance(v, Rate) else v for k, v in changes.items()}
    draft.note(caller.name, "rule.change", rule.id, **shown)
    return Added(changed, False, warnings, changed != rule)


def _placed(draft: Draft, before: Rule, after: Rule, changes: dict[str, object]) -> Rule:
    """The changed rule in the table where it belongs; it may have been in the other table.

    A drop that was a limit spares what a new drop would.
    """
    hardened = before.action is Action.LIMIT and after.action is Action.DROP
    if hardened and "spare" not in changes and before.spare is _sparing(before):
        after = after.replace(spare=_sparing(after))
    if (before.by_source is None) is (after.by_source is None):
        return after
    if "spare" not in changes and before.spare is _sparing(before):
        after = after.replace(spare=_sparing(after))
    if after.by_source is None:
        return after.replace(slot=free_slot(draft, after.origin))
    return after.replace(slot=0)


def _sparing(rule: Rule) -> Spare:
    return sparing(rule.match, rule.action, rule.limit, rule.priority)


def _fields(
    draft: Draft, rule: Rule, changes: dict[str, object], caller: Caller
) -> dict[str, object]:
    """The fields of `rule` to replace; `ttl` (seconds, None for no end) becomes `expires_ns`.

    RuleError for an invalid value, QuotaError if the change exceeds the quota of the rule's origin.
    """
    fields = {name: value for name, value in changes.items() if name not in ("ttl", "force")}
    fields |= policy.tags_after(rule, changes, caller.origin)
    if "ttl" in changes:
        ttl = changes["ttl"]
        assert ttl is None or isinstance(ttl, int | float)  # noqa: S101  # callers give seconds or None
        check_seconds(ttl, "ttl", TTL_MAX)
        draft.state.quota(rule.origin).check(rule.origin, named(rule), ttl, 0)
        fields["expires_ns"] = draft.now.after(ttl) if ttl is not None else 0
    return _with_limit(rule, fields)


def _with_limit(rule: Rule, fields: dict[str, object]) -> dict[str, object]:
    """A limit goes with the action limit, and only with it; RuleError if it is missing."""
    action = fields.get("action", rule.action)
    if action in CHALLENGES:  # a challenge has nothing to spare
        fields = {"spare": Spare.NONE} | fields
    if action is not Action.LIMIT:
        if fields.get("limit"):
            raise RuleError(
                f"a rule that {action}s has no limit",
                "limit",
                "give action limit too (--action limit)",
            )
        return fields | ({"limit": None} if "action" in fields else {})
    if not fields.get("limit", rule.limit):
        raise RuleError("the action limit needs a limit", "limit", "give its pps or bps")
    return fields


def confirm(draft: Draft, rule_id: str, caller: Caller, etag: str | None) -> Added:
    """Make a provisional rule permanent; NotFoundError if it has already ended."""
    rule = find(draft, rule_id, caller, etag)
    confirmed = rule.replace(confirm_by_ns=0)
    draft.put(confirmed)
    draft.note(caller.name, "rule.confirm", rule.id)
    if rule.confirm_by_ns:
        return Added(confirmed, False, [])
    why = "the rule is not provisional: it was confirmed before, or needs no confirmation"
    return Added(confirmed, False, [why], changed=False)


def remove(
    draft: Draft, rule_id: str, caller: Caller, etag: str | None, hits: dict[str, int]
) -> Rule:
    """Remove a rule and return it; `hits` is added to the audit record."""
    rule = find(draft, rule_id, caller, etag)
    draft.remove(rule)
    draft.note(caller.name, "rule.remove", rule.id, **rule.describe(), **hits)
    return rule
