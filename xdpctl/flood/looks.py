# SPDX-License-Identifier: GPL-2.0-or-later
"""Finds strata above their thresholds, and begins mitigations. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from xdpctl.abi.constants import Reason, Traffic
from xdpctl.flood.afresh import Afresh
from xdpctl.flood.aims import Aims, narrowest
from xdpctl.flood.counts import WINDOW_SECONDS, Chunk, strata
from xdpctl.flood.judge import Proposal
from xdpctl.flood.mitigation import Report, State
from xdpctl.flood.rates import BESIDE
from xdpctl.flood.seen import ENOUGH, LOOK_SECONDS, Seen
from xdpctl.flood.settings import Most
from xdpctl.flood.sources import sources
from xdpctl.flood.usual import Key
from xdpctl.flood.verdict import again, limit_on_all, proposals, whole_limit
from xdpctl.model.effect import Action
from xdpctl.model.event import Phase
from xdpctl.model.expectation import raised
from xdpctl.traffic.counted import completed
from xdpctl.traffic.packets import PacketArray
from xdpctl.traffic.select import covers

_LEAST = 24  # heads needed to examine a stratum after `_SUSPECT_SECONDS`
_SUSPECT_SECONDS = 0.3
_AGAIN_SECONDS = 0.15  # between two examinations of a stratum
_QUIET_SECONDS = 2.0  # time below the threshold after which a stratum is quiet again
_LOUD_SECONDS = 5.0  # time after a loud moment in which its kind is not learnt
_SPREAD = 2.0  # times the floor: from then on a kind is examined over all destinations
_TOGETHER = 8  # loud strata of a kind: from so many on they are examined together
_JUMP, _ONCE = 4.0, 0.9  # times the threshold, and the share of sources that are seen once
_BESIDE_SECONDS = 0.5  # between two examinations of a stratum beside an attack
_COMPLETE = 0.5  # share of the SYNs whose handshakes are completed


@dataclass(slots=True)
class _Suspect:
    """A stratum that has reached its threshold."""

    since: float
    loud_at: float
    rate: float = 0.0
    looked_at: float = -1.0
    copes: bool = False  # its services answer, so its rate may be learnt


class Looks:
    """Examines the packets in `seen`."""

    def __init__(self, seen: Seen) -> None:
        self._seen, self._mitigations, self._rates = seen, seen.mitigations, seen.rates
        self._suspects: dict[Key, _Suspect] = {}
        self._aims = Aims()
        self._expected: set[Key] = set()  # strata above their learnt rate, as operators expect
        self._beside: dict[Key, float] = {}  # strata below their threshold, at victims under attack
        self._beside_at: dict[Key, float] = {}  # when each stratum in `_beside` was examined
        self._afresh = Afresh(seen, self._begin)

    def not_normal(self, now: float) -> set[Traffic]:
        """The kinds that are loud, above what was learnt, or part of an attack."""
        loud = {
            kind for (_, kind), suspect in self._suspects.items()
            if suspect.loud_at > now - _LOUD_SECONDS and not suspect.copes
        }  # fmt: skip
        loud |= {m.of_kind for m in self._mitigations.active if m.state is State.ATTACK}
        return loud | {kind for _, kind in self._expected}

    def coping(self) -> set[Traffic]:
        """The kinds that are loud, and that services answer."""
        return {kind for (_, kind), suspect in self._suspects.items() if suspect.copes}

    def step(self, now: float, unix: float) -> Iterator[Report]:
        """Examine all loud strata; yield the reports."""
        window = self._seen.recent.last(WINDOW_SECONDS)
        window = window.of(window.packets["reason"] == Reason.NO_RULE)
        loud = self._loud(window)
        for kind in Traffic:
            of_kind = {key: rate for key, rate in loud.items() if key[1] is kind}
            yield from self._look_at(now, unix, kind, of_kind, window)
        for key, suspect in list(self._suspects.items()):
            if suspect.loud_at < now - _QUIET_SECONDS:
                del self._suspects[key]
        yield from self._look_beside(now, unix)
        yield from self._afresh.step(now, unix)

    def _loud(self, window: Chunk) -> dict[Key, float]:
        """The strata that have reached their thresholds, with their rates."""
        recent = strata(window.packets, window.seconds)
        least = np.array(
            [self._seen.settings.least_floor(kind, self._seen.taught) for kind in Traffic]
        )
        loud: dict[Key, float] = {}
        self._expected, self._beside = set(), {}
        attacked = [m.prefix for m in self._mitigations.active if m.state is State.ATTACK]
        least *= BESIDE if attacked else 1.0
        for place in np.flatnonzero(recent.rates >= least[recent.kinds]).tolist():
            key, rate = recent.key(place), float(recent.rates[place])
            learnt = self._rates.threshold(key, self._seen.taught)
            expected = raised(self._seen.raises, *key, learnt)
            if rate >= expected:
                loud[key] = rate
            elif rate >= learnt:
                self._expected.add(key)
            elif expected > learnt or rate < self._rates.beside(key, self._seen.taught):
                continue
            elif any(prefix.covers(key[0]) for prefix in attacked):
                self._beside[key] = rate
        return loud

    def _look_beside(self, now: float, unix: float) -> Iterator[Report]:
        """Drop proven attacks below their threshold, beside an attack on the same victim."""
        self._beside_at = {key: at for key, at in self._beside_at.items() if key in self._beside}
        for key, rate in self._beside.items():
            if now < self._beside_at.get(key, -1.0) + _BESIDE_SECONDS:
                continue
            window = self._seen.window(key, Reason.NO_RULE)
            left = self._mitigations.not_taken(now, window, key[1])
            weights = window["weight"].astype(np.float64)
            rest = rate * float(weights[left].sum() / max(weights.sum(), 1.0))
            least, most = self._rates.beside(key, self._seen.taught), self._seen.settings.most(*key)
            if left.sum() < ENOUGH or rest < least or most is not Most.DROP:
                continue
            self._beside_at[key] = now
            case = replace(self._seen.case(key, window[left], rest), threshold=least)
            for proposal in proposals(case, most):
                if proposal.action is Action.DROP:
                    yield from self._begin(now, unix, key, proposal, most) or ()

    def _look_at(
        self, now: float, unix: float, kind: Traffic, loud: Mapping[Key, float], window: Chunk
    ) -> Iterator[Report]:
        """Examine the strata of one kind, one by one; many strata in a prefix together."""
        chosen = window.packets[window.kinds == kind]
        for expected, of in self._expected:
            if of is kind:
                there = covers(expected, chosen["family"], chosen["destination"])
                chosen = chosen[~there]
        least = _SPREAD * self._seen.settings.least_floor(kind, self._seen.taught)
        if not loud and float(chosen["weight"].sum()) / window.seconds < least:
            return
        for around in self._rates.outermost:
            inside = {key: rate for key, rate in loud.items() if around.covers(key[0])}
            packets = chosen[covers(around, chosen["family"], chosen["destination"])]
            rate = float(packets["weight"].sum()) / window.seconds
            spread = rate >= _SPREAD * self._seen.settings.floor(around, kind, self._seen.taught)
            if not inside or len(inside) >= _TOGETHER:
                prefix = narrowest(packets, around) if spread else None
                least = max(
                    _SPREAD * self._rates.floor((around, kind), self._seen.taught),
                    self._seen.threshold((around, kind)),
                )
                if prefix is not None and rate >= least:
                    yield from self._suspected(now, unix, (prefix, kind), rate)
                    continue
            largest = sorted(inside, key=lambda key: -inside[key])[:_TOGETHER]
            for key in largest:
                aim = self._aims.aim(now, key[0], kind, self._rates.ours)
                yield from self._suspected(now, unix, (aim, kind), inside[key])

    def _suspected(self, now: float, unix: float, key: Key, rate: float) -> Iterator[Report]:
        suspect = self._suspects.get(key)
        if suspect is None:
            suspect = self._suspects[key] = _Suspect(now, now)
        suspect.loud_at, suspect.rate = now, rate
        if now < suspect.looked_at + _AGAIN_SECONDS:
            return
        window = self._seen.window(key, Reason.NO_RULE)
        connecting = self._seen.taught and key[1] in (Traffic.SYN, Traffic.TCP)
        if connecting and self._opening(now, key, suspect, window):
            return
        if len(window) < (_LEAST if now >= suspect.since + _SUSPECT_SECONDS else ENOUGH):
            return
        left = self._mitigations.not_taken(now, window, key[1])
        weights = window["weight"].astype(np.float64)
        rest = rate * float(weights[left].sum() / weights.sum())
        if rest < self._seen.threshold(key) or left.sum() < _LEAST:
            return
        suspect.looked_at = now
        yield from self._answer(now, unix, key, window[left], rest)

    def _opening(self, now: float, key: Key, suspect: _Suspect, window: PacketArray) -> bool:
        """Whether SYNs, or what follows them, may be people who connect.

        People complete handshakes: their ACK repeats a number from the inside's answer, which a
        forger does not see. A jump far above the threshold, from many sources at once, counts as
        an attack at once.
        """
        if now < suspect.since + _SUSPECT_SECONDS:
            high = suspect.rate >= _JUMP * self._seen.threshold(key)
            return not (high and sources(window).once >= _ONCE)
        if key[1] is not Traffic.SYN:
            return False
        look = self._seen.shaken.last(LOOK_SECONDS)
        shaken = look.packets[covers(key[0], look.packets["family"], look.packets["destination"])]
        packets = float(window["weight"].sum(dtype=np.float64))
        return completed(shaken, look.seconds) >= _COMPLETE * packets

    def _answer(
        self, now: float, unix: float, key: Key, window: PacketArray, rate: float
    ) -> Iterator[Report]:
        victim, kind = key
        most = self._seen.settings.most(victim, kind)
        if most is Most.OFF:
            return
        seen = self._seen.recent.last(WINDOW_SECONDS)
        case = self._seen.case(key, window, rate, self._seen.coping.copes(now, key, window, seen))
        earlier = self._mitigations.earlier.drops(victim, kind, unix)
        proposed = again(case, earlier, most) or proposals(case, most)
        held = rate * self._mitigations.unlimited(window, key, case.threshold) < case.threshold
        if held:
            # what a limit lets pass may be dropped, but people whom it does not hit would have to
            # share a second limit with that
            proposed = [proposal for proposal in proposed if proposal.action is Action.DROP]
        if suspect := self._suspects.get(key):
            suspect.copes = case.copes and not proposed
        reports, full = list[Report](), False
        for proposal in proposed:
            begun = self._begin(now, unix, key, proposal, most)
            full |= begun is None
            reports += begun or []
        # none of the proposals can begin: a limit on all of the kind may
        if proposed and not reports and not held:
            begun = self._begin(now, unix, key, whole_limit(case), most)
            full |= begun is None
            reports += begun or []
        if full and not reports:
            usual = sum(self._seen.usual.best((victim, of_kind)) for of_kind in Traffic)
            reports += (
                self._begin(now, unix, key, limit_on_all(case, usual), most, force=True) or []
            )
        yield from reports

    def _begin(
        self,
        now: float,
        unix: float,
        key: Key,
        proposal: Proposal,
        most: Most,
        force: bool = False,
    ) -> list[Report] | None:
        """Begin a mitigation; return its reports, or None if there is no place for it."""
        watched = most is Most.OBSERVE
        reports = self._mitigations.begin(now, unix, key[0], proposal, watched, force)
        for report in reports or ():
            if report.phase is Phase.BEGAN:
                self._aims.held(now, key[0], key[1])
                self._afresh.began(now, report.mitigation.id)
                self._seen.usual.forget({key})
        return reports
