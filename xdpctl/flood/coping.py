# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether UDP services cope with what they are asked: a surge that is answered is no attack.

DNS, HTTP/3, games or VPN servers have clients of whom nothing is known before they ask. What such a
server answers is counted where it goes out, and compared with all that it is asked.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from xdpctl.abi.constants import Reason, Traffic
from xdpctl.base.net.prefix import Prefix
from xdpctl.flood.counts import Chunk
from xdpctl.flood.usual import Key
from xdpctl.traffic.asked import asks_udp
from xdpctl.traffic.packets import PacketArray, destination

AnswersOf = Callable[[bytes, int], int]  # how often a service has answered so far
Service = tuple[Prefix, int]
_ANSWERED = 0.8  # of the packets to services
_MOST = 0.9  # of the packets, which must be to a few services
_SERVICES_MAX = 8
_LEAST_SECONDS, _RENEW_SECONDS, _STALE_SECONDS = 0.1, 1.0, 1.0
_SOME, _LATE_SECONDS = 0.2, 0.4  # answered; who begins to answer may be late
_FAILED_SECONDS, _KEPT = 60.0, 1_000


@dataclass(frozen=True, slots=True)
class _Mark:
    """What was asked until a moment, and what was answered."""

    at: float
    asked: float
    answered: dict[Service, int]


@dataclass(slots=True)
class _Counted:
    """A victim's last look, and the marks from which on its answers are compared."""

    looked_at: float
    mark: _Mark
    before: _Mark
    failed_at: float
    asked: float = 0.0


class Coping:
    """Asks for answers, and says whether victims give them."""

    def __init__(self, answers: AnswersOf | None) -> None:
        self._answers = answers
        self._counted: dict[Key, _Counted] = {}

    def copes(self, now: float, key: Key, window: PacketArray, seen: Chunk) -> bool:
        """Whether services answer these packets, and all else of what was `seen` to them.

        A service that has answered is given a tenth of a second, and 0.4 seconds if it answers
        some: a resolver has to ask others first. One that did not cope is given none for a minute.
        """
        asked = services(window) if self._answers else ()
        if not asked or self._answers is None:
            return False
        answered = {each: self._answers(each[0].address, each[1]) for each in asked}
        held = self._counted.get(key)
        if held is None or now - held.looked_at > _STALE_SECONDS:
            held = self._begin(now, key, answered, held.failed_at if held else -_FAILED_SECONDS)
        held.asked += _rate(asked, seen) * (now - held.looked_at)
        held.looked_at = now
        if now - held.mark.at >= _RENEW_SECONDS:
            held.before, held.mark = held.mark, _Mark(now, held.asked, answered)
        if not self._enough(now, held, answered):
            held.failed_at = now
            return False
        return True

    def answered(self, now: float, key: Key) -> float:
        """The packets a second that the services of a victim answer, since it was looked at."""
        held = self._counted.get(key)
        if held is None or self._answers is None or now <= held.before.at:
            return 0.0
        if key[1] is Traffic.UDP_SERVICE:  # from the port of another service: no client asks so
            return 0.0
        before = held.before.answered
        counts = (self._answers(to.address, port) - n for (to, port), n in before.items())
        return sum(max(count, 0) for count in counts) / (now - held.before.at)

    def _begin(
        self, now: float, key: Key, answered: dict[Service, int], failed_at: float
    ) -> _Counted:
        if len(self._counted) >= _KEPT:
            old = [k for k, each in self._counted.items() if now - each.looked_at > _FAILED_SECONDS]
            for name in old or list(self._counted)[: _KEPT // 2]:
                del self._counted[name]
        mark = _Mark(now, 0.0, answered)
        made = self._counted[key] = _Counted(now, mark, mark, failed_at)
        return made

    @staticmethod
    def _enough(now: float, held: _Counted, answered: dict[Service, int]) -> bool:
        """Whether there were answers enough since the last mark but one."""
        before = held.before
        seconds, share = now - before.at, _ANSWERED
        if now >= held.failed_at + _FAILED_SECONDS and any(answered.values()):
            share = 0.0 if seconds < _LEAST_SECONDS else _SOME if seconds < _LATE_SECONDS else share
        elif seconds < _LEAST_SECONDS:
            return False
        more = (count - before.answered.get(each, count) for each, count in answered.items())
        return sum(max(each, 0) for each in more) >= share * (held.asked - before.asked)


def _rate(asked: tuple[Service, ...], seen: Chunk) -> float:
    """Packets a second to these services that passed, whatever their kind."""
    packets = seen.packets[seen.packets["reason"] == Reason.NO_RULE]
    chosen = np.zeros(len(packets), bool)
    for to, port in asked:
        here = packets["destination"] == to.address
        chosen |= here & (packets["destination_port"] == port)
    chosen &= asks_udp(packets)
    return float(packets["weight"][chosen].sum(dtype=np.float64)) / seen.seconds


def services(window: PacketArray) -> tuple[Service, ...]:
    """The UDP services to which nearly all packets go, if they are few; else none."""
    asking = asks_udp(window)
    weights = window["weight"].astype(np.float64)
    if weights[asking].sum() < _MOST * weights.sum():
        return ()
    names = ["family", "destination", "destination_port"]
    _, first, places = np.unique(window[asking][names], return_index=True, return_inverse=True)
    sums = np.bincount(places, weights[asking])
    largest = np.argsort(-sums)[:_SERVICES_MAX]
    if sums[largest].sum() < _MOST * weights.sum():
        return ()
    found = window[asking][first[largest]]
    return tuple((destination(each), int(each["destination_port"])) for each in found)
