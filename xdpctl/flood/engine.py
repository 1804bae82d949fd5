# SPDX-License-Identifier: GPL-2.0-or-later
"""The detector: packets and times in, reports out.

A stratum (a kind of packets to a destination) that reaches its threshold is looked at; what is done
about it are its mitigations (`mitigations.py`). What their rules take is left out of the next look,
so a new vector is met as a new attack. Pure: it reads no clock.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from xdpctl.abi.constants import FlowState, Reason, Traffic
from xdpctl.base.net.prefix import Prefix
from xdpctl.flood.aims import Aims, narrowest
from xdpctl.flood.ceilings import Ceilings
from xdpctl.flood.coping import AnswersOf, Coping
from xdpctl.flood.counts import (
    WINDOW_SECONDS,
    Chunk,
    Recent,
    strata,
)
from xdpctl.flood.evidence import Case
from xdpctl.flood.memory import NormalTraffic
from xdpctl.flood.mitigation import Mitigation, State
from xdpctl.flood.mitigations import Mitigations, Report
from xdpctl.flood.rates import BESIDE, Rates
from xdpctl.flood.settings import DetectSettings, Most
from xdpctl.flood.sources import sources
from xdpctl.flood.taking_part import TakingPart
from xdpctl.flood.usual import Key, Usual
from xdpctl.flood.verdict import (
    Proposal,
    again,
    limit_on_all,
    passes,
    proposals,
    whole_limit,
)
from xdpctl.model.effect import Action
from xdpctl.model.event import Phase
from xdpctl.model.expectation import Expectation, Raises, raised, raises
from xdpctl.traffic.counted import completed
from xdpctl.traffic.packets import PacketArray
from xdpctl.traffic.select import covers

_ENOUGH, _LEAST = 96, 24  # heads for a look; after a while fewer do
_SUSPECT_SECONDS = 0.3
_AGAIN_SECONDS = 0.15  # between two looks at a stratum
_LOOK_SECONDS = 0.4  # of packets that are looked at
_QUIET_SECONDS = 2.0  # below the threshold, after which a stratum is quiet again
_SECOND = 1.0
_SPREAD = 2.0  # times the floor: then a kind is looked at over all destinations
_TOGETHER = 8  # strata of a kind that reach their thresholds at once: they are looked at as one
_JUMP, _ONCE = 4.0, 0.9  # times the threshold; of the sources
_BESIDE_SECONDS = 0.5  # between two looks at what is beside an attack
_COMPLETE = 0.5  # of the handshakes
_NOT_DROPPED = (Reason.NO_RULE, Reason.LIMITED, Reason.CHALLENGED)
# after a limit began, what it meets is looked at again: at these times, and then each 30 s
_AFRESH_SECONDS = (0.15, 1.0, 5.0, 30.0)


@dataclass(slots=True)
class _Suspect:
    """A stratum that has reached its threshold."""

    since: float
    loud_at: float
    rate: float = 0.0
    looked_at: float = -1.0
    copes: bool = False  # its services answer: so it may be learnt


class Engine:
    """Call `step` with what was observed since the last call, some twenty times a second at least.

    `ours` are the prefixes whose addresses are protected. `usual`, `normal` and `ceilings`
    are what was learnt, `answers` says how often a UDP service has answered so far. `expectations`
    are those of operators.
    """

    def __init__(
        self,
        settings: DetectSettings,
        ours: Iterable[Prefix],
        usual: Usual,
        normal: NormalTraffic,
        ceilings: Usual | None = None,
        answers: AnswersOf | None = None,
    ) -> None:
        self.settings = settings
        self.usual, self.normal = usual, normal
        self._rates = Rates(settings, usual, tuple(ours))
        self.expectations: tuple[Expectation, ...] = ()
        self.mitigations = Mitigations()
        self._coping = Coping(answers)
        self.ceilings = Ceilings(ceilings or Usual(usual.since))
        self._recent, self._shaken = Recent(), Recent()
        self._suspects: dict[Key, _Suspect] = {}
        self._aims = Aims()
        self._last: float | None = None
        self._raises: Raises = ()
        self._raised_at = -_SECOND
        self._expected: set[Key] = set()  # strata above what was learnt, and expected
        self._beside: dict[Key, float] = {}  # those below, at victims that are attacked
        self._beside_at: dict[Key, float] = {}  # when each of them was looked at
        self._part = TakingPart()
        self._afresh: dict[str, tuple[float, int]] = {}  # when it began, and looks since

    @property
    def ours(self) -> tuple[Prefix, ...]:
        """The prefixes whose addresses are protected."""
        return self._rates.ours

    @ours.setter
    def ours(self, ours: Iterable[Prefix]) -> None:
        self._rates.ours = tuple(ours)

    def step(
        self, now: float, unix: float, packets: PacketArray, seconds: float | None = None
    ) -> list[Report]:
        """Take what was observed up to the monotonic time `now`; return what is to be reported.

        `seconds` is for how long these packets were observed, None since the last step.
        """
        if seconds is None:
            seconds = now - self._last if self._last is not None else WINDOW_SECONDS
        self._last = now
        if now >= self._raised_at + _SECOND:
            self._raised_at = now
            self._raises = self.mitigations.expected = raises(self.expectations, unix)
        chunk = self._ours(now, seconds, packets)
        self.usual.observed += min(seconds, _SECOND)
        known = chunk.packets["flow"] == FlowState.KNOWN
        self._part.note(now, chunk.of(known))
        unknown = chunk.of(~known)
        self._recent.add(unknown)
        self._shaken.add(chunk.of(chunk.packets["shaken"] != 0))
        undecided = unknown.of(unknown.packets["reason"] == Reason.NO_RULE)
        self._learn(now, unix, chunk, undecided)
        reports = list(self.mitigations.step(now, chunk))
        if self.settings.mode is not Most.OFF:
            reports += self._look(now, unix)
            reports += self._look_at_known(now, unix, chunk.of(known))
        return reports

    def _look_at_known(self, now: float, unix: float, known: Chunk) -> Iterator[Report]:
        """Limit sources that send far more in known flows than any source is used to."""
        for victim, proposal in self.ceilings.step(unix, known, self._fresh, self._raises):
            most = self.settings.most(victim, Traffic[proposal.finding.kind.upper()])
            if most is not Most.OFF:
                watched = most is Most.OBSERVE
                yield from self.mitigations.begin(now, unix, victim, proposal, watched) or ()

    @property
    def _fresh(self) -> bool:
        """Whether too little was observed to know what is normal."""
        return self.usual.observed < self.settings.learning

    def _ours(self, now: float, seconds: float, packets: PacketArray) -> Chunk:
        """The packets to destinations that are protected."""
        chosen = np.zeros(len(packets), bool)
        for prefix in self.ours:
            chosen |= covers(prefix, packets["family"], packets["destination"])
        packets = packets[chosen]
        return Chunk(now, seconds, packets)

    def _learn(self, now: float, unix: float, chunk: Chunk, undecided: Chunk) -> None:
        """Learn what is normal: nothing of kinds that are loud, held or above what was learnt."""
        loud = {
            kind for (_, kind), each in self._suspects.items()
            if each.loud_at > now - 5.0 and not each.copes
        }  # fmt: skip
        loud |= {
            mitigation.of_kind
            for mitigation in self.mitigations.active
            if mitigation.state is State.ATTACK
        }
        loud |= {kind for _, kind in self._expected}
        copes = {kind for (_, kind), each in self._suspects.items() if each.copes} - loud
        passed = chunk.packets["reason"] == Reason.NO_RULE
        passed &= self.mitigations.not_probed(chunk.packets)
        self.normal.add(chunk.of(passed), frozenset(loud), frozenset(copes))
        self._rates.note(unix, undecided, loud, self.taught)

    def threshold(self, key: Key) -> float:
        """The packets a second from which on a stratum is looked at: more if more is expected."""
        return raised(self._raises, *key, self._rates.threshold(key, self.taught))

    # what is not

    def _look(self, now: float, unix: float) -> Iterator[Report]:
        window = self._recent.last(WINDOW_SECONDS)
        window = window.of(window.packets["reason"] == Reason.NO_RULE)
        loud = self._loud(window)
        for kind in Traffic:
            of_kind = {key: rate for key, rate in loud.items() if key[1] is kind}
            yield from self._look_at(now, unix, kind, of_kind, window)
        for key, suspect in list(self._suspects.items()):
            if suspect.loud_at < now - _QUIET_SECONDS:
                del self._suspects[key]
        yield from self._look_beside(now, unix)
        yield from self._look_afresh(now, unix)

    def _loud(self, window: Chunk) -> dict[Key, float]:
        """The strata that have reached their thresholds, with their rates."""
        found = strata(window.packets, window.seconds)
        least = np.array([self.settings.least_floor(kind, self.taught) for kind in Traffic])
        loud: dict[Key, float] = {}
        self._expected, self._beside = set(), {}
        attacked = [each.prefix for each in self.mitigations.active if each.state is State.ATTACK]
        least *= BESIDE if attacked else 1.0
        for place in np.flatnonzero(found.rates >= least[found.kinds]).tolist():
            key, rate = found.key(place), float(found.rates[place])
            learnt = self._rates.threshold(key, self.taught)
            expected = raised(self._raises, *key, learnt)
            if rate >= expected:
                loud[key] = rate
            elif rate >= learnt:
                self._expected.add(key)
            elif expected > learnt or rate < self._rates.beside(key, self.taught):
                continue
            elif any(each.covers(key[0]) for each in attacked):
                self._beside[key] = rate
        return loud

    def _look_beside(self, now: float, unix: float) -> Iterator[Report]:
        """Beside an attack, drop what is below its threshold and shows that it is one, too."""
        self._beside_at = {key: at for key, at in self._beside_at.items() if key in self._beside}
        for key, rate in self._beside.items():
            if now < self._beside_at.get(key, -1.0) + _BESIDE_SECONDS:
                continue
            window = self._window(key, Reason.NO_RULE)
            left = self.mitigations.not_taken(now, window, key[1])
            weights = window["weight"].astype(np.float64)
            rest = rate * float(weights[left].sum() / max(weights.sum(), 1.0))
            least, most = self._rates.beside(key, self.taught), self.settings.most(*key)
            if left.sum() < _ENOUGH or rest < least or most is not Most.DROP:
                continue
            self._beside_at[key] = now
            case = replace(self._case(key, window[left], rest), threshold=least)
            for one in proposals(case, most):
                if one.action is Action.DROP:
                    yield from self._mitigation(now, unix, key, one, most) or ()

    def _look_at(
        self, now: float, unix: float, kind: Traffic, loud: Mapping[Key, float], window: Chunk
    ) -> Iterator[Report]:
        """Look at the strata of one kind: one by one, or at many within a prefix as one."""
        chosen = window.packets[window.kinds == kind]
        for expected, of in self._expected:
            if of is kind:
                there = covers(expected, chosen["family"], chosen["destination"])
                chosen = chosen[~there]
        least = _SPREAD * self.settings.least_floor(kind, self.taught)
        if not loud and float(chosen["weight"].sum()) / window.seconds < least:
            return
        for around in self._rates.outermost:
            inside = {key: rate for key, rate in loud.items() if around.covers(key[0])}
            ours = chosen[covers(around, chosen["family"], chosen["destination"])]
            rate = float(ours["weight"].sum()) / window.seconds
            spread = rate >= _SPREAD * self.settings.floor(around, kind, self.taught)
            if not inside or len(inside) >= _TOGETHER:
                prefix = narrowest(ours, around) if spread else None
                least = max(
                    _SPREAD * self._rates.floor((around, kind), self.taught),
                    self.threshold((around, kind)),
                )
                if prefix is not None and rate >= least:
                    yield from self._suspected(now, unix, (prefix, kind), rate)
                    continue
            largest = sorted(inside, key=lambda key: -inside[key])[:_TOGETHER]
            for key in largest:
                aim = self._aims.aim(now, key[0], kind, self.ours)
                yield from self._suspected(now, unix, (aim, kind), inside[key])

    def _suspected(self, now: float, unix: float, key: Key, rate: float) -> Iterator[Report]:
        suspect = self._suspects.get(key)
        if suspect is None:
            suspect = self._suspects[key] = _Suspect(now, now)
        suspect.loud_at, suspect.rate = now, rate
        if now < suspect.looked_at + _AGAIN_SECONDS:
            return
        window = self._window(key, Reason.NO_RULE)
        connecting = self.taught and key[1] in (Traffic.SYN, Traffic.TCP)
        if connecting and self._opening(now, key, suspect, window):
            return
        if len(window) < (_LEAST if now >= suspect.since + _SUSPECT_SECONDS else _ENOUGH):
            return
        left = self.mitigations.not_taken(now, window, key[1])
        weights = window["weight"].astype(np.float64)
        rest = rate * float(weights[left].sum() / weights.sum())
        if rest < self.threshold(key) or left.sum() < _LEAST:
            return
        suspect.looked_at = now
        yield from self._answer(now, unix, key, window[left], rest)

    def _opening(self, now: float, key: Key, suspect: _Suspect, window: PacketArray) -> bool:
        """Whether SYNs, or what follows them, may be people who connect.

        Their handshakes are completed by an ACK of what the inside answered, which nobody can
        forge who has not seen it. A jump to much more than the threshold, from many sources at
        once, is an attack without waiting for that.
        """
        if now < suspect.since + _SUSPECT_SECONDS:
            high = suspect.rate >= _JUMP * self.threshold(key)
            return not (high and sources(window).once >= _ONCE)
        if key[1] is not Traffic.SYN:
            return False
        look = self._shaken.last(_LOOK_SECONDS)
        shaken = look.packets[covers(key[0], look.packets["family"], look.packets["destination"])]
        seen = float(window["weight"].sum(dtype=np.float64))
        return completed(shaken, look.seconds) >= _COMPLETE * seen

    def _rate(self, key: Key, *reasons: Reason) -> float:
        """Packets a second of a stratum just now, whatever was done with them."""
        packets = self._window(key, *reasons, seconds=WINDOW_SECONDS)
        return float(packets["weight"].sum()) / self._recent.last(WINDOW_SECONDS).seconds

    def _window(self, key: Key, *reasons: Reason, seconds: float = _LOOK_SECONDS) -> PacketArray:
        victim, kind = key
        recent = self._recent.last(seconds)
        chosen = recent.kinds == kind
        chosen &= covers(victim, recent.packets["family"], recent.packets["destination"])
        chosen &= np.isin(recent.packets["reason"], reasons)
        found: PacketArray = recent.packets[chosen]
        return found

    def _answer(
        self, now: float, unix: float, key: Key, window: PacketArray, rate: float
    ) -> Iterator[Report]:
        victim, kind = key
        most = self.settings.most(victim, kind)
        if most is Most.OFF:
            return
        seen = self._recent.last(WINDOW_SECONDS)
        case = self._case(key, window, rate, self._coping.copes(now, key, window, seen))
        earlier = self.mitigations.remembered(victim, kind, unix)
        found = again(case, earlier, most) or proposals(case, most)
        if suspect := self._suspects.get(key):
            suspect.copes = case.copes and not found
        reports, full = list[Report](), False
        for one in found:
            begun = self._mitigation(now, unix, key, one, most)
            full |= begun is None
            reports += begun or []
        if found and not reports:  # what is asked for was refused: less may be possible
            begun = self._mitigation(now, unix, key, whole_limit(case), most)
            full |= begun is None
            reports += begun or []
        if full and not reports:
            usual = sum(self.usual.best((victim, each)) for each in Traffic)
            reports += (
                self._mitigation(now, unix, key, limit_on_all(case, usual), most, force=True) or []
            )
        yield from reports

    def _case(self, key: Key, window: PacketArray, rate: float, copes: bool = False) -> Case:
        observed = self.usual.observed
        everything = self._window(key, *Reason)
        weights = everything["weight"].astype(np.float64)
        forged = everything["reason"] == Reason.SPOOFED
        return Case(
            victim=key[0],
            kind=key[1],
            window=window,
            normal=self.normal.of_family(key[0].family),
            rate=rate,
            threshold=self.threshold(key),
            usual=self.usual.best(key),
            learnt=observed,
            fresh=self._fresh,
            forged=float(weights[forged].sum() / weights.sum()) if len(weights) else 0.0,
            taught=self.taught,
            accepts=self._part.accepts(self._last or 0.0, key[0]),
            challenged=self.mitigations.challenges(*key),
            copes=copes,
            answered=self._coping.answered(self._last or 0.0, key),
        )

    def _mitigation(
        self,
        now: float,
        unix: float,
        key: Key,
        proposal: Proposal,
        most: Most,
        force: bool = False,
    ) -> list[Report] | None:
        """Begin a mitigation; what is to be reported, None if there is no place for it."""
        watched = most is Most.OBSERVE
        reports = self.mitigations.begin(now, unix, key[0], proposal, watched, force)
        for report in reports or ():
            if report.phase is Phase.BEGAN:
                self._aims.held(now, key[0], key[1])
                self._afresh.setdefault(report.mitigation.id, (now, 0))
                self.usual.forget({key})
        return reports

    def _look_afresh(self, now: float, unix: float) -> Iterator[Report]:
        """Look again at what a limit was set for: its rate is known, and a drop may be proved."""
        for each in self.mitigations.active:
            lets_pass = not (
                each.drops or each.watched or each.known or each.state is State.PROBING
            )
            # another one may have taken its place meanwhile
            if not lets_pass or not self.mitigations.stands(each) or not self._due(now, each.id):
                continue
            key = each.prefix, each.of_kind
            rate = self._rate(key, *_NOT_DROPPED)
            yield from self._drop_instead(now, unix, each, rate)
            if self.mitigations.stands(each):
                answered = self._coping.answered(now, key)
                most = passes(self.threshold(key), rate, self.usual.best(key), answered)
                yield from self.mitigations.limit_to(now, each, most)
        self._afresh = {k: v for k, v in self._afresh.items() if self.mitigations.has(k)}

    def _drop_instead(
        self, now: float, unix: float, softer: Mitigation, rate: float
    ) -> Iterator[Report]:
        """Drops in the place of a limit or challenge, or of a part of it."""
        key = softer.prefix, softer.of_kind
        window = self._window(key, *_NOT_DROPPED)
        window = window[self.mitigations.not_dropped(window, key[1])]
        enough = len(window) >= _ENOUGH and rate >= self.threshold(key)
        if not enough or self.settings.most(*key) is not Most.DROP:
            return
        found = proposals(self._case(key, window, rate), Most.DROP)
        drops = [each for each in found if each.action is Action.DROP]
        begun = [r for one in drops for r in self._mitigation(now, unix, key, one, Most.DROP) or ()]
        yield from begun
        all_of_it = len(drops) == len(found)
        if begun and all_of_it and self.mitigations.stands(softer):
            yield self.mitigations.end(softer)

    def _due(self, now: float, identity: str) -> bool:
        """Whether a mitigation is to be looked at again."""
        began, done = self._afresh.setdefault(identity, (now, 0))
        further = done - len(_AFRESH_SECONDS) + 1
        after = _AFRESH_SECONDS[done] if further <= 0 else _AFRESH_SECONDS[-1] * (1 + further)
        if now - began < after:
            return False
        self._afresh[identity] = began, done + 1
        return True

    @property
    def taught(self) -> bool:
        """Whether packets of known flows were seen: else every flow is unknown."""
        return self._part.taught
