# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether UDP services cope with what they are asked: a surge that is answered is no attack.

DNS, HTTP/3, games or VPN servers have clients of whom nothing is known before they ask. What such a
server answers is counted where it goes out. Pure but for these counts.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from xdpctl.base.net.prefix import Prefix
from xdpctl.detectors.builtin.counts import destination
from xdpctl.detectors.builtin.usual import Key
from xdpctl.model.match.components import UDP
from xdpctl.model.services import SERVICES
from xdpctl.traffic.packets import PacketArray
from xdpctl.traffic.select import holds

Answers = Callable[[bytes, int], int]  # packets so far that a service has answered
Service = tuple[Prefix, int]
_ANSWERED = 0.8  # of the packets to services
_MOST = 0.9  # of the packets, which must be to a few services
_SERVICES_MAX = 8
_LEAST_SECONDS, _RENEW_SECONDS = 0.1, 1.0
_SOME, _LATE_SECONDS = 0.2, 0.4  # answered; who begins to answer may be late


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
    asked: float = 0.0


class Coping:
    """Asks for answers; `copes` says whether a victim gives them."""

    def __init__(self, answers: Answers | None) -> None:
        self._answers = answers
        self._counted: dict[Key, _Counted] = {}

    def copes(self, now: float, key: Key, window: PacketArray, rate: float) -> bool:
        """Whether services answer these packets, which come `rate` a second.

        So it is said in the first tenth of a second, too, while it is not known yet, and for 0.4
        seconds of a service that answers some: a resolver has to ask others first.
        """
        asked = services(window) if self._answers else ()
        if not asked or self._answers is None:
            return False
        answered = {each: self._answers(each[0].address, each[1]) for each in asked}
        held = self._counted.get(key)
        if held is None:
            mark = _Mark(now, 0.0, answered)
            self._counted[key] = _Counted(now, mark, mark)
            return True
        held.asked += rate * (now - held.looked_at)
        held.looked_at = now
        if now - held.mark.at >= _RENEW_SECONDS:
            held.before, held.mark = held.mark, _Mark(now, held.asked, answered)
        before = held.before
        seconds = now - before.at
        more = (answered[each] - before.answered.get(each, answered[each]) for each in asked)
        wanted = (
            0.0 if seconds < _LEAST_SECONDS else _SOME if seconds < _LATE_SECONDS else _ANSWERED
        )
        return sum(max(each, 0) for each in more) >= wanted * (held.asked - before.asked)

    def forget(self, key: Key) -> None:
        """The victim is quiet again."""
        self._counted.pop(key, None)


def services(window: PacketArray) -> tuple[Service, ...]:
    """The UDP services to which nearly all packets go, if they are few; else none."""
    to = window["destination_port"]
    asking = (window["protocol"] == UDP) & (to >= 0) & holds(SERVICES, to)
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
