# SPDX-License-Identifier: GPL-2.0-or-later
"""When what is staged would drop an address for the first time, and what does.

Entries of sources decide, the most specific first; when one ends, the next wider one does. Where
none does, signatures may. Only `explain` tells what the loaded program really does with a packet.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple

from xdpctl.base.net.prefix import Prefix
from xdpctl.control.state.coverage import MatchingEntry, covering
from xdpctl.control.state.draft import Draft
from xdpctl.model.effect import Action
from xdpctl.model.rule import Rule

NEVER = 1 << 63


class Cut(NamedTuple):
    """From when on an address is dropped, in CLOCK_MONOTONIC nanoseconds, and by what.

    `kept` is the accept that ends then; None if the drop is not kept off until then.
    """

    at_ns: int
    cause: MatchingEntry | Rule
    kept: MatchingEntry | None


def first_cut(
    draft: Draft,
    address: Prefix,
    drops: Callable[[MatchingEntry], bool],
    signatures: Iterable[Rule],
) -> Cut | None:
    """The first cut of an address by an entry that `drops`, or by one of the signatures."""
    at_ns, kept = draft.now.ns, None
    for entry in covering(draft, address):
        if not entry.decides or ends(entry.rule) <= at_ns:
            continue
        if entry.action is Action.ACCEPT:
            at_ns, kept = ends(entry.rule), entry
            if at_ns == NEVER:
                return None
        elif drops(entry):
            return Cut(at_ns, entry, kept)
    cause = next((each for each in signatures if ends(each) > at_ns), None)
    return Cut(at_ns, cause, kept) if cause else None


def ends(rule: object) -> int:
    """When a rule or signature ends (kernel time); NEVER for what has no end."""
    return getattr(rule, "kernel_expires_ns", 0) or NEVER


def earlier(cut: Cut | None, before: Cut | None) -> bool:
    """Whether there is a cut that was not there before, or was later."""
    return cut is not None and (before is None or cut.at_ns < before.at_ns)
