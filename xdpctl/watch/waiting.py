# SPDX-License-Identifier: GPL-2.0-or-later
"""Detectors' rules that only count, because their box observes, and wait for a decision. Pure."""

from collections.abc import Iterable
from typing import NamedTuple

from xdpctl.abi.constants import FlowState, Reason
from xdpctl.model import tags
from xdpctl.model.collateral import Collateral
from xdpctl.model.effect import Mode
from xdpctl.model.match.overlap import overlap
from xdpctl.model.rule import Rule, automatic
from xdpctl.traffic.packets import PacketArray
from xdpctl.traffic.select import takes

_LEAST = 10.0  # packets a second that a rule would hit
_PEOPLE = 0.05  # of what it would hit, the most that known flows may send
_RULES_MAX = 32  # that are looked at
_DECIDED = frozenset((tags.WATCHED, tags.SOFTENED, tags.ENDING, tags.PINNED, tags.RELEASED))


class Waiting(NamedTuple):
    """A rule, the packets a second that it would hit, and the share of these in known flows."""

    rule: Rule
    rate: float
    known: float


def waits(rule: Rule, whom: Collateral | None) -> bool:
    """Whether nobody, and no part of xdpctl, has decided what becomes of a detector's rule."""
    decided = bool(_DECIDED.intersection(rule.tags)) or (whom is not None and whom.hurts)
    return automatic(rule) and rule.mode is Mode.MONITOR and not decided


def waiting(
    rules: Iterable[Rule], enforced: Iterable[Rule], packets: PacketArray, seconds: float
) -> list[Waiting]:
    """The rules that would hit packets of these seconds, the best first.

    Of rules that may hit the same packets only the best is listed: the one that hits fewest known
    flows, then the narrowest. Rules that hit many are not proposed. What an `enforced` rule takes
    is decided: a limit lets some of it pass, and some passed before it was enforced.
    """
    if not seconds:
        return []
    passed, proposed = packets[packets["reason"] == Reason.NO_RULE], list(rules)[:_RULES_MAX]
    for decided in enforced:
        if any(overlap(decided.match, rule.match) for rule in proposed):
            passed = passed[~takes(decided.match, passed)]
    found = [_seen(rule, passed, seconds) for rule in proposed]
    able = [each for each in found if each.rate >= _LEAST and each.known <= _PEOPLE]
    best: list[Waiting] = []
    for each in sorted(able, key=_order):
        if not any(overlap(each.rule.match, other.rule.match) for other in best):
            best.append(each)
    return sorted(best, key=lambda each: -each.rate)


def _seen(rule: Rule, packets: PacketArray, seconds: float) -> Waiting:
    taken = packets[takes(rule.match, packets)]
    known = taken["weight"][taken["flow"] == FlowState.KNOWN].sum(dtype=float)
    mass = taken["weight"].sum(dtype=float)
    return Waiting(rule, float(mass) / seconds, float(known / mass) if mass else 0.0)


def _order(each: Waiting) -> tuple[float, int]:
    return round(each.known, 2), -len(each.rule.match.components)
