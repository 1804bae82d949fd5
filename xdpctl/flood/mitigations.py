# SPDX-License-Identifier: GPL-2.0-or-later
"""The active mitigations: their hits, and when they end. Pure."""

from collections.abc import Callable, Iterable, Iterator

import numpy as np
from msgspec import structs
from numpy.typing import NDArray

from xdpctl.abi.constants import Traffic
from xdpctl.base.net.prefix import Prefix
from xdpctl.flood import hits
from xdpctl.flood.counts import Chunk
from xdpctl.flood.earlier import Earlier
from xdpctl.flood.judge import Proposal
from xdpctl.flood.mitigation import QUIET_MOST, Mitigation, Report, State, rival_of
from xdpctl.flood.settings import Most
from xdpctl.flood.usual import Key
from xdpctl.model.effect import Action
from xdpctl.model.event import Phase
from xdpctl.model.expectation import Raises
from xdpctl.model.match.match import Match
from xdpctl.model.rate import Rate
from xdpctl.traffic.packets import PacketArray, joined
from xdpctl.traffic.select import takes

TTL_SECONDS = 300.0  # of the rules, which are requested again while they are needed
_RENEW_SECONDS, _RETRY_SECONDS = 60.0, 5.0
_HITS_SECONDS = 0.25
PROBE_SECONDS = 75.0  # longer than the pauses of most pulses
_ANSWERED_SECONDS = 1.0  # after a challenge or limit began; packets that pass it are then examined
TAKEN_BACK = "an operator has removed its rule"  # the hook's own words
_OTHER = 0.2  # share of a limit by which a new one must differ


