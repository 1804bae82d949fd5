# SPDX-License-Identifier: GPL-2.0-or-later
"""What the detector would do about made attacks, and what that would hit: half to learn, half to
judge.
"""

import time
from dataclasses import dataclass

import numpy as np

from bench.detection.made import ATTACKS, VICTIM, balanced, legitimate
from xdpctl.abi.constants import Traffic
from xdpctl.base.net.prefix import Prefix
from xdpctl.flood.evidence import Case
from xdpctl.flood.normal import Normal
from xdpctl.flood.settings import FLOORS, Most
from xdpctl.flood.verdict import proposals
from xdpctl.model.effect import Action
from xdpctl.traffic.packets import PacketArray
from xdpctl.traffic.select import takes

_WINDOW, _LEGITIMATE_SHARE = 400, 0.1
_RATE = 25_000.0
_VICTIM = Prefix(VICTIM, 32)


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of one attack: its shares dropped and challenged, and the normal traffic hit.

    `legitimate` is the share of all normal packets that is dropped, `worst` that of the worst kind.
    """

    name: str
    dropped: float
    challenged: float
    limited: float
    legitimate: float
    worst: float
    worst_kind: str
    milliseconds: float
    matches: tuple[str, ...]


def judged(name: str, seed: int, normal: Normal, aside: PacketArray) -> Outcome:
    """Generate the attack twice: the detector sees one half, and the other half is judged."""
    random = np.random.default_rng(seed)
    first, other = ATTACKS[name](random, 4_000), ATTACKS[name](random, 20_000)
    around = legitimate(random, int(_WINDOW * _LEGITIMATE_SHARE) * 10)
    mixed = np.concatenate([first, around])
    of_mixed = mixed["traffic"]
    found_proposals, took = [], 0.0
    for number in np.unique(first["traffic"]).tolist():
        kind = Traffic(number)
        share = float((first["traffic"] == number).mean())
        if share * _RATE < FLOORS[kind]:
            continue
        window = mixed[of_mixed == number]
        window = window[random.permutation(len(window))[:_WINDOW]]
        case = Case(
            victim=_VICTIM,
            kind=kind,
            window=window,
            normal=normal,
            rate=share * _RATE,
            threshold=FLOORS[kind],
            usual=FLOORS[kind] / 4,
            learnt=7 * 86_400.0,
        )
        began = time.perf_counter()
        found_proposals += proposals(case, Most.DROP)
        took += time.perf_counter() - began
    hit = {action: (np.zeros(len(other), bool), np.zeros(len(aside), bool)) for action in Action}
    for proposal in found_proposals:
        hit[proposal.action][0][:] |= takes(proposal.match, other)
        hit[proposal.action][1][:] |= takes(proposal.match, aside)
    drops = hit[Action.DROP]
    of_aside = aside["traffic"]
    by_kind = {k: float(drops[1][of_aside == k].mean()) for k in Traffic if (of_aside == k).any()}
    worst = max(by_kind, key=lambda k: by_kind[k])
    return Outcome(
        name,
        float(drops[0].mean()),
        float((hit[Action.CHALLENGE][0] & ~drops[0]).mean()),
        float((hit[Action.LIMIT][0] & ~drops[0]).mean()),
        float(drops[1].mean()),
        by_kind[worst],
        worst.setting,
        took * 1e3,
        tuple(f"{proposal.action} {proposal.match}" for proposal in found_proposals),
    )


def all_judged(seed: int = 1) -> list[Outcome]:
    """Judge every attack, with fresh normal traffic."""
    random = np.random.default_rng(seed)
    usual = balanced(random, 2_000)
    random.shuffle(usual)
    normal = Normal(usual)
    aside = legitimate(random, 100_000)
    return [judged(name, seed + 100 + n, normal, aside) for n, name in enumerate(ATTACKS)]
