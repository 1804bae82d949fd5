# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether clients of a UDP service can prove their sources over TCP, as a challenge asks. Pure.

A name server may accept TCP from its secondaries alone. So a challenge is a trial: if nobody comes
by TCP soon, a limit takes its place, and nobody is sent that way for an hour.
"""

from xdpctl.abi.constants import Traffic
from xdpctl.datapath.served import Service
from xdpctl.flood.coping import CountOf
from xdpctl.flood.usual import Key
from xdpctl.model.match.components import TCP
from xdpctl.model.services import DNS, HTTPS

_PORTS = {Traffic.DNS_QUERY: DNS, Traffic.QUIC_INITIAL: HTTPS}
_TRIAL_SECONDS, _NOT_AGAIN_SECONDS = 5.0, 3_600.0
_KEPT = 1_000


class Proving:
    """`count` says how many connections or answers a service has had; None if that is not known."""

    def __init__(self, count: CountOf | None) -> None:
        self._count = count
        self._begun: dict[Key, tuple[float, int]] = {}  # when a trial began, with the connections
        self._failed: dict[Key, float] = {}

    def may(self, now: float, key: Key) -> bool:
        """Whether a host has served over TCP, and no trial of it has failed within an hour."""
        host, kind = key
        if not host.exact or kind not in _PORTS:
            return False
        return self._connections(key) > 0 and now >= self._failed.get(key, now)

    def fails(self, now: float, key: Key) -> bool:
        """Whether the trial of a standing challenge has failed; to be asked again and again."""
        if key[1] not in _PORTS:
            return False
        since, before = self._begun.setdefault(key, (now, self._connections(key)))
        if now < since + _TRIAL_SECONDS:
            return False
        if before >= 0 and self._connections(key) > before:
            self._begun[key] = since, -1  # it has passed
        if self._begun[key][1] < 0:
            return False
        if len(self._failed) >= _KEPT:
            self._failed.pop(next(iter(self._failed)))
        self._failed[key] = now + _NOT_AGAIN_SECONDS
        return True

    def forget(self, standing: set[Key]) -> None:
        """Forget the trials of challenges that have ended."""
        self._begun = {key: trial for key, trial in self._begun.items() if key in standing}

    def _connections(self, key: Key) -> int:
        host, kind = key
        return self._count(Service(host, TCP, _PORTS[kind])) if self._count else 0
