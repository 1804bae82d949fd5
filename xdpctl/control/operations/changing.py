# SPDX-License-Identifier: GPL-2.0-or-later
"""What a change of a standing rule or signature comes to."""

from xdpctl.base.net.prefix import Prefix
from xdpctl.control.state.draft import Draft
from xdpctl.model import policy
from xdpctl.model.requests import check_seconds
from xdpctl.model.rule import TTL_MAX, Rule
from xdpctl.model.signature import Signature


def changed_fields(
    draft: Draft,
    held: Rule | Signature,
    prefix: Prefix | None,
    changes: dict[str, object],
    origin: str,
) -> dict[str, object]:
    """The fields to replace; `ttl` (seconds, None for no end) becomes `expires_ns`.

    `prefix` is what the quota of its origin judges. RuleError or QuotaError if it may not be.
    """
    fields = {name: value for name, value in changes.items() if name != "ttl"}
    fields |= policy.tags_after(held, changes, origin)
    if "ttl" in changes:
        ttl = changes["ttl"]
        assert ttl is None or isinstance(ttl, int | float)  # noqa: S101  # callers give seconds or None
        check_seconds(ttl, "ttl", TTL_MAX)
        draft.state.quota(held.origin).check(held.origin, prefix, ttl, 0)
        fields["expires_ns"] = draft.now.after(ttl) if ttl is not None else 0
    return fields
