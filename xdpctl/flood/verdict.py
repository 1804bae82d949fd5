# SPDX-License-Identifier: GPL-2.0-or-later
"""Proposes measures against packets of one kind to one victim, with the reasons. Pure."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from xdpctl.abi.constants import Traffic
from xdpctl.flood.evidence import (
    Case,
)
from xdpctl.flood.judge import OF_TUNNELS, Judge, Proposal, short
from xdpctl.flood.settings import Most
from xdpctl.flood.shapes import CONNECTING, TUNNELS, asked, boxes, shape
from xdpctl.model.effect import Action
from xdpctl.model.finding import Collateral
from xdpctl.model.match.match import Match, Value, join
from xdpctl.model.match.ranges import merged
from xdpctl.model.rate import Rate
from xdpctl.traffic.boxes import BOXES_MAX, REST
from xdpctl.traffic.packets import PacketArray
from xdpctl.traffic.select import takes

_LEAST_PASSES = 0.2  # share of the threshold that a limit lets pass of a large flood
_STEP_DOWN = 0.2  # share of the excess over the threshold that is taken off the limit
_A_SOURCE = 0.02  # share of the threshold that a limit lets pass of each source at least
_ON_ALL = 5_000.0  # packets a second that a limit on everything lets pass
_MANY = 100  # number of sources to reckon with, if none sends 1 % or more
_SQUEEZED = 0.25  # share of a kind: a limit on a box that hits more is no better than on all of it
_OF_A_PORT, _SEEN_OF_A_PORT = 0.02, 4  # share and number of packets from a reflector's port
_NEARLY_ALL = 0.9  # share of the rest: else what the limit leaves over is an attack of its own
_SAME = 0.5  # share of the packets that an earlier match takes


def proposals(case: Case, most: Most) -> list[Proposal]:
    """The measures, the most precise first; empty if nothing may be done.

    A match is dropped if it hits next to no normal traffic, and if something besides the rate shows
    an attack. Of the rest, SYNs and queries of games are challenged. So are DNS queries and QUIC to
    a host that also serves over TCP. All else is limited. What services cope with is not limited.
    """
    if most is Most.OFF or not len(case.window):
        return []
    judge = Judge(case, most is not Most.LIMIT)
    if judge.may_be_a_tunnel:
        return []
    components: dict[str, Value] = {"destination": case.victim}
    components |= shape(case.kind, case.victim.family)
    whole = join(components)
    if case.kind is Traffic.UDP:  # the boxes find the source ports
        del components["source_port"]
    explained = min(0.9, case.usual / case.rate) if case.rate else 0.0
    proposed: list[Proposal] = []
    left = np.ones(len(case.window), bool)
    limits: list[tuple[Match, tuple[Collateral, ...]]] = []
    others = case.window[~_of_games(case)]
    matches = boxes(others, case.kind, case.normal.learning, explained, components)
    if judge.unsolicited:
        matches = [_narrowed(match, components, case.window) for match in matches or [whole]]
    for match in matches:
        hit = judge.hits(match)
        if why := judge.why_not(match, hit):
            judge.rejected.append(f"{short(match)}: {why}")
            limits.append((match, hit))
            continue
        proposed.append(judge.drop(match, hit))
        left &= ~takes(match, case.window)
    rest = _share(left, case.window)
    if not case.copes and rest >= REST and rest * case.rate >= case.threshold:
        proposed.append(_rest(judge, whole, limits, left))
    return proposed[: BOXES_MAX + 1]


def _of_games(case: Case) -> NDArray[np.bool_]:
    """The queries of games, which are never dropped while their clients can prove their sources.

    They are a small part of normal UDP, so a match for all of them would seem to hit nobody.
    """
    if case.kind is not Traffic.UDP or not case.provable:
        return np.zeros(len(case.window), bool)
    return takes(_asks(case), case.window)


def _asks(case: Case) -> Match:
    """What a challenge asks."""
    return join({"destination": case.victim, **asked(case.kind, case.victim.family)})


def _narrowed(match: Match, components: dict[str, Value], packets: PacketArray) -> Match:
    """The match, with only those source ports from which nearly all packets come.

    A match whose source ports are not those of all services stays as it is.
    """
    window = packets[takes(match, packets)]
    if match.get("source_port") != components.get("source_port", ()) or not len(window):
        return match
    weights = window["weight"].astype(np.float64)
    ports, places, heads = np.unique(window["source_port"], return_inverse=True, return_counts=True)
    sums = np.bincount(places, weights) / weights.sum()
    chosen = (ports >= 0) & (sums >= _OF_A_PORT) & (heads >= _SEEN_OF_A_PORT)
    if not chosen.any() or sums[chosen].sum() < 1 - REST:
        return match
    singles = merged((port, port) for port in ports[chosen].tolist())
    return join({**dict(match.components), "source_port": singles})


def again(case: Case, earlier: Iterable[tuple[Match, float]], most: Most) -> list[Proposal]:
    """Drops of earlier matches that take much of what comes now, where a drop is still allowed.

    Each match of `earlier` comes with the seconds since it was dropped.
    """
    if most not in (Most.DROP, Most.OBSERVE):
        return []
    proposed = []
    for match, ago in earlier:
        if _share(takes(match, case.window), case.window) < _SAME:
            continue
        judge = Judge(case, True)
        judge.because.insert(0, f"the same packets were dropped {ago / 60:.0f} minutes ago")
        hit = judge.hits(match)
        if not judge.why_not(match, hit):
            proposed.append(judge.drop(match, hit))
    return proposed


def whole_limit(case: Case) -> Proposal:
    """The measure if nothing more precise is possible."""
    whole = join({"destination": case.victim, **shape(case.kind, case.victim.family)})
    return _rest(Judge(case, False), whole, [], np.ones(len(case.window), bool))


def limit_on_all(case: Case, usual: float) -> Proposal:
    """The measure for a victim that has no room for another mitigation.

    `usual` is the normal rate of all kinds to it, in packets a second.
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
    """The measure for packets that may not be dropped."""
    case, rest, asks = judge.case, _share(left, judge.case.window), _asks(judge.case)
    provable = case.provable and _share(takes(asks, case.window) & left, case.window) >= rest / 2
    if (case.kind is Traffic.SYN or provable) and not case.challenged:
        told = judge.told(asks, judge.hits(asks))
        return Proposal(asks, Action.CHALLENGE, told, adapts=provable)
    if case.kind is Traffic.SYN:  # there is one rule a match: take another match
        whole = join({"destination": case.victim, **CONNECTING})
        rate = _of_each(judge, 50.0)
        return Proposal(whole, Action.LIMIT, judge.told(whole, judge.hits(whole)), rate)
    if judge.from_where.few:
        rate = _of_each(judge, 10.0)
        return Proposal(whole, Action.LIMIT, judge.told(whole, judge.hits(whole)), rate)
    rate = Rate(pps=passes(case.threshold, case.rate, case.usual, case.answered))
    for match, hit in limits:
        worst = max((harm.hits / harm.samples for harm in hit), default=0.0)
        covered = _share(takes(match, case.window) & left, case.window)
        beside = case.rate * (rest - covered)
        enough = covered >= _NEARLY_ALL * rest and beside < case.threshold
        if worst <= _SQUEEZED and enough:
            return Proposal(match, Action.LIMIT, judge.told(match, hit), rate, adapts=True)
    return Proposal(whole, Action.LIMIT, judge.told(whole, judge.hits(whole)), rate, adapts=True)


def passes(threshold: float, rate: float, usual: float, answered: float) -> float:
    """The packets a second that a limit on a kind lets pass.

    For a rate just above the threshold the limit is near the threshold: a lower limit would hurt
    people, and rates below the threshold are not limited at all. For a large flood the limit is a
    fifth of the threshold. It is never below the usual rate, or below what services have answered.
    """
    less = threshold - _STEP_DOWN * max(rate - threshold, 0.0)
    return max(less, _LEAST_PASSES * threshold, usual, answered, 10.0)


def _of_each(judge: Judge, least: float) -> Rate:
    """The limit of each source: all heavy sources together stay at the threshold or usual rate."""
    case = judge.case
    most = case.threshold * (OF_TUNNELS if case.kind in TUNNELS else 1.0)
    pps = max(
        least, _A_SOURCE * case.threshold, max(most, case.usual) / (judge.from_where.heavy or _MANY)
    )
    return Rate(pps=pps, per_ipv4=32, per_ipv6=64)


def _share(chosen: NDArray[np.bool_], window: PacketArray) -> float:
    weights = window["weight"].astype(np.float64)
    return float(weights[chosen].sum() / weights.sum())
