# SPDX-License-Identifier: GPL-2.0-or-later
"""What detectors drop is judged all together: halves that make a whole look harmless alone."""

from xdpctl.base.net.prefix import Prefix
from xdpctl.control.state.draft import Draft
from xdpctl.errors import QuotaError
from xdpctl.model import possible
from xdpctl.model.effect import Action, Mode
from xdpctl.model.requests import WIDEST_DROP
from xdpctl.model.rule import Rule, automatic


def refuse_all(draft: Draft, asked: Rule) -> None:
    """QuotaError if detectors' drops together would leave next to nothing to a destination.

    A drop of what a source sends leaves what others send, so it does not count.
    """
    if not _drops_all(asked):
        return
    victim: Prefix | None = asked.match.get("destination")
    others = [
        each
        for each in draft.matches().values()
        if each.id != asked.id and automatic(each) and _drops_all(each) and _meets(each, victim)
    ]
    given = asked.match.family or (victim.family if victim else None)
    for family in (given,) if given else (4, 6):
        took = possible.taken(asked.match, family)
        for each in others:
            if each.match.family in (None, family):
                took |= possible.taken(each.match, family)
        what = possible.left_out(took)
        if not what:
            continue
        beside = f" together with {len(others)} drops that stand" if others else ""
        raise QuotaError(
            f"{asked.origin} may not drop {what} to {victim or 'anybody'}{beside}",
            "match",
            "give a rate, or further components that the packets have in common",
        )


def _drops_all(asked: Rule) -> bool:
    """Whether it drops what matches, whoever sends it."""
    enforced, source = asked.action is Action.DROP and asked.mode is Mode.ENFORCE, asked.source
    return enforced and (source is None or source.length < WIDEST_DROP[source.family])


def _meets(other: Rule, victim: Prefix | None) -> bool:
    """Whether a rule takes packets to a victim, or to a part of it."""
    to: Prefix | None = other.match.get("destination")
    if to is None or victim is None:
        return True
    return to.covers(victim) or victim.covers(to)
