# SPDX-License-Identifier: GPL-2.0-or-later
"""What is to be done about packets of one kind to one victim, and why. Pure."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from xdpctl.abi.constants import Traffic
from xdpctl.flood.evidence import (
    Case,
)
from xdpctl.flood.judge import OF_TUNNELS, Judge, Proposal, short
from xdpctl.flood.settings import Most
from xdpctl.flood.shapes import CONNECTING, TUNNELS, boxes, shape
from xdpctl.model.effect import Action
from xdpctl.model.finding import Collateral
from xdpctl.model.match.match import Match, Value, join
from xdpctl.model.match.ranges import merged
from xdpctl.model.rate import Rate
from xdpctl.traffic.boxes import BOXES_MAX, REST
from xdpctl.traffic.packets import PacketArray
from xdpctl.traffic.select import takes

_LEAST_PASSES = 0.2  # of the threshold: what a limit lets pass of a large flood
_STEP_DOWN = 0.2  # of what is above the threshold, by which a limit lets less than it pass
_A_SOURCE = 0.02  # of the threshold, what a limit lets pass of each source at least
_ON_ALL = 5_000.0  # packets a second that a limit on everything lets pass
_MANY = 100  # sources, where none sends a hundredth
_SQUEEZED = 0.25  # of a kind: a limit on a box that hits more is no better than one on all of it
_OF_A_PORT, _SEEN_OF_A_PORT = 0.02, 4  # of the packets, and packets: the port of a reflector
_SAME = 0.5  # of the packets, which an earlier match takes
_NEARLY_ALL = 0.99  # of what is left: else what a limit leaves over is an attack of its own


def proposals(case: Case, most: Most) -> list[Proposal]:
    """What is to be done, the most precise first; nothing if nothing may be done.

    Drops are for what matches an attack and next to no normal traffic, if something beside the
    number of packets shows that it is one. Of the rest, SYNs are challenged, all else is limited;
    nothing of what services cope with.
    """
    if most is Most.OFF or not len(case.window):
        return []
    judge = Judge(case, most is not Most.LIMIT)
    if judge.may_be_a_tunnel:
        return []
    given: dict[str, Value] = {"destination": case.victim, **shape(case.kind, case.victim.family)}
    whole = join(given)
    if case.kind is Traffic.UDP:  # what tells it from answers is for a box to find
        del given["source_port"]
    explained = min(0.9, case.usual / case.rate) if case.rate else 0.0
    found: list[Proposal] = []
    left = np.ones(len(case.window), bool)
    limits: list[tuple[Match, tuple[Collateral, ...]]] = []
    made = boxes(case.window, case.kind, case.normal.learning, explained, given)
    if judge.unsolicited:
        made = [_narrowed(match, given, case.window) for match in made or [whole]]
    for match in made:
        hit = judge.hits(match)
        if why := judge.why_not(match, hit):
            judge.rejected.append(f"{short(match)}: {why}")
            limits.append((match, hit))
            continue
        found.append(judge.drop(match, hit))
        left &= ~takes(match, case.window)
    rest = _share(left, case.window)
    if not case.copes and rest >= REST and rest * case.rate >= case.threshold:
        found.append(_rest(judge, whole, limits, left))
    return found[: BOXES_MAX + 1]


def _narrowed(match: Match, given: dict[str, Value], packets: PacketArray) -> Match:
    """A match on all services with the ports alone from which nearly all packets come."""
    window = packets[takes(match, packets)]
    if match.get("source_port") != given.get("source_port", ()) or not len(window):
        return match
    weights = window["weight"].astype(np.float64)
    ports, places, seen = np.unique(window["source_port"], return_inverse=True, return_counts=True)
    sums = np.bincount(places, weights) / weights.sum()
    chosen = (ports >= 0) & (sums >= _OF_A_PORT) & (seen >= _SEEN_OF_A_PORT)
    if not chosen.any() or sums[chosen].sum() < 1 - REST:
        return match
    singles = merged((port, port) for port in ports[chosen].tolist())
    return join({**dict(match.components), "source_port": singles})


def again(case: Case, earlier: Iterable[tuple[Match, float]], most: Most) -> list[Proposal]:
    """Matches that were dropped before and that take much of what comes now, if they still may be.

    Each comes with the seconds since then.
    """
    if most not in (Most.DROP, Most.OBSERVE):
        return []
    found = []
    for match, ago in earlier:
        if _share(takes(match, case.window), case.window) < _SAME:
            continue
        judge = Judge(case, True)
        judge.because.insert(0, f"the same packets were held {ago / 60:.0f} minutes ago")
        hit = judge.hits(match)
        if not judge.why_not(match, hit):
            found.append(judge.drop(match, hit))
    return found


def whole_limit(case: Case) -> Proposal:
    """What is done if nothing more precise is possible."""
    whole = join({"destination": case.victim, **shape(case.kind, case.victim.family)})
    return _rest(Judge(case, False), whole, [], np.ones(len(case.window), bool))


def limit_on_all(case: Case, usual: float) -> Proposal:
    """What is done about a victim of which there are more mitigations than places.

    `usual` is what comes to it of all kinds, in packets a second.
    """
    whole = join({"destination": case.victim})
    judge, rate = Judge(case, False), Rate(pps=max(_ON_ALL, case.threshold, 2 * usual))
    return Proposal(whole, Action.LIMIT, judge.told(whole, judge.hits(whole)), rate)


def _rest(
    judge: Judge,
    whole: Match,
    limits: list[tuple[Match, tuple[Collateral, ...]]],
    left: NDArray[np.bool_],
) -> Proposal:
    """What is done about packets that may not be dropped."""
    case = judge.case
    if case.kind is Traffic.SYN and not case.challenged:
        return Proposal(whole, Action.CHALLENGE, judge.told(whole, judge.hits(whole)))
    if case.kind is Traffic.SYN:  # another match than the challenge's: one match has one rule
        whole = join({"destination": case.victim, **CONNECTING})
        rate = _of_each(judge, 50.0)
        return Proposal(whole, Action.LIMIT, judge.told(whole, judge.hits(whole)), rate)
    if judge.from_where.few:
        rate = _of_each(judge, 10.0)
        return Proposal(whole, Action.LIMIT, judge.told(whole, judge.hits(whole)), rate)
    rate = Rate(pps=passes(case.threshold, case.rate, case.usual, case.answered))
    for match, hit in limits:
        worst = max((each.hits / each.samples for each in hit), default=0.0)
        covered = _share(takes(match, case.window) & left, case.window)
        if worst <= _SQUEEZED and covered >= _NEARLY_ALL * _share(left, case.window):
            return Proposal(match, Action.LIMIT, judge.told(match, hit), rate, adapts=True)
    return Proposal(whole, Action.LIMIT, judge.told(whole, judge.hits(whole)), rate, adapts=True)


def passes(threshold: float, rate: float, usual: float, answered: float) -> float:
    """The packets a second that a limit on a kind lets pass.

    Below the threshold nothing would be done, so a rate that is hardly above it is left there: a
    lower limit would lose people for what harms nobody. Of a large flood a fifth of the threshold
    passes. What was usual passes, and as much as services answer.
    """
    less = threshold - _STEP_DOWN * max(rate - threshold, 0.0)
    return max(less, _LEAST_PASSES * threshold, usual, answered, 10.0)


def _of_each(judge: Judge, least: float) -> Rate:
    """What a limit lets pass of each source: of all heavy ones together what is no attack yet."""
    case = judge.case
    most = case.threshold * (OF_TUNNELS if case.kind in TUNNELS else 1.0)
    each = max(
        least, _A_SOURCE * case.threshold, max(most, case.usual) / (judge.from_where.heavy or _MANY)
    )
    return Rate(pps=each, per_ipv4=32, per_ipv6=64)


def _share(chosen: NDArray[np.bool_], window: PacketArray) -> float:
    weights = window["weight"].astype(np.float64)
    return float(weights[chosen].sum() / weights.sum())
