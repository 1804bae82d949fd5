# SPDX-License-Identifier: GPL-2.0-or-later
"""The detector: packets and times in, reports out.

A stratum is a kind of packets to a destination. If a stratum reaches its threshold, the detector
examines its packets (`looks.py`) and may begin mitigations (`mitigations.py`). The next examination
leaves out the packets that their rules match, so a new vector is met as a new attack. Pure: it
reads no clock.
"""

from collections.abc import Iterable, Iterator

import numpy as np

from xdpctl.abi.constants import FlowState, Reason, Traffic
from xdpctl.base.net.prefix import Prefix
from xdpctl.flood.ceilings import Ceilings
from xdpctl.flood.coping import CountOf
from xdpctl.flood.counts import WINDOW_SECONDS, Chunk
from xdpctl.flood.looks import Looks
from xdpctl.flood.memory import NormalTraffic
from xdpctl.flood.mitigation import Report
from xdpctl.flood.mitigations import Mitigations
from xdpctl.flood.rates import Rates
from xdpctl.flood.seen import Seen
from xdpctl.flood.settings import DetectSettings, Most
from xdpctl.flood.usual import Key, Usual
from xdpctl.model.expectation import Expectation, raises
from xdpctl.traffic.packets import PacketArray
from xdpctl.traffic.select import covers

_SECOND = 1.0


class Engine:
    """Call `step` at least about twenty times a second with the packets since the last call.

    `ours` are the protected prefixes. `usual`, `normal` and `ceilings` are what was learnt.
    `count` says how many connections or answers a service has had so far. `expectations` are what
    operators expect.
    """

    def __init__(
        self,
        settings: DetectSettings,
        ours: Iterable[Prefix],
        usual: Usual,
        normal: NormalTraffic,
        ceilings: Usual | None = None,
        count: CountOf | None = None,
    ) -> None:
        self.settings, self.usual, self.normal = settings, usual, normal
        self.mitigations = Mitigations()
        self._rates = Rates(settings, usual, tuple(ours))
        self._seen = Seen(settings, self._rates, normal, self.mitigations, count)
        self._looks = Looks(self._seen)
        self.expectations: tuple[Expectation, ...] = ()
        self.ceilings = Ceilings(ceilings or Usual(usual.since))
        self._last: float | None = None
        self._raised_at = -_SECOND

    @property
    def ours(self) -> tuple[Prefix, ...]:
        """The prefixes whose addresses are protected."""
        return self._rates.ours

    @ours.setter
    def ours(self, ours: Iterable[Prefix]) -> None:
        self._rates.ours = tuple(ours)

    @property
    def taught(self) -> bool:
        """Whether packets of known flows were seen. If not, every flow counts as unknown."""
        return self._seen.taught

    def threshold(self, key: Key) -> float:
        """The rate, in packets a second, from which on a stratum is examined."""
        return self._seen.threshold(key)

    def step(
        self, now: float, unix: float, packets: PacketArray, seconds: float | None = None
    ) -> list[Report]:
        """Take the packets observed up to the monotonic time `now`; return the reports.

        `seconds` is for how long they were observed; None means since the last step.
        """
        if seconds is None:
            seconds = now - self._last if self._last is not None else WINDOW_SECONDS
        self._last = now
        if now >= self._raised_at + _SECOND:
            self._raised_at = now
            self._seen.raises = self.mitigations.expected = raises(self.expectations, unix)
        chunk = self._ours(now, seconds, packets)
        self.usual.observed += min(seconds, _SECOND)
        of_known = chunk.packets["flow"] == FlowState.KNOWN
        known, unknown = chunk.of(of_known), chunk.of(~of_known)
        self._seen.add(chunk, known, unknown)
        self._learn(now, unix, chunk, unknown)
        reports = list(self.mitigations.step(now, chunk))
        if self.settings.mode is not Most.OFF:
            reports += self._looks.step(now, unix)
            reports += self._look_at_known(now, unix, known)
        return reports

    def _look_at_known(self, now: float, unix: float, known: Chunk) -> Iterator[Report]:
        """Limit sources that send far more in known flows than any source did before."""
        seen = self._seen
        for victim, proposal in self.ceilings.step(unix, known, seen.fresh, seen.raises):
            most = self.settings.most(victim, Traffic[proposal.finding.kind.upper()])
            if most is not Most.OFF:
                watched = most is Most.OBSERVE
                yield from self.mitigations.begin(now, unix, victim, proposal, watched) or ()

    def _ours(self, now: float, seconds: float, packets: PacketArray) -> Chunk:
        """The packets to protected destinations."""
        chosen = np.zeros(len(packets), bool)
        for prefix in self.ours:
            chosen |= covers(prefix, packets["family"], packets["destination"])
        return Chunk(now, seconds, packets[chosen])

    def _learn(self, now: float, unix: float, chunk: Chunk, unknown: Chunk) -> None:
        """Learn what is normal, but nothing from kinds that are loud, attacked or above normal."""
        undecided = unknown.of(unknown.packets["reason"] == Reason.NO_RULE)
        loud = self._looks.not_normal(now)
        copes = self._looks.coping() - loud
        passed = chunk.packets["reason"] == Reason.NO_RULE
        passed &= self.mitigations.not_probed(chunk.packets)
        self.normal.add(chunk.of(passed), frozenset(loud), frozenset(copes))
        self._rates.note(unix, undecided, loud, self.taught)
