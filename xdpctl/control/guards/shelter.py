# SPDX-License-Identifier: GPL-2.0-or-later
"""Suspends drops that would begin to hit a logged-in user although nobody asked for that.

That happens when an accept runs out, when a prefix is no longer protected, and when bypass ends.
"""

import logging
from collections.abc import Iterable

from xdpctl.base.net.prefix import Prefix
from xdpctl.control.guards import lockout
from xdpctl.control.guards.cuts import Cause, Cut
from xdpctl.control.state.draft import Draft
from xdpctl.model.effect import Mode
from xdpctl.model.rule import Rule

log = logging.getLogger("xdpctl.controller")


def keep_in(draft: Draft, people: Iterable[Prefix], until_ns: int, why: str) -> None:
    """Suspend what would drop these people by `until_ns` (kernel time): it then only counts."""
    for address in people:
        while cut := _next(draft, address, until_ns):
            _suspend(draft, cut.cause)
            ended = f"the accept of {_named(cut.kept)} ends" if cut.kept else why
            reason = f"{lockout.name(address)} is logged in, and {ended}"
            log.warning("the drop of %s is suspended: %s", _named(cut.cause), reason)
            draft.note("xdpctl", "rule.suspend", _named(cut.cause), why=reason)


def cut_off(draft: Draft, address: Prefix) -> Cut | None:
    """The first cut of connections from an address, without provisional drops; None if none."""
    cuts = lockout.cuts_of(draft, address, lockout.SSH, tried=False)
    return cuts[0] if cuts else None


def _next(draft: Draft, address: Prefix, until_ns: int) -> Cut | None:
    cut = cut_off(draft, address)
    return cut if cut and cut.start <= until_ns else None


def _suspend(draft: Draft, cause: Cause) -> None:
    if isinstance(cause, Rule):
        draft.put(cause.replace(mode=Mode.MONITOR), crowded=True)
    elif cause.rule:
        draft.put(cause.rule.replace(mode=Mode.MONITOR))
    elif cause.set:
        draft.put_set(cause.set.replace(mode=Mode.MONITOR))


def _named(cause: Cause) -> str:
    return cause.id if isinstance(cause, Rule) else str(cause)
