# SPDX-License-Identifier: GPL-2.0-or-later
"""Operations on the rules of sources: add, change, confirm, remove.

Each works on a draft, checks everything first, and stages nothing if it raises.
"""

from xdpctl.base.net.prefix import Prefix
from xdpctl.control.operations.admission import check_share, refuse_outranking, refuse_released
from xdpctl.control.operations.changing import Added, changed_fields, confirmation
from xdpctl.control.state.coverage import around
from xdpctl.control.state.draft import Draft
from xdpctl.errors import NotFoundError, RuleError
from xdpctl.model import policy
from xdpctl.model.identity import Caller
from xdpctl.model.requests import RuleRequest
from xdpctl.model.rule import Action, Mode, Rule


def _build(draft: Draft, ask: RuleRequest, caller: Caller) -> Rule:
    now = draft.now
    return Rule(
        source=ask.source,
        action=ask.action,
        mode=ask.mode,
        origin=caller.origin,
        reason=ask.reason,
        tags=ask.tags,
        created_at=draft.created_at,
        expires_ns=now.after(ask.ttl) if ask.ttl is not None else 0,
        confirm_by_ns=now.after(ask.confirm_within) if ask.confirm_within is not None else 0,
        spare=ask.spare,
    )


def place(draft: Draft, ask: RuleRequest, caller: Caller) -> Added[Rule]:
    """Check and stage a new rule without an audit event, which the caller notes.

    QuotaError, LockoutError for what is protected, ConflictError or CapacityError.
    """
    rule = _build(draft, ask, caller)
    standing = draft.standing(rule.source)
    counted = draft.of_origin(caller.origin) - (1 if standing else 0)
    quota = draft.state.quota(caller.origin)
    quota.check(caller.origin, rule.source, ask.ttl, counted)
    check_share(draft, standing, rule)
    refuse_released(draft, rule)
    refuse_outranking(draft, rule)
    warnings = policy.guard(rule, draft.state.protection)
    if standing and ask.replace:
        policy.check_change(standing, caller.origin, None)
        draft.put(rule)
        return Added(rule, False, warnings, rule != standing, replaced=True)
    if standing:
        judgement = policy.merge(standing, rule)
        draft.put(judgement.rule)
        warnings += judgement.warnings
        return Added(judgement.rule, False, warnings, judgement.rule != standing)
    draft.check_room()
    draft.check_entries(rule.source.family, 1)
    draft.put(rule)
    return Added(rule, True, warnings)


def describe(rule: Rule) -> dict[str, object]:
    """The fields of a rule that go into the audit log."""
    return {
        "action": rule.action.value,
        "mode": rule.mode.value,
        "origin": rule.origin,
        "reason": rule.reason,
    }


def add(draft: Draft, ask: RuleRequest, caller: Caller) -> Added[Rule]:
    """Add a rule; if one with the same source and effect exists, extend it. Raises as `place`."""
    added = place(draft, ask, caller)
    wider = around(draft, added.rule.source)
    enforced = added.rule.mode is Mode.ENFORCE
    if wider and enforced and wider.action is added.rule.action and not wider.protected:
        added.warnings.append(f"{wider} already covers it with the same action")
    detail = {**describe(added.rule), "ttl": ask.ttl, "confirm_within": ask.confirm_within}
    verb = "rule.add" if added.created else "rule.replace" if added.replaced else "rule.extend"
    draft.note(caller.name, verb, added.rule.id, **detail)
    return added


def _existing(draft: Draft, source: Prefix, caller: Caller, etag: str | None) -> Rule:
    rule = draft.standing(source)
    if rule is None:
        raise NotFoundError(f"there is no rule on {source}; see GET /v1/rules")
    policy.check_change(rule, caller.origin, etag)
    return rule


def change(
    draft: Draft, source: Prefix, changes: dict[str, object], caller: Caller, etag: str | None
) -> Added[Rule]:
    """Change `action`, `mode`, `ttl` (None: no end), `reason` or `tags` of a live rule."""
    rule = _existing(draft, source, caller, etag)
    if "limit" in changes or changes.get("action") not in (None, Action.DROP, Action.ACCEPT):
        raise RuleError(
            f"a rule on a source cannot become a {changes.get('action', Action.LIMIT)}",
            "action",
            f"add a limit beside it: xdpctl limit {source} --pps 1000",
        )
    for field in ("spare", "priority"):
        if field in changes:
            raise RuleError(
                f"a rule that matches only a source has no {field}",
                field,
                f"remove it, and add it again with {field} (--{field})",
            )
    changed = rule.replace(**changed_fields(draft, rule, rule.source, changes, caller.origin))
    before, after = ((r.action, r.mode, r.expires_ns) for r in (rule, changed))
    check_share(draft, rule, changed)
    refuse_released(draft, changed)
    refuse_outranking(draft, changed)
    warnings = [] if before == after else policy.guard(changed, draft.state.protection)
    draft.put(changed)
    shown = {name: value for name, value in changes.items() if name != "force" or value}
    draft.note(caller.name, "rule.change", rule.id, **shown)
    return Added(changed, False, warnings, changed != rule)


def confirm(draft: Draft, source: Prefix, caller: Caller, etag: str | None) -> Added[Rule]:
    """Make a provisional rule permanent; NotFoundError if it has already ended."""
    rule = _existing(draft, source, caller, etag)
    confirmed = rule.replace(confirm_by_ns=0)
    draft.put(confirmed)
    draft.note(caller.name, "rule.confirm", rule.id)
    return confirmation(rule, confirmed)


def remove(
    draft: Draft, source: Prefix, caller: Caller, etag: str | None, hits: dict[str, int]
) -> Rule:
    """Remove a rule and return it; `hits` is added to the audit record."""
    rule = _existing(draft, source, caller, etag)
    draft.remove(rule)
    draft.note(caller.name, "rule.remove", rule.id, **describe(rule), **hits)
    return rule
