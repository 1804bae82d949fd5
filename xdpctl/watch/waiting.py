# SPDX-License-Identifier: GPL-2.0-or-later
"""Detectors' rules that only count, because their box observes, and wait for a decision. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from xdpctl.abi.constants import FlowState, Reason
from xdpctl.model import tags
from xdpctl.model.collateral import Collateral
from xdpctl.model.effect import Action, Mode
from xdpctl.model.rule import Rule, automatic
from xdpctl.traffic.packets import PACKET, PacketArray
from xdpctl.traffic.select import takes
from xdpctl.traffic.suggest import Suggestion, unknown

_LEAST = 10.0  # packets a second that a rule would hit
_PEOPLE = 0.05  # of what a rule takes that does not spare known flows, the most that they send
_NEARLY = 0.8  # of what the widest rule would hit: a rule that hits so much is preferred to it
_MORE = 0.2  # of what a rule would hit that the better ones do not: else they explain it
_LEAKS = 0.5  # of what a limit would hit that it lets pass: a drop is proposed instead
_BURSTS = 1.2  # times its rate that a limit may seem to let pass, by bursts and by sampling
_RULES_MAX, _LISTED = 64, 5
_DECIDED = frozenset((tags.WATCHED, tags.SOFTENED, tags.ENDING, tags.PINNED, tags.RELEASED))
_Taken = NDArray[np.bool_]


class Waiting(NamedTuple):
    """A rule, the packets a second that it would hit, and the share of these that it lets pass.

    `known` is the share of all that its match takes that known flows send; None: not known.
    """

    rule: Rule
    rate: float
    leak: float
    known: float | None

    @property
    def leaks(self) -> bool:
        """Whether its limit is too wide to help, so that a drop is proposed."""
        return self.leak > _LEAKS

    @property
    def proposed(self) -> Action:
        """What is proposed: what the rule would do, or a drop."""
        return Action.DROP if self.leaks else self.rule.action


@dataclass(frozen=True, slots=True)
class Decisions:
    """What waits for a decision, the most first, and the packets of which nobody has decided.

    `seconds` is how long these packets took to come; 0 if none were looked at.
    """

    waiting: Sequence[Waiting] = ()
    rest: PacketArray = field(default_factory=lambda: np.empty(0, PACKET))
    seconds: float = 0.0

    @property
    def unknown(self) -> float:
        """The packets a second of no known flow of which nobody has decided."""
        if not self.seconds:
            return 0.0
        return float(self.rest[unknown(self.rest)]["weight"].sum(dtype=float)) / self.seconds

    def explains(self, found: Suggestion) -> bool:
        """Whether most of what a suggestion takes is decided, or waits for a decision."""
        if not self.seconds:
            return False
        left = self.rest[takes(found.match, self.rest)]["weight"].sum(dtype=float)
        return bool(left / self.seconds < found.packets / 2)


def waits(rule: Rule, whom: Collateral | None) -> bool:
    """Whether nobody, and no part of xdpctl, has decided what becomes of a detector's rule."""
    decided = bool(_DECIDED.intersection(rule.tags)) or (whom is not None and whom.hurts)
    return automatic(rule) and rule.mode is Mode.MONITOR and not decided


def decisions(
    rules: Iterable[Rule], at_work: Iterable[Rule], packets: PacketArray, seconds: float
) -> Decisions:
    """The rules that would hit packets of these seconds and are not explained by better ones.

    What the detectors' rules `at_work` drop is decided, though some passed before. So is as much as
    a limit on all packets together lets pass, but nothing of a limit for each source. Of rules that
    hit nearly the same, the one that takes fewest known flows is listed, then the narrowest. A rule
    is left out if it would hit many known flows.
    """
    passed = packets[packets["reason"] == Reason.NO_RULE]
    for rule in at_work:
        passed = _without(rule, passed, seconds)
    weights = passed["weight"] / max(seconds, 1e-9)
    newest = sorted(rules, key=lambda rule: -rule.created_at)[:_RULES_MAX]
    able = [one for rule in newest if _able((one := _seen(rule, passed, weights))[0])]
    listed, rest = list[Waiting](), np.ones(len(passed), bool)
    while len(listed) < _LISTED:
        more = [(float(weights[hit & rest].sum()), each, taken) for each, hit, taken in able]
        more = [one for one in more if one[0] >= max(_LEAST, _MORE * one[1].rate)]
        if not more:
            break
        most = max(one[0] for one in more)
        _, best, taken = min((one for one in more if one[0] >= _NEARLY * most), key=_order)
        listed.append(best)
        rest &= ~taken
    return Decisions(sorted(listed, key=lambda each: -each.rate), passed[rest], seconds)


def _without(rule: Rule, packets: PacketArray, seconds: float) -> PacketArray:
    """The packets without what a rule has decided: of a limit, the packets a second of its rate."""
    taken = takes(rule.match, packets)
    if rule.action is Action.DROP:
        return packets[~taken]
    if rule.limit is None or rule.limit.per != "all" or not rule.limit.pps or not taken.any():
        return packets
    rate = float(packets["weight"][taken].sum(dtype=float)) / max(seconds, 1e-9)
    left = packets.copy()
    share = max(0.0, 1 - _BURSTS * rule.limit.pps / rate)
    left["weight"][taken] = np.round(left["weight"][taken] * share).astype("u4")
    return left


def _seen(
    rule: Rule, packets: PacketArray, weights: NDArray[np.float64]
) -> tuple[Waiting, _Taken, _Taken]:
    """The rule, which of the packets it would hit, and which its match takes."""
    taken = takes(rule.match, packets)
    known, asked = (packets["flow"] == FlowState.KNOWN), (packets["flow"] != FlowState.NOT_ASKED)
    hit = taken & ~known if rule.spare.known_flows else taken
    rate, mass = float(weights[hit].sum()), float(weights[taken & asked].sum())
    whole = rule.limit is not None and rule.limit.per == "all" and rule.limit.pps > 0
    leak = min(1.0, rule.limit.pps / rate) if rule.limit and whole and rate else 0.0
    share = float(weights[taken & known].sum()) / mass if mass else None
    return Waiting(rule, rate, leak, share), hit, taken


def _able(each: Waiting) -> bool:
    spared = each.rule.spare.known_flows
    return each.rate >= _LEAST and (spared or (each.known or 0.0) <= _PEOPLE)


def _order(one: tuple[float, Waiting, _Taken]) -> tuple[float, int]:
    _, each, _ = one
    return round(each.known or 0.0, 2), -len(each.rule.match.components)
