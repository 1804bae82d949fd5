# SPDX-License-Identifier: GPL-2.0-or-later
"""Refuses drops of a large part of the Internet, unless they are meant. Pure."""

from xdpctl.base.net.prefix import Prefix
from xdpctl.errors import UnconfirmedError
from xdpctl.model.effect import Action, Mode, Spare
from xdpctl.model.requests import WIDEST_DROP
from xdpctl.model.rule import Rule

CONFIRM = "try it with confirm_within (--confirm-within 60s), or give force (--force)"
FORCE = "give force (--force)"  # for a change, which cannot be a trial


def refuse_wide(before: Rule | None, rule: Rule) -> None:
    """UnconfirmedError for a drop of a large part of the Internet where there was none.

    A rule on a match that spares known flows is allowed, since it cuts off nobody.
    """
    source = rule.match.source_only
    if source is None or not _is_wide(source, rule) or (before and _is_wide(source, before)):
        return
    share = f"1/{1 << source.length}" if source.length else "all"
    widest = WIDEST_DROP[source.family]
    raise UnconfirmedError(
        f"{source} is wider than /{widest}: it drops {share} of IPv{source.family}",
        "match.source",
        FORCE if before else CONFIRM,
    )


def _is_wide(source: Prefix, rule: Rule) -> bool:
    enforced = rule.action is Action.DROP and rule.mode is Mode.ENFORCE
    if rule.by_source is None and rule.spare is not Spare.NONE:
        return False
    wide = source.length < WIDEST_DROP[source.family]
    return enforced and wide and not rule.confirm_by_ns
