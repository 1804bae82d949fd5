# SPDX-License-Identifier: GPL-2.0-or-later
"""The newest packets of unknown flows, and the hosts that take part in TCP. Pure."""

import numpy as np

from xdpctl.abi.constants import Reason
from xdpctl.base.net.prefix import Prefix
from xdpctl.flood.coping import STALE_SECONDS, Coping, CountOf
from xdpctl.flood.counts import WINDOW_SECONDS, Chunk, Recent
from xdpctl.flood.evidence import Case
from xdpctl.flood.memory import NormalTraffic
from xdpctl.flood.mitigations import Mitigations
from xdpctl.flood.proving import Proving
from xdpctl.flood.rates import Rates
from xdpctl.flood.settings import DetectSettings
from xdpctl.flood.usual import Key, Usual
from xdpctl.model.expectation import Raises, raised
from xdpctl.model.match.components import TCP
from xdpctl.traffic.packets import PacketArray, destination
from xdpctl.traffic.select import covers

LOOK_SECONDS = 0.4  # greatest age of the packets that are examined
ENOUGH = 96  # heads needed to examine a stratum
# packets of known flows that show that the memory records flows
_TAUGHT, _TAUGHT_SECONDS = 20, 300.0
_ACCEPTED_MAX, _ACCEPTED_SECONDS = 10_000, 60.0


class Seen:
    """The packets of the last moments. `raises` are the rates that operators expect."""

    def __init__(
        self,
        settings: DetectSettings,
        rates: Rates,
        normal: NormalTraffic,
        mitigations: Mitigations,
        count: CountOf | None,
    ) -> None:
        self.settings, self.rates, self.normal = settings, rates, normal
        self.mitigations, self.part = mitigations, TakingPart()
        self.coping, self.proving = Coping(count), Proving(count)
        self.recent, self.shaken = Recent(), Recent()
        self.raises: Raises = ()
        self._now = 0.0

    def add(self, chunk: Chunk, known: Chunk, unknown: Chunk) -> None:
        """Take a reading, and the parts of it with known and with unknown flows."""
        self._now = chunk.ended
        self.part.note(chunk.ended, known)
        self.recent.add(unknown)
        self.shaken.add(chunk.of(chunk.packets["shaken"] != 0))

    @property
    def usual(self) -> Usual:
        return self.rates.usual

    @property
    def taught(self) -> bool:
        """Whether packets of known flows were seen. If not, every flow counts as unknown."""
        return self.part.taught

    @property
    def fresh(self) -> bool:
        """Whether too little was observed to know what is normal."""
        return self.usual.observed < self.settings.learning

    def threshold(self, key: Key) -> float:
        """The rate from which on a stratum is examined; higher if operators expect more."""
        return raised(self.raises, *key, self.rates.threshold(key, self.taught))

    def rate(self, key: Key, *reasons: Reason) -> float:
        """Packets a second of a stratum just now that had one of these reasons."""
        packets = self.window(key, *reasons, seconds=WINDOW_SECONDS)
        return float(packets["weight"].sum()) / self.recent.last(WINDOW_SECONDS).seconds

    def window(self, key: Key, *reasons: Reason, seconds: float = LOOK_SECONDS) -> PacketArray:
        """The packets of a stratum that had one of these reasons."""
        victim, kind = key
        recent = self.recent.last(seconds)
        chosen = recent.kinds == kind
        chosen &= covers(victim, recent.packets["family"], recent.packets["destination"])
        chosen &= np.isin(recent.packets["reason"], reasons)
        packets: PacketArray = recent.packets[chosen]
        return packets

    def case(self, key: Key, window: PacketArray, rate: float, copes: bool = False) -> Case:
        """The case to be judged: packets of a stratum, and what is known about it."""
        observed = self.usual.observed
        everything = self.window(key, *Reason)
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
            fresh=self.fresh,
            forged=float(weights[forged].sum() / weights.sum()) if len(weights) else 0.0,
            taught=self.taught,
            accepts=self.part.accepts(self._now, key[0]),
            challenged=self.mitigations.challenges(*key),
            provable=self.proving.may(self._now, key),
            copes=copes,
            answered=self.coping.answered(self._now, key, STALE_SECONDS),
        )


class TakingPart:
    """Counts packets of known flows, and remembers the hosts that take part in TCP."""

    def __init__(self) -> None:
        self._taught, self._taught_at = [0, 0], 0.0  # packets, by parts of time
        self._accepted: dict[Prefix, float] = {}  # hosts, and when they took part in TCP

    def note(self, now: float, known: Chunk) -> None:
        """Take packets of known flows.

        They count for some minutes: the memory may be cleared, or nothing may record flows any
        more.
        """
        if now >= self._taught_at + _TAUGHT_SECONDS:
            self._taught, self._taught_at = [0, self._taught[0]], now
        self._taught[0] += len(known.packets)
        packets = known.packets[known.packets["protocol"] == TCP]
        for place in np.unique(packets["destination"], return_index=True)[1].tolist():
            self._accepted[destination(packets[place])] = now
        while len(self._accepted) > _ACCEPTED_MAX:
            del self._accepted[next(iter(self._accepted))]

    @property
    def taught(self) -> bool:
        """Whether packets of known flows were seen. If not, every flow counts as unknown."""
        return sum(self._taught) >= _TAUGHT

    def accepts(self, now: float, victim: Prefix) -> bool:
        """Whether a victim, or a host in it, has taken part in TCP within a minute."""
        if victim.exact:
            return self._accepted.get(victim, -1e9) > now - _ACCEPTED_SECONDS
        return any(
            victim.covers(host) and at > now - _ACCEPTED_SECONDS
            for host, at in self._accepted.items()
        )
