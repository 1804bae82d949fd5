# SPDX-License-Identifier: GPL-2.0-or-later
"""Operations on signatures: add, change, confirm, remove.

Each works on a draft, checks everything first, and stages nothing if it raises.
"""

import msgspec

from xdpctl.abi.constants import Constants, SlotNumber
from xdpctl.base.net.prefix import Prefix
from xdpctl.control.operations import advice
from xdpctl.control.operations.changing import Added, changed_fields, confirmation
from xdpctl.control.operations.drops_together import refuse_all
from xdpctl.control.state.draft import Draft
from xdpctl.errors import CapacityError, ConflictError, NotFoundError, QuotaError, RuleError
from xdpctl.model import policy
from xdpctl.model.identity import Caller
from xdpctl.model.quota import Quota
from xdpctl.model.rate import Rate
from xdpctl.model.requests import SignatureRequest
from xdpctl.model.rule import OPERATOR, Action, Mode, Spare
from xdpctl.model.signature import CHALLENGES, STANDING, Signature, automatic, sparing

_RESERVED = 256  # signatures that are reserved for operators
_IN_PLACE = Rate(pps=1_000)  # of a challenge: what is no SYN flood yet


def describe(signature: Signature) -> dict[str, object]:
    """The fields of a signature that go into the audit log."""
    detail: dict[str, object] = {
        "match": str(signature.match),
        "action": signature.action.value,
        "mode": signature.mode.value,
        "spare": signature.spare.value,
        "origin": signature.origin,
        "reason": signature.reason,
    }
    return detail | ({"limit": str(signature.limit)} if signature.limit else {})


def free_slot(draft: Draft, origin: str = OPERATOR) -> int:
    """A free slot. CapacityError if none is left; QuotaError if only reserved ones are left."""
    if origin not in (OPERATOR, *STANDING):
        others = sum(map(automatic, draft.signatures.values()))
        if others >= Constants.SIGNATURES_MAX - _RESERVED:
            raise QuotaError(
                f"detectors have {others} signatures; the other {_RESERVED} are reserved for "
                "operators",
                "match",
                "wait until some end, or merge them: a component takes many values",
            )
    taken = {s.slot for s in (*draft.signatures.values(), *draft.state.signatures.values())}
    numbers = range(SlotNumber.SIGNATURES, SlotNumber.SETS)
    for number in numbers:
        if number not in taken:
            return number
    raise CapacityError(
        f"there are {len(numbers)} signatures, which is the maximum; nothing was applied. "
        "Remove some, or merge them: a component takes many values."
    )


def add(draft: Draft, ask: SignatureRequest, caller: Caller) -> Added[Signature]:
    """Add a signature; if one with the same match and effect exists, extend it.

    Raises QuotaError, CapacityError, RuleError, RoleError or ConflictError.
    """
    now, ask = draft.now, answerable(draft, ask, caller)
    standing = draft.signature(ask.match.id)
    asked = Signature(
        match=ask.match,
        slot=standing.slot if standing else free_slot(draft, caller.origin),
        action=ask.action,
        limit=ask.limit,
        spare=ask.spare or sparing(ask.action, ask.limit),
        priority=ask.priority,
        mode=ask.mode,
        origin=caller.origin,
        reason=ask.reason,
        tags=ask.tags,
        created_at=draft.created_at,
        expires_ns=now.after(ask.ttl) if ask.ttl is not None else 0,
        confirm_by_ns=now.after(ask.confirm_within) if ask.confirm_within is not None else 0,
    )
    _check_quota(draft, asked, ask.ttl, standing is None)
    advice.refuse_everything(asked, caller, ask.force)
    warnings = advice.warnings(draft, asked, caller)
    if standing and standing.origin in STANDING:
        raise ConflictError(
            f"{standing.match} is limited by the configuration",
            "match",
            "change the configuration and restart, or match something narrower; "
            f"DELETE /v1/rules/{standing.id} removes the limit until the next start",
        )
    verb = "rule.extend" if standing else "rule.add"
    if standing and ask.replace:
        policy.check_change(standing, caller.origin, None)
        verb = "rule.replace"
    elif standing:
        judgement = policy.merge(standing, asked)
        asked, warnings = judgement.rule, warnings + judgement.warnings
    draft.put(asked)
    detail = {**describe(asked), "ttl": ask.ttl, "confirm_within": ask.confirm_within}
    draft.note(caller.name, verb, asked.id, **detail)
    return Added(asked, standing is None, warnings, asked != standing)


def answerable(draft: Draft, ask: SignatureRequest, caller: Caller) -> SignatureRequest:
    """The request, with a limit in place of a challenge that could not leave.

    ConflictError if a person asks for that challenge.
    """
    interface = draft.state.cannot_answer
    if not interface or ask.action not in CHALLENGES or ask.mode is not Mode.ENFORCE:
        return ask
    if caller.origin == OPERATOR:
        raise ConflictError(
            f"the driver of {interface} cannot send challenges: every newcomer would be kept out",
            "action",
            f"give a limit: --pps {_IN_PLACE.pps:.0f}",
        )
    return msgspec.structs.replace(ask, action=Action.LIMIT, limit=_IN_PLACE, spare=Spare.KNOWN)


def challenges(held: Signature) -> bool:
    """Whether it keeps newcomers out until they answer."""
    return held.action in CHALLENGES and held.mode is Mode.ENFORCE


