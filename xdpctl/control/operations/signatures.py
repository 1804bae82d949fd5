# SPDX-License-Identifier: GPL-2.0-or-later
"""What one may ask of signatures: add, change, confirm, remove. Each works on a draft, checks
everything first, and stages nothing if it raises.
"""

from dataclasses import dataclass

import msgspec

from xdpctl.abi.structs import Constants, SlotNumber
from xdpctl.base.net.prefix import Prefix
from xdpctl.control.operations.changing import changed_fields
from xdpctl.control.operations.signature_guard import guard
from xdpctl.control.state.draft import Draft
from xdpctl.errors import CapacityError, ConflictError, NotFoundError, QuotaError
from xdpctl.model import policy
from xdpctl.model.identity import Caller
from xdpctl.model.match.match import Match
from xdpctl.model.match.ranges import holds
from xdpctl.model.quota import Quota
from xdpctl.model.requests import check_seconds, check_tags
from xdpctl.model.rule import CONFIRM_MAX, OPERATOR, TTL_MAX, Action, Mode, Spare
from xdpctl.model.signature import CONFIGURED, Rate, Signature, automatic, sparing

_TCP = 6
_RESERVED = 256  # signatures that detectors leave for people


class SignatureAsk(msgspec.Struct, frozen=True, kw_only=True):
    """A signature as somebody asks for it; times are seconds from now, None for no end."""

    match: Match
    action: Action = Action.DROP
    limit: Rate | None = None
    spare: Spare | None = None  # see model.sparing
    priority: int = 0
    mode: Mode = Mode.ENFORCE
    ttl: float | None = None
    confirm_within: float | None = None
    reason: str = ""
    tags: tuple[str, ...] = ()
    force: bool = False

    def __post_init__(self) -> None:
        check_seconds(self.ttl, "ttl", TTL_MAX)
        check_seconds(self.confirm_within, "confirm_within", CONFIRM_MAX)
        check_tags(self.tags)


@dataclass(frozen=True, slots=True)
class AddedSignature:
    """The signature that stands now, whether it is new, and what to know about it."""

    rule: Signature
    created: bool
    warnings: list[str]


def describe(held: Signature) -> dict[str, object]:
    """What the audit log keeps of a signature."""
    told: dict[str, object] = {
        "match": str(held.match),
        "action": held.action.value,
        "mode": held.mode.value,
        "spare": held.spare.value,
        "origin": held.origin,
        "reason": held.reason,
    }
    return told | ({"limit": str(held.limit)} if held.limit else {})


def free_slot(draft: Draft, origin: str = OPERATOR) -> int:
    """CapacityError if all are taken; QuotaError if those that are left are for people."""
    if origin not in (OPERATOR, CONFIGURED):
        others = sum(automatic(held) for held in draft.all_signatures())
        if others >= Constants.SIGNATURES_MAX - _RESERVED:
            raise QuotaError(
                f"detectors have {others} signatures, and the other {_RESERVED} are for people",
                "match",
                "let some end, or merge them: a component takes many values",
            )
    taken = {s.slot for s in (*draft.all_signatures(), *draft.state.signatures.values())}
    numbers = range(SlotNumber.SIGNATURES, SlotNumber.SETS)
    for number in numbers:
        if number not in taken:
            return number
    raise CapacityError(
        f"there are {len(numbers)} signatures, which is all there can be; nothing was applied. "
        "Remove some, or merge them: a component takes many values."
    )


