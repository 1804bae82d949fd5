# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether clients of a UDP service can prove their sources, as a challenge asks. Pure.

Those of a name server or of a server of HTTP/3 do so over TCP, if the host serves over TCP, too. A
name server may accept TCP from its secondaries alone. Those of a game server repeat a number, which
old clients may not do. So a challenge is a trial: if soon nobody comes in by it, a limit takes its
place, and nobody is challenged there for an hour.
"""

from dataclasses import dataclass

from xdpctl.abi.constants import Traffic
from xdpctl.datapath.served import Service
from xdpctl.flood.coping import CountOf
from xdpctl.flood.usual import Key
from xdpctl.model.match.components import TCP
from xdpctl.model.services import DNS, HTTPS

_OVER_TCP = {Traffic.DNS_QUERY: DNS, Traffic.QUIC_INITIAL: HTTPS}
_GAMES = Traffic.UDP  # no client of another service sends what a challenge of this kind asks
# A resolver asks again within seconds; a game server is asked now and then.
_TRIAL_SECONDS, _TRIAL_OF_GAMES = 5.0, 30.0
_SETTLED_SECONDS = 1.0  # what passed before may have come before the rule was in force
_NOT_AGAIN_SECONDS = 3_600.0
_KEPT = 1_000


@dataclass(slots=True)
class _Trial:
    """When a trial began, with how many connections, and whether somebody has come in by it."""

    began: float
    connections: int
    passed: bool = False


class Proving:
    """`count` says how many connections or answers a service has had; None if that is not known."""

    def __init__(self, count: CountOf | None) -> None:
        self._count = count or (lambda _: 0)
        self._trials: dict[Key, _Trial] = {}
        self._failed: dict[Key, float] = {}

    def may(self, now: float, key: Key) -> bool:
        """Whether clients of a host may be challenged, and no trial of it failed within an hour."""
        if not key[0].exact or now < self._failed.get(key, now):
            return False
        return key[1] is _GAMES or self._connections(key) > 0

    def fails(self, now: float, key: Key, passes: bool) -> bool:
        """Whether the trial of a standing challenge has failed; to be asked again and again.

        `passes`: some of what it asks came in by now.
        """
        if key[1] not in _OVER_TCP and key[1] is not _GAMES:
            return False
        trial = self._trials.setdefault(key, _Trial(now, self._connections(key)))
        if key[1] is _GAMES:
            trial.passed |= passes and now >= trial.began + _SETTLED_SECONDS
        else:
            trial.passed |= self._connections(key) > trial.connections
        lasts = _TRIAL_OF_GAMES if key[1] is _GAMES else _TRIAL_SECONDS
        if trial.passed or now < trial.began + lasts:
            return False
        if len(self._failed) >= _KEPT:
            self._failed.pop(next(iter(self._failed)))
        self._failed[key] = now + _NOT_AGAIN_SECONDS
        return True

    def forget(self, standing: set[Key]) -> None:
        """Forget the trials of challenges that have ended."""
        self._trials = {key: trial for key, trial in self._trials.items() if key in standing}

    def _connections(self, key: Key) -> int:
        host, kind = key
        port = _OVER_TCP.get(kind)
        return self._count(Service(host, TCP, port)) if port else 0
