# SPDX-License-Identifier: GPL-2.0-or-later
"""Refuses drops of a large part of the Internet, unless they are meant. Pure."""

from xdpctl.errors import UnconfirmedError
from xdpctl.model.requests import WIDEST_DROP
from xdpctl.model.rule import Action, Mode, Rule

CONFIRM = "try it with confirm_within (--confirm-within 60s), or give force (--force)"
FORCE = "give force (--force)"  # for a change, which cannot be a trial


def refuse_wide(before: Rule | None, rule: Rule) -> None:
    """UnconfirmedError for a drop of a large part of the Internet where there was none."""
    if not _is_wide(rule) or (before is not None and _is_wide(before)):
        return
    share = f"1/{1 << rule.source.length}" if rule.source.length else "all"
    widest = WIDEST_DROP[rule.source.family]
    raise UnconfirmedError(
        f"{rule.source} is wider than /{widest}: it drops {share} of IPv{rule.source.family}",
        "match.source",
        FORCE if before else CONFIRM,
    )


def _is_wide(rule: Rule) -> bool:
    enforced = rule.action is Action.DROP and rule.mode is Mode.ENFORCE
    wide = rule.source.length < WIDEST_DROP[rule.source.family]
    return enforced and wide and not rule.confirm_by_ns
