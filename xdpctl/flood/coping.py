# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether UDP services answer their requests: a surge that is answered is no attack.

Nothing is known about a client of a DNS, HTTP/3, game or VPN server before its first request. So
the answers that leave the server are counted, and compared with all requests to it.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from xdpctl.abi.constants import Reason, Traffic
from xdpctl.datapath.served import Service
from xdpctl.flood.counts import Chunk
from xdpctl.flood.mitigation import QUIET_MOST
from xdpctl.flood.usual import Key
from xdpctl.model.match.components import UDP
from xdpctl.traffic.asked import asks_udp
from xdpctl.traffic.packets import PacketArray, destination

CountOf = Callable[[Service], int]  # a service's TCP connections, or UDP answers, so far
ANSWERED = 0.8  # share of the packets to services that must be answered
_MOST = 0.9  # share of the packets that must go to a few services
_SERVICES_MAX = 8
_LEAST_SECONDS, _RENEW_SECONDS, STALE_SECONDS = 0.1, 1.0, 1.0
# share of requests that must be answered at first: answers may be late
_SOME, _LATE_SECONDS = 0.2, 0.4
_FAILED_SECONDS, _KEPT = 60.0, 1_000
_MOST_SECONDS = QUIET_MOST  # without a look, after which the most answers are forgotten
ASKING = frozenset((Traffic.DNS_QUERY, Traffic.QUIC_INITIAL, Traffic.UDP))  # UDP services


@dataclass(frozen=True, slots=True)
class _Mark:
    """The number of requests to services up to a time, and of answers by each service."""

    at: float
    asked: float
    answered: dict[Service, int]


@dataclass(slots=True)
class _Counted:
    """When a victim was last examined, and the marks from which its answers are counted."""

    looked_at: float
    mark: _Mark
    before: _Mark
    failed_at: float
    asked: float = 0.0
    most: float = 0.0  # answers a second, the most that was measured


class Coping:
    """Compares the requests to a victim's services with their answers."""

    def __init__(self, count: CountOf | None) -> None:
        self._count = count
        self._counted: dict[Key, _Counted] = {}

    def copes(self, now: float, key: Key, window: PacketArray, seen: Chunk) -> bool:
        """Whether services answer these packets, and all other packets to the services in `seen`.

        A service that has answered before may begin to answer within a tenth of a second. For 0.4
        seconds a fifth of the answers is enough, since a resolver has to ask other servers first;
        not for a minute after a service failed to answer.
        """
        asked_services = services(window) if self._count else ()
        if not asked_services or self._count is None:
            return False
        answered = {service: self._count(service) for service in asked_services}
        counted = self._counted.get(key)
        if counted is None or now - counted.looked_at > STALE_SECONDS:
            counted = self._begin(now, key, answered)
        counted.asked += _rate(asked_services, seen) * (now - counted.looked_at)
        counted.looked_at = now
        enough = self._enough(now, counted, answered)
        renews = now - counted.mark.at >= _RENEW_SECONDS
        if renews or (not enough and now - counted.before.at >= _LATE_SECONDS):
            counted.most = max(counted.most, self._answered_since(counted.before, now))
        if renews:
            counted.before, counted.mark = counted.mark, _Mark(now, counted.asked, answered)
        if not enough:
            counted.failed_at = now
        return enough

    def answered(self, now: float, key: Key, within: float = _MOST_SECONDS) -> float:
        """The packets a second that a victim's services have been seen to answer.

        It is the most since they are examined, with pauses of up to a quarter of an hour; 0 if the
        last examination is not `within` so many seconds. Answers that became fewer do not lower it:
        under a limit, services can answer only what it lets pass, so a limit that followed them
        would fall and fall.
        """
        counted = self._counted.get(key)
        if counted is None or now - counted.looked_at >= within or key[1] not in ASKING:
            return 0.0
        return max(counted.most, self._answered_since(counted.before, now))

    def measured(self, now: float, key: Key) -> tuple[float, float] | None:
        """The questions and the answers a second of the last one or two seconds.

        None if the services were not examined for so long, or nothing was asked.
        """
        counted = self._counted.get(key)
        if counted is None or now - counted.looked_at > STALE_SECONDS:
            return None
        before, seconds = counted.before, now - counted.before.at
        if seconds < _RENEW_SECONDS or counted.asked <= before.asked:
            return None
        return (counted.asked - before.asked) / seconds, self._answered_since(before, now)

    def _answered_since(self, before: _Mark, now: float) -> float:
        """The answers a second since a mark; 0 if it is too new to tell."""
        if self._count is None or now - before.at < _LEAST_SECONDS:
            return 0.0
        counts = (self._count(service) - n for service, n in before.answered.items())
        return sum(max(count, 0) for count in counts) / (now - before.at)

    def _begin(self, now: float, key: Key, answered: dict[Service, int]) -> _Counted:
        """Begin to count; what was found not long ago is kept."""
        earlier = self._counted.get(key)
        failed_at = earlier.failed_at if earlier else -_FAILED_SECONDS
        recent = earlier is not None and now - earlier.looked_at < _MOST_SECONDS
        most = earlier.most if earlier and recent else 0.0
        if len(self._counted) >= _KEPT:
            old = [
                k
                for k, counted in self._counted.items()
                if now - counted.looked_at > _FAILED_SECONDS
            ]
            for name in old or list(self._counted)[: _KEPT // 2]:
                del self._counted[name]
        mark = _Mark(now, 0.0, answered)
        counted = self._counted[key] = _Counted(now, mark, mark, failed_at, most=most)
        return counted

    @staticmethod
    def _enough(now: float, counted: _Counted, answered: dict[Service, int]) -> bool:
        """Whether there were enough answers since the last mark but one."""
        before = counted.before
        seconds, share = now - before.at, ANSWERED
        if seconds < _LEAST_SECONDS:  # too short to tell
            return any(answered.values())
        if now >= counted.failed_at + _FAILED_SECONDS and seconds < _LATE_SECONDS:
            share = _SOME
        more = (count - before.answered.get(service, count) for service, count in answered.items())
        return sum(max(answers, 0) for answers in more) >= share * (counted.asked - before.asked)


def _rate(asked: tuple[Service, ...], seen: Chunk) -> float:
    """Packets a second of all kinds to these services that no rule has decided."""
    packets = seen.packets[seen.packets["reason"] == Reason.NO_RULE]
    chosen = np.zeros(len(packets), bool)
    for service in asked:
        here = packets["destination"] == service.host.address
        chosen |= here & (packets["destination_port"] == service.port)
    chosen &= asks_udp(packets)
    return float(packets["weight"][chosen].sum(dtype=np.float64)) / seen.seconds


def services(window: PacketArray) -> tuple[Service, ...]:
    """The UDP services to which nearly all packets go; empty if these are many."""
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
    packets = window[asking][first[largest]]
    return tuple(
        Service(destination(packet), UDP, int(packet["destination_port"])) for packet in packets
    )
