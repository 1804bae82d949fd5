# SPDX-License-Identifier: GPL-2.0-or-later
"""The checks that changes of rules and of signatures have in common."""

from dataclasses import dataclass
from typing import Generic, TypeVar

from xdpctl.base.net.prefix import Prefix
from xdpctl.control.state.draft import Draft
from xdpctl.model import policy
from xdpctl.model.requests import check_seconds
from xdpctl.model.rule import TTL_MAX, Rule
from xdpctl.model.signature import Signature

AnyRule = TypeVar("AnyRule", bound=Rule | Signature, covariant=True)


@dataclass(frozen=True, slots=True)
class Added(Generic[AnyRule]):
    """The rule or signature as it is now, whether it is new, and warnings.

    `changed` is whether anything differs from before, `replaced` whether it took another's place.
    """

    rule: AnyRule
    created: bool
    warnings: list[str]
    changed: bool = True
    replaced: bool = False


Confirmed = TypeVar("Confirmed", Rule, Signature)


def confirmation(before: Confirmed, after: Confirmed) -> Added[Confirmed]:
    """The answer to a confirmation; a warning if there was nothing to confirm."""
    if before.confirm_by_ns:
        return Added(after, False, [])
    why = "the rule is not provisional: it was confirmed before, or needs no confirmation"
    return Added(after, False, [why], changed=False)


def changed_fields(
    draft: Draft,
    rule: Rule | Signature,
    prefix: Prefix | None,
    changes: dict[str, object],
    origin: str,
) -> dict[str, object]:
    """The fields of `rule` to replace; `ttl` (seconds, None for no end) becomes `expires_ns`.

    The quota of the rule's origin is checked for `prefix`. RuleError for an invalid value,
    QuotaError if the change exceeds the quota.
    """
    fields = {name: value for name, value in changes.items() if name not in ("ttl", "force")}
    fields |= policy.tags_after(rule, changes, origin)
    if "ttl" in changes:
        ttl = changes["ttl"]
        assert ttl is None or isinstance(ttl, int | float)  # noqa: S101  # callers give seconds or None
        check_seconds(ttl, "ttl", TTL_MAX)
        draft.state.quota(rule.origin).check(rule.origin, prefix, ttl, 0)
        fields["expires_ns"] = draft.now.after(ttl) if ttl is not None else 0
    return fields