def add(draft: Draft, ask: SignatureAsk, caller: Caller) -> AddedSignature:
    """One signature; the same again extends it."""
    now = draft.now
    standing = draft.signature(ask.match.id)
    asked = Signature(
        match=ask.match,
        slot=standing.slot if standing else free_slot(draft, caller.origin),
        action=ask.action,
        limit=ask.limit,
        spare=ask.spare or sparing(ask.limit),
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
    warnings = guard(draft, asked, caller, ask.force)
    if standing and standing.origin == CONFIGURED:
        raise ConflictError(
            f"{standing.match} is limited by the configuration",
            "match",
            "change it there and restart, or match something narrower; "
            f"DELETE /v1/rules/{standing.id} takes it away until the next start",
        )
    if standing:
        judgement = policy.merge(standing, asked)
        asked, warnings = judgement.rule, warnings + judgement.warnings
    draft.put_signature(asked)
    verb = "rule.extend" if standing else "rule.add"
    detail = {**describe(asked), "ttl": ask.ttl, "confirm_within": ask.confirm_within}
    draft.note(caller.name, verb, asked.id, **detail)
    return AddedSignature(asked, standing is None, warnings)


def _check_quota(draft: Draft, asked: Signature, ttl: float | None, new: bool) -> None:
    quota = draft.state.quota(asked.origin)
    if automatic(asked):
        _check_automatic(draft, asked, quota, new)
    prefix = _named(asked)
    if prefix is None and asked.origin != OPERATOR:
        raise QuotaError(
            f"{asked.origin} may only ask for what names a destination or a source",
            "match",
            "name the victim: destination",
        )
    counted = draft.of_origin(asked.origin) - (0 if new else 1)
    quota.check(asked.origin, prefix, ttl, counted)


def _named(asked: Signature) -> Prefix | None:
    """The destination or the source, whichever is narrower."""
    named = [asked.match.get(name) for name in ("destination", "source")]
    return max((p for p in named if p), key=lambda p: p.length, default=None)


def _check_automatic(draft: Draft, asked: Signature, quota: Quota, new: bool) -> None:
    """What people's signatures are guarded by: number and order."""
    if asked.priority < 0:
        raise QuotaError(
            f"{asked.origin} may not go before others: priority {asked.priority}",
            "priority",
            "leave it out, or give 0 or more",
        )
    narrow = asked.match.narrowing - {"destination"}
    if narrow == {"protocol"} and holds(asked.match.get("protocol"), _TCP):
        narrow = frozenset()
    if asked.action is Action.DROP and not narrow:
        raise QuotaError(
            f"{asked.origin} may not drop all that goes to {asked.match.get('destination')}, "
            "nor all of its TCP",
            "match",
            "give a rate, or what else the packets have in common",
        )
    held = sum(one.origin == asked.origin for one in draft.all_signatures())
    if new and held >= quota.max_signatures:
        raise QuotaError(
            f"{asked.origin} has {held} signatures, which is its quota",
            "match",
            f"let some end, or raise origins.{asked.origin}.max_signatures",
        )


def find(draft: Draft, identity: str, caller: Caller, etag: str | None) -> Signature:
    """The standing signature, if the caller may change it as he saw it."""
    held = draft.signature(identity)
    if held is None:
        raise NotFoundError(f"no rule {identity} stands; see GET /v1/rules")
    policy.check_change(held, caller.origin, etag)
    return held


def change(
    draft: Draft, identity: str, changes: dict[str, object], caller: Caller, etag: str | None
) -> AddedSignature:
    """Change `mode`, `ttl` (None: no end), `reason`, `tags`, `limit`, `spare` or `priority`."""
    held = find(draft, identity, caller, etag)
    changed = held.replace(**changed_fields(draft, held, _named(held), changes, caller.origin))
    if caller.origin != OPERATOR and automatic(changed):
        _check_automatic(draft, changed, draft.state.quota(changed.origin), False)
    before, after = ((s.mode, s.spare, s.priority) for s in (held, changed))
    warnings = [] if before == after else guard(draft, changed, caller, held.match.everything)
    draft.put_signature(changed)
    draft.note(caller.name, "rule.change", identity, **_told(changes))
    return AddedSignature(changed, False, warnings)


def _told(changes: dict[str, object]) -> dict[str, object]:
    return {k: str(v) if isinstance(v, Rate) else v for k, v in changes.items()}


def confirm(draft: Draft, identity: str, caller: Caller, etag: str | None) -> AddedSignature:
    """Make a provisional signature stand; NotFoundError once its time is up."""
    held = find(draft, identity, caller, etag)
    warnings = [] if held.confirm_by_ns else ["it was not waiting for a confirmation"]
    confirmed = held.replace(confirm_by_ns=0)
    draft.put_signature(confirmed)
    draft.note(caller.name, "rule.confirm", identity)
    return AddedSignature(confirmed, False, warnings)


def remove(
    draft: Draft, identity: str, caller: Caller, etag: str | None, hits: dict[str, int]
) -> Signature:
    """Take a signature away; `hits` goes into the audit log with it."""
    held = find(draft, identity, caller, etag)
    draft.remove_signature(identity)
    draft.note(caller.name, "rule.remove", identity, **describe(held), **hits)
    return held


def expire(draft: Draft, held: Signature, hits: dict[str, int]) -> None:
    """Forget a signature whose time is up; the kernel stopped applying it by itself."""
    draft.remove_signature(held.id)
    action = "rule.undo" if held.ends_unconfirmed else "rule.expire"
    draft.note("xdpctl", action, held.id, **describe(held), **hits)