def without_challenges(draft: Draft, interface: str) -> None:
    """Replace every challenge by a limit, because the driver of an interface cannot send them."""
    for standing in draft.signatures.values():
        if challenges(standing):
            changed = standing.replace(action=Action.LIMIT, limit=_IN_PLACE, spare=Spare.KNOWN)
            draft.put(changed)
            why = f"the driver of {interface} cannot send challenges"
            draft.note("xdpctl", "rule.change", standing.id, **describe(changed), why=why)


def _check_quota(draft: Draft, asked: Signature, ttl: float | None, new: bool) -> None:
    quota = draft.state.quota(asked.origin)
    if automatic(asked):
        _check_automatic(draft, asked, quota, new)
    prefix = _named(asked)
    if prefix is None and asked.origin != OPERATOR:
        raise QuotaError(
            f"a match of {asked.origin} must name a destination or a source",
            "match",
            "add the victim as destination",
        )
    counted = draft.of_origin(asked.origin) - (0 if new else 1)
    quota.check(asked.origin, prefix, ttl, counted)


def _named(asked: Signature) -> Prefix | None:
    """The narrower one of destination and source; None if the match has neither."""
    named = [asked.match.get(name) for name in ("destination", "source")]
    return max((p for p in named if p), key=lambda p: p.length, default=None)


def _check_automatic(draft: Draft, asked: Signature, quota: Quota, new: bool) -> None:
    """QuotaError if a detector's signature has priority, drops too much, or is one too many."""
    if asked.priority < 0:
        raise QuotaError(
            f"{asked.origin} may not use a priority below 0, and asks for {asked.priority}",
            "priority",
            "leave it out, or give 0 or more",
        )
    if asked.action is Action.ACCEPT and asked.mode is Mode.ENFORCE:
        raise QuotaError(
            f"{asked.origin} may not accept by a match: it would outrank rules of operators",
            "action",
            "ask an operator for it",
        )
    refuse_all(draft, asked)
    existing = sum(signature.origin == asked.origin for signature in draft.signatures.values())
    if new and existing >= quota.max_signatures:
        raise QuotaError(
            f"{asked.origin} has {existing} signatures, which is its quota",
            "match",
            f"wait until some end, or raise origins.{asked.origin}.max_signatures",
        )


def find(draft: Draft, identity: str, caller: Caller, etag: str | None) -> Signature:
    """The live signature of that id, if the caller may change it.

    NotFoundError if there is none; RoleError or StaleError as from policy.check_change.
    """
    found = draft.signature(identity)
    if found is None:
        raise NotFoundError(f"there is no rule {identity}; see GET /v1/rules")
    policy.check_change(found, caller.origin, etag)
    return found


def change(
    draft: Draft, identity: str, changes: dict[str, object], caller: Caller, etag: str | None
) -> Added[Signature]:
    """Change `mode`, `ttl` (None: no end), `reason`, `tags`, `limit`, `spare` or `priority`."""
    held = find(draft, identity, caller, etag)
    fields = changed_fields(draft, held, _named(held), changes, caller.origin)
    changed = held.replace(**_with_limit(held, fields))
    if caller.origin != OPERATOR and automatic(changed):
        _check_automatic(draft, changed, draft.state.quota(changed.origin), False)
    before, after = ((s.action, s.limit, s.mode, s.spare, s.priority) for s in (held, changed))
    warnings = []
    if before != after:
        advice.refuse_everything(changed, caller, held.match.everything)
        warnings = advice.warnings(draft, changed, caller)
    draft.put(changed)
    draft.note(caller.name, "rule.change", identity, **_as_json(changes))
    return Added(changed, False, warnings, changed != held)


def _with_limit(held: Signature, fields: dict[str, object]) -> dict[str, object]:
    """A limit goes with the action limit, and only with it; RuleError if it is missing."""
    action = fields.get("action", held.action)
    if action in CHALLENGES:  # which have nothing to spare
        fields = {"spare": Spare.NONE} | fields
    if action is not Action.LIMIT:
        if fields.get("limit"):
            raise RuleError(f"a rule that {action}s has no limit", "limit", "give action limit too")
        return fields | ({"limit": None} if "action" in fields else {})
    if not fields.get("limit", held.limit):
        raise RuleError("the action limit without a limit", "limit", "give its pps or bps")
    return fields


def _as_json(changes: dict[str, object]) -> dict[str, object]:
    return {k: str(v) if isinstance(v, Rate) else v for k, v in changes.items() if k != "force"}


def confirm(draft: Draft, identity: str, caller: Caller, etag: str | None) -> Added[Signature]:
    """Make a provisional signature permanent; NotFoundError if it has already ended."""
    current = find(draft, identity, caller, etag)
    confirmed = current.replace(confirm_by_ns=0)
    draft.put(confirmed)
    draft.note(caller.name, "rule.confirm", identity)
    return confirmation(current, confirmed)


def remove(
    draft: Draft, identity: str, caller: Caller, etag: str | None, hits: dict[str, int]
) -> Signature:
    """Remove a signature and return it; `hits` is added to the audit record."""
    removed = find(draft, identity, caller, etag)
    draft.remove(removed)
    draft.note(caller.name, "rule.remove", identity, **describe(removed), **hits)
    return removed