class Mitigations:
    """All active mitigations, and the `earlier` ones.

    `step` yields reports; pass the control plane's answer to each on with `answered`.
    """

    def __init__(self) -> None:
        self._mitigations: dict[str, Mitigation] = {}
        self._matches: dict[str, Match] = {}
        self.earlier = Earlier()
        self._gathered: list[PacketArray] = []
        self._seconds = 0.0
        self._number = 0
        self._ending: list[Report] = []
        self._since: dict[str, float] = {}
        self.expected: Raises = ()

    @property
    def active(self) -> list[Mitigation]:
        return list(self._mitigations.values())

    def stands(self, mitigation: Mitigation) -> bool:
        """Whether this very mitigation is active."""
        return self._mitigations.get(mitigation.id) is mitigation

    def has(self, identity: str) -> bool:
        return identity in self._mitigations

    def take_over(
        self,
        now: float,
        mitigations: Iterable[Mitigation],
        earlier: Iterable[Mitigation],
        most: Callable[[Prefix, Traffic], Most],
    ) -> None:
        """Go on with the mitigations of an earlier process that the settings still allow."""
        for mitigation in mitigations:
            allowed = most(mitigation.prefix, mitigation.of_kind)
            if allowed is Most.OFF or (allowed is Most.LIMIT and mitigation.drops):
                self._ending.append(Report(Phase.ENDED, mitigation))
                continue
            watched = allowed is Most.OBSERVE
            self._since[mitigation.id] = now
            self._put(structs.replace(
                mitigation, state=State.ATTACK, hit_at=now, told_at=-1e9, watched=watched
            ))  # fmt: skip
        for mitigation in earlier:
            self.earlier.add(mitigation)

    def _put(self, mitigation: Mitigation) -> None:
        self._mitigations[mitigation.id] = mitigation
        self._matches[mitigation.id] = mitigation.parsed()

    def begin(
        self,
        now: float,
        unix: float,
        victim: Prefix,
        proposal: Proposal,
        watched: bool,
        force: bool = False,
    ) -> list[Report] | None:
        """Begin a mitigation; return the reports, or None if louder mitigations take all places.

        The reports are empty if the same mitigation is active already. Where there is no place, the
        quietest mitigation of the same victim ends, or else the quietest of all. With `force` it
        ends even if it is louder than the new one.
        """
        mitigation = Mitigation.of(
            f"{victim} {proposal.finding.kind} {unix:.3f}", victim, proposal, unix
        )
        self._number += 1
        mitigation.id = f"{mitigation.id}.{self._number}"
        same = [other for other in self._mitigations.values() if other.match == mitigation.match]
        if any(other.action == mitigation.action or other.drops for other in same):
            return []
        ended = []
        if not same and (rival := rival_of(mitigation, self.active)):
            if rival.state is State.ATTACK and rival.rate >= proposal.finding.rate and not force:
                return None
            ended.append(self.end(rival))
        for other in same:  # its rule is changed, and its event goes on
            mitigation.id = other.id
        before = self.earlier.same_as(mitigation)
        if before is not None and not mitigation.blind:
            mitigation.quiet = min(2 * before.quiet, QUIET_MOST)
        mitigation.watched = watched
        mitigation.hit_at = mitigation.told_at = self._since[mitigation.id] = now
        self._put(mitigation)
        return [*ended, Report(Phase.BEGAN, mitigation, watched)]

    def answered(self, identity: str, why: str, limit: Rate | None = None) -> None:
        """Take the answer to a report: `why` it had no effect, or an empty text.

        A refused mitigation is reported again. `limit` is set if the control plane has replaced its
        drop by a limit.
        """
        mitigation = self._mitigations.get(identity)
        if mitigation is None:
            return
        mitigation.refused = why
        mitigation.accepted |= not why
        if limit:
            mitigation.action, mitigation.limit = Action.LIMIT.value, limit

    def limit_to(self, now: float, mitigation: Mitigation, pps: float) -> Iterator[Report]:
        """Change the rate of a limit on a kind, if it differs by much; yield the reports.

        Limits for each source, on all kinds, or made because a drop hit people stay as they are.
        """
        if not mitigation.adapts or mitigation.limit is None:
            return
        if abs(pps - mitigation.limit.pps) >= _OTHER * mitigation.limit.pps:
            mitigation.limit, mitigation.told_at = Rate(pps=pps), now
            yield Report(Phase.CONTINUES, mitigation)

    def limit_instead(self, now: float, challenge: Mitigation, pps: float) -> Report:
        """Put a limit in place of a challenge; return the report."""
        challenge.action, challenge.limit = Action.LIMIT.value, Rate(pps=pps)
        challenge.told_at = now
        return Report(Phase.CONTINUES, challenge, challenge.watched)

    def challenges(self, victim: Prefix, kind: Traffic) -> bool:
        """Whether these packets are challenged."""
        return any(
            mitigation.action == Action.CHALLENGE
            and (mitigation.prefix, mitigation.of_kind) == (victim, kind)
            for mitigation in self._mitigations.values()
        )

    def not_taken(self, now: float, packets: PacketArray, kind: Traffic) -> NDArray[np.bool_]:
        """Which undecided packets no mitigation takes.

        A refused mitigation takes no packets, unless an operator removed its rule. A challenge or
        limit takes packets only at first: what passes it later comes from sources that have
        answered, or from many.
        """
        return self._left(packets, (
            mitigation for mitigation in self._in_force(kind)
            if mitigation.drops or now <= self._since[mitigation.id] + _ANSWERED_SECONDS
        ))  # fmt: skip

    def not_dropped(self, packets: PacketArray, kind: Traffic) -> NDArray[np.bool_]:
        """Which packets no standing drop takes."""
        return self._left(
            packets, (mitigation for mitigation in self._in_force(kind) if mitigation.drops)
        )

    def unlimited(self, packets: PacketArray, key: Key, threshold: float) -> float:
        """The share of the packets that no limit on all sources together takes.

        A limit on a wider prefix counts only if it lets less than the threshold pass. One on the
        same victim may be in monitor mode: if its attack comes back, it is enforced again.
        """
        victim, kind = key
        left = self._left(packets, (
            mitigation for mitigation in self._in_force(kind)
            if mitigation.limit is not None and mitigation.limit.shared and not mitigation.watched
            and (mitigation.prefix == victim
                 or (mitigation.limit.pps <= threshold and mitigation.state is not State.PROBING))
        ))  # fmt: skip
        weights = packets["weight"].astype(np.float64)
        return float(weights[left].sum() / max(weights.sum(), 1.0))

    def not_probed(self, packets: PacketArray) -> NDArray[np.bool_]:
        """Which packets no drop in monitor mode would take: what it would take may be an attack."""
        return self._left(packets, (
            mitigation for mitigation in self._mitigations.values()
            if mitigation.drops and mitigation.state is State.PROBING
        ))  # fmt: skip

    def _in_force(self, kind: Traffic) -> Iterator[Mitigation]:
        for mitigation in self._mitigations.values():
            refused = mitigation.refused and mitigation.refused != TAKEN_BACK
            if mitigation.of_kind is kind and not refused:
                yield mitigation

    def _left(self, packets: PacketArray, by: Iterable[Mitigation]) -> NDArray[np.bool_]:
        left = np.ones(len(packets), bool)
        for mitigation in by:
            left &= ~takes(self._matches[mitigation.id], packets)
        return left

    def step(self, now: float, chunk: Chunk) -> Iterator[Report]:
        """Count the hits, and end mitigations that are not needed any more; yield the reports.

        Packets that a handshake explains do not count: people must not keep a rule that hits them.
        """
        yield from self._ending
        self._ending = []
        self._gathered.append(chunk.packets)
        self._seconds += chunk.seconds
        if self._seconds < _HITS_SECONDS:
            return
        packets = joined(self._gathered)
        seconds, self._gathered, self._seconds = self._seconds, [], 0.0
        for mitigation in self.active:
            mitigation.rate = hits.attack_rate(
                mitigation, self._matches[mitigation.id], packets, seconds
            )
            yield from self._moved(now, mitigation)

    def _moved(self, now: float, mitigation: Mitigation) -> Iterator[Report]:
        """Move a mitigation to its next state; yield the reports."""
        if mitigation.refused == TAKEN_BACK and hits.expected(mitigation, self.expected):
            # else its match would hide more packets than operators expect
            yield self.end(mitigation)
            return
        if mitigation.state is State.PROBING:
            if hits.needed(mitigation, self.expected):
                mitigation.state, mitigation.hit_at, mitigation.told_at = State.ATTACK, now, now
                mitigation.quiet = min(2 * mitigation.quiet, QUIET_MOST)
                yield Report(Phase.CONTINUES, mitigation, mitigation.watched)
            elif now >= mitigation.probing_since + PROBE_SECONDS:
                yield self.end(mitigation)
            return
        if hits.needed(mitigation, self.expected):
            mitigation.state, mitigation.hit_at = State.ATTACK, now
        elif now >= mitigation.hit_at + mitigation.quiet:
            mitigation.state, mitigation.probing_since, mitigation.told_at = State.PROBING, now, now
            yield Report(Phase.CONTINUES, mitigation, watch=True)
            return
        elif now >= mitigation.hit_at + 1.0:
            mitigation.state = State.WAITING
        again = _RETRY_SECONDS if mitigation.refused else _RENEW_SECONDS
        if now >= mitigation.told_at + again:
            mitigation.told_at = now
            yield Report(Phase.CONTINUES, mitigation, mitigation.watched)

    def end(self, mitigation: Mitigation) -> Report:
        """End a mitigation; return the report."""
        del (
            self._mitigations[mitigation.id],
            self._matches[mitigation.id],
            self._since[mitigation.id],
        )
        self.earlier.add(mitigation)
        return Report(Phase.ENDED, mitigation)
