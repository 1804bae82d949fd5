# SPDX-License-Identifier: GPL-2.0-or-later
"""The answers that stand: their hits, and when they end. Pure."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from msgspec import structs
from numpy.typing import NDArray

from xdpctl.abi.constants import FlowState, Reason, Traffic
from xdpctl.base.net.prefix import Prefix
from xdpctl.flood.counts import Chunk
from xdpctl.flood.hold import QUIET_MOST, Hold, State
from xdpctl.flood.settings import Most
from xdpctl.flood.verdict import Proposal
from xdpctl.model.effect import Action
from xdpctl.model.event import Phase
from xdpctl.model.expectation import Raises, raised
from xdpctl.model.match.match import Match
from xdpctl.model.rate import Rate
from xdpctl.traffic.counted import completed
from xdpctl.traffic.packets import PacketArray, joined
from xdpctl.traffic.select import covers, takes

TTL_SECONDS = 300.0  # of the rules, which are asked for again while they are needed
_RENEW_SECONDS, _RETRY_SECONDS = 60.0, 5.0
_HITS_SECONDS = 0.25
_HIT = 100.0  # packets a second: fewer do not keep a rule
PROBE_SECONDS = 75.0  # longer than the pauses of most pulses
_HEADS_LEAST = 4  # that a flood has which comes back: one may stand for many packets
_BACK, _STILL = 0.25, 0.5  # of the threshold: the attack comes back, or goes on
_PACKETS_OF_A_HANDSHAKE = 2.0  # SYNs: one is challenged, and one is let in
_REMEMBERED_SECONDS, _REMEMBERED_MAX = 86_400.0, 500
_ANSWERED_SECONDS = 1.0  # after which what came before a challenge is not looked at any more
TAKEN_BACK = "an operator has removed its rule"  # as the hook says
_OTHER = 0.2  # of a limit, by which another one differs from it
_HOLDS_MAX, _OF_VICTIM_MAX, _OF_STRATUM_MAX = 96, 16, 8


@dataclass(frozen=True, slots=True)
class Report:
    """What the control plane is told of an answer; `watch`: its rule is to be in monitor mode."""

    phase: Phase
    hold: Hold
    watch: bool = False


class Holds:
    """All answers. `step` says what is to be reported; tell it with `answered` what came of it."""

    def __init__(self) -> None:
        self._holds: dict[str, Hold] = {}
        self._matches: dict[str, Match] = {}
        self._earlier: dict[tuple[str, str, str], Hold] = {}
        self._gathered: list[PacketArray] = []
        self._seconds = 0.0
        self._number = 0
        self._ending: list[Report] = []
        self._since: dict[str, float] = {}
        self.expected: Raises = ()

    @property
    def active(self) -> list[Hold]:
        """The answers that stand."""
        return list(self._holds.values())

    @property
    def earlier(self) -> list[Hold]:
        """Those that ended within a day."""
        return list(self._earlier.values())

    def stands(self, hold: Hold) -> bool:
        """Whether it is this answer that stands."""
        return self._holds.get(hold.id) is hold

    def has(self, identity: str) -> bool:
        """Whether an answer stands."""
        return identity in self._holds

    def take_over(
        self,
        now: float,
        holds: Iterable[Hold],
        earlier: Iterable[Hold],
        most: Callable[[Prefix, Traffic], Most],
    ) -> None:
        """Go on with the answers of an earlier process, as far as the settings still allow them."""
        for hold in holds:
            allowed = most(hold.prefix, hold.of_kind)
            if allowed is Most.OFF or (allowed is Most.LIMIT and hold.drops):
                self._ending.append(Report(Phase.ENDED, hold))
                continue
            watched = allowed is Most.OBSERVE
            self._since[hold.id] = now
            self._put(structs.replace(
                hold, state=State.ATTACK, hit_at=now, told_at=-1e9, watched=watched
            ))  # fmt: skip
        for hold in earlier:
            self._remember(hold)

    def _put(self, hold: Hold) -> None:
        self._holds[hold.id] = hold
        self._matches[hold.id] = hold.parsed()

    def begin(
        self,
        now: float,
        unix: float,
        victim: Prefix,
        proposal: Proposal,
        watched: bool,
        force: bool = False,
    ) -> list[Report] | None:
        """Begin an answer; nothing if the same stands already, None if louder ones have all places.

        Where there is no place, the quietest answer ends: to the same victim, or else of all. With
        `force` it ends although it is louder.
        """
        hold = Hold.of(f"{victim} {proposal.finding.kind} {unix:.3f}", victim, proposal, unix)
        self._number += 1
        hold.id = f"{hold.id}.{self._number}"
        same = [each for each in self._holds.values() if each.match == hold.match]
        if any(each.action == hold.action or each.drops for each in same):
            return []
        ended = [] if same else self._make_room(hold, force)
        if ended is None:
            return None
        for each in same:  # its rule is changed, and its event goes on
            hold.id = each.id
        before = self._earlier.get(_name(hold))
        if before is not None and not hold.blind:
            hold.quiet = min(2 * before.quiet, QUIET_MOST)
        hold.watched = watched
        hold.hit_at = hold.told_at = self._since[hold.id] = now
        self._put(hold)
        return [*ended, Report(Phase.BEGAN, hold, watched)]

    def _make_room(self, hold: Hold, force: bool) -> list[Report] | None:
        """What ends, so that an answer has a place; None if all others are louder."""
        of_victim = [each for each in self._holds.values() if each.victim == hold.victim]
        alike = [each for each in of_victim if each.kind == hold.kind]
        if len(alike) >= _OF_STRATUM_MAX:
            rivals = alike
        elif len(of_victim) >= _OF_VICTIM_MAX:
            rivals = of_victim
        elif len(self._holds) >= _HOLDS_MAX:
            rivals = list(self._holds.values())
        else:
            return []
        quietest = min(rivals, key=lambda each: (each.state is State.ATTACK, each.rate))
        loud = quietest.state is State.ATTACK and quietest.rate >= hold.finding.rate
        if loud and not force:
            return None
        return [self.end(quietest)]

    def answered(self, identity: str, why: str, limit: Rate | None = None) -> None:
        """What came of a report: `why` it had no effect, or nothing. It is reported again then.

        `limit` stands in the place of its drop.
        """
        hold = self._holds.get(identity)
        if hold is None:
            return
        hold.refused = why
        hold.accepted |= not why
        if limit:
            hold.action, hold.limit = Action.LIMIT.value, limit

    def limit_to(self, now: float, hold: Hold, pps: float) -> Iterator[Report]:
        """Let another rate pass a limit on a kind, if it differs by much; what is to be reported.

        A limit for each source, one on all kinds and one that people have brought stay.
        """
        if not hold.adapts or hold.limit is None:
            return
        if abs(pps - hold.limit.pps) >= _OTHER * hold.limit.pps:
            hold.limit, hold.told_at = Rate(pps=pps), now
            yield Report(Phase.CONTINUES, hold)

    def challenges(self, victim: Prefix, kind: Traffic) -> bool:
        """Whether these packets are challenged."""
        return any(
            hold.action == Action.CHALLENGE and (hold.prefix, hold.of_kind) == (victim, kind)
            for hold in self._holds.values()
        )

    def not_taken(self, now: float, packets: PacketArray, kind: Traffic) -> NDArray[np.bool_]:
        """Which undecided packets no answer takes.

        One that was refused takes none, unless by an operator. What passes a challenge or a limit
        after a moment is taken by nothing yet: its sources have answered, or are many.
        """
        passing = {
            hold.id for hold in self._holds.values()
            if not hold.drops and now > self._since[hold.id] + _ANSWERED_SECONDS
        }  # fmt: skip
        return self._left(packets, kind, without=passing)

    def not_dropped(self, packets: PacketArray, kind: Traffic) -> NDArray[np.bool_]:
        """Which packets no standing drop takes."""
        others = {hold.id for hold in self._holds.values() if not hold.drops}
        return self._left(packets, kind, without=others)

    def not_probed(self, packets: PacketArray) -> NDArray[np.bool_]:
        """Which packets no drop in monitor mode would take: of those nobody knows what they are."""
        left = np.ones(len(packets), bool)
        for hold in self._holds.values():
            if hold.drops and hold.state is State.PROBING:
                left &= ~takes(self._matches[hold.id], packets)
        return left

    def _left(self, packets: PacketArray, kind: Traffic, without: set[str]) -> NDArray[np.bool_]:
        left = np.ones(len(packets), bool)
        for hold in self._holds.values():
            in_force = not hold.refused or hold.refused == TAKEN_BACK
            if hold.of_kind is kind and in_force and hold.id not in without:
                left &= ~takes(self._matches[hold.id], packets)
        return left

    def remembered(self, victim: Prefix, kind: Traffic, unix: float) -> list[tuple[Match, float]]:
        """The drops of a day for the same victim and kind, and how many seconds ago they began."""
        return [
            (hold.parsed(), max(unix - hold.began, 0.0))
            for hold in self._earlier.values()
            if (hold.prefix, hold.of_kind) == (victim, kind) and hold.drops and not hold.watched
        ]

    def step(self, now: float, chunk: Chunk) -> Iterator[Report]:
        """Count the hits, and end what is not needed any more.

        Only what no handshake explains counts: people must not keep a rule that hits them.
        """
        yield from self._ending
        self._ending = []
        self._gathered.append(chunk.packets)
        self._seconds += chunk.seconds
        if self._seconds < _HITS_SECONDS:
            return
        packets = joined(self._gathered)
        seconds, self._gathered, self._seconds = self._seconds, [], 0.0
        for hold in self.active:
            hold.rate = self._rate(hold, packets, seconds) / seconds
            yield from self._moved(now, hold)

    def _rate(self, hold: Hold, packets: PacketArray, seconds: float) -> float:
        """The packets of the attack that a rule hits; of known flows the largest source's.

        A drop of SYNs was made to hit next to no normal ones, so no handshake explains its hits.
        """
        known = packets["flow"] == FlowState.KNOWN
        chosen = takes(self._matches[hold.id], packets) & (known == hold.known)
        if hold.state is State.PROBING:
            chosen &= packets["reason"] == Reason.NO_RULE
            if chosen.sum() < _HEADS_LEAST:
                return 0.0
        mass = packets["weight"][chosen].astype(np.float64)
        if hold.known:
            _, places = np.unique(packets["source"][chosen], return_inverse=True)
            return float(np.bincount(places, mass).max()) if len(mass) else 0.0
        if hold.of_kind is not Traffic.SYN or (hold.drops and not hold.blind):
            return float(mass.sum())
        shaken = (packets["shaken"] != 0) & covers(
            hold.prefix, packets["family"], packets["destination"]
        )
        people = _PACKETS_OF_A_HANDSHAKE * completed(packets[shaken], seconds)
        return max(0.0, float(mass.sum()) - people)

    def _is_expected(self, hold: Hold) -> bool:
        """Whether operators expect what its rule hits now."""
        threshold = hold.finding.threshold
        most = raised(self.expected, hold.prefix, hold.of_kind, threshold)
        return most > threshold and hold.rate < most

    def _needed(self, hold: Hold) -> bool:
        """Whether the attack goes on, and not normal packets alone that look like it.

        What operators expect is no attack.
        What is not a drop meets normal packets, too, and so may a drop of which that is not known.
        """
        if self._is_expected(hold):
            return False
        sure = hold.drops and not hold.watched and not hold.blind
        share = _BACK if sure else _STILL
        return hold.rate - hold.normal >= max(_HIT, share * hold.finding.threshold)

    def _moved(self, now: float, hold: Hold) -> Iterator[Report]:
        """The next state of an answer."""
        if hold.refused == TAKEN_BACK and self._is_expected(hold):
            yield self.end(hold)  # else more than that would be taken for refused, too
            return
        if hold.state is State.PROBING:
            if self._needed(hold):
                hold.state, hold.hit_at, hold.told_at = State.ATTACK, now, now
                hold.quiet = min(2 * hold.quiet, QUIET_MOST)
                yield Report(Phase.CONTINUES, hold, hold.watched)
            elif now >= hold.probing_since + PROBE_SECONDS:
                yield self.end(hold)
            return
        if self._needed(hold):
            hold.state, hold.hit_at = State.ATTACK, now
        elif now >= hold.hit_at + hold.quiet:
            hold.state, hold.probing_since, hold.told_at = State.PROBING, now, now
            yield Report(Phase.CONTINUES, hold, watch=True)
            return
        elif now >= hold.hit_at + 1.0:
            hold.state = State.HOLDING
        again = _RETRY_SECONDS if hold.refused else _RENEW_SECONDS
        if now >= hold.told_at + again:
            hold.told_at = now
            yield Report(Phase.CONTINUES, hold, hold.watched)

    def end(self, hold: Hold) -> Report:
        """End an answer; what is to be reported."""
        del self._holds[hold.id], self._matches[hold.id], self._since[hold.id]
        self._remember(hold)
        return Report(Phase.ENDED, hold)

    def _remember(self, hold: Hold) -> None:
        name = _name(hold)
        self._earlier.pop(name, None)
        self._earlier[name] = hold
        while len(self._earlier) > _REMEMBERED_MAX:
            del self._earlier[next(iter(self._earlier))]

    def forget(self, unix: float) -> None:
        """Forget what ended long ago."""
        old = [n for n, h in self._earlier.items() if unix - h.began > _REMEMBERED_SECONDS]
        for name in old:
            del self._earlier[name]


def _name(hold: Hold) -> tuple[str, str, str]:
    return hold.victim, hold.kind, hold.match
