# SPDX-License-Identifier: GPL-2.0-or-later
"""Judges a change that one node tries before all others have it. Pure.

What speaks against it: people whom its rules hit, by their control groups; services that serve
fewer than is usual since it began; and, unless it only keeps something out, a node that is hurting
since.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from xdpctl.model.collateral import Collateral
from xdpctl.model.effect import Action
from xdpctl.model.rule import Rule
from xdpctl.model.shared import Rollout

HURTING = "hurting"  # a node's condition


class Wellbeing(NamedTuple):
    """How this node is: its condition with the first reason, and the services that fail clients.

    `failing` has a sentence for each service. `observed`: whether its traffic is observed.
    """

    word: str
    why: str
    failing: Mapping[str, str]
    observed: bool


def against(
    rollout: Rollout,
    now: Wellbeing,
    rules: Iterable[Rule],
    collateral: Mapping[str, Collateral],
) -> str:
    """What speaks against the change now, in a sentence; "" for nothing. `rules` are its own."""
    every = list(rules)
    for rule in every:
        whom = collateral.get(rule.id)
        if whom and whom.hurts:
            return f"it hits people: {whom}"
    for service, sentence in now.failing.items():
        if service not in rollout.failing:
            return f"since it began: {sentence}"
    keeps_out = every and len(every) == len(rollout.keys) and all(map(_keeps_out, every))
    if now.word == HURTING != rollout.word and not keeps_out:
        return f"this node is hurting since it began: {now.why}"
    return ""


def _keeps_out(rule: Rule) -> bool:
    """Whether a rule can only keep packets out: what else comes in is not its doing."""
    return rule.action is not Action.ACCEPT
