# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether services inside serve their clients: how many get in, and how long they wait.

Over TCP a connection counts once the service takes it up after the handshake, so forged packets do
not count. Over UDP answers count. A service is known from the packets that ask it.
"""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from xdpctl.abi.sizes import WAITS
from xdpctl.base.net.prefix import Prefix
from xdpctl.datapath.served import Counts, CountsOf, Service, wait_bound
from xdpctl.model.match.components import TCP, UDP
from xdpctl.traffic.asked import asked_services
from xdpctl.traffic.packets import PacketArray
from xdpctl.traffic.service_figures import A_MINUTE, PART_SECONDS, Figures, Newcomers

_PARTS, _LEAST_PARTS = 180, 6  # an hour, and two minutes
_DAY_PARTS = 4_320  # parts for which the usual figures stay as they are while a service fails
_MEASURED = 20  # waits of a part: fewer are not judged
_SERVICES_MAX = 1_000


@dataclass(frozen=True, slots=True)
class _Part:
    """The counts of a service in one part of 20 s."""

    served: float = 0.0
    asked: float = 0.0
    syn_acks: tuple[int, ...] = (0,) * WAITS
    data: tuple[int, ...] = (0,) * WAITS


@dataclass(slots=True)
class _Known:
    """The counts of a service that has served clients.

    `counts` are the counts at the begin of this part, and `asked` the requests since. `last` is the
    last part. `before` has the number served in each part before it, and `waited` the waits for
    data, where older ones count less. While the service fails, `before` and `waited` stay as they
    were, for a day at most.
    """

    counts: Counts
    before: deque[float]
    asked: float = 0.0
    total: float = 0.0
    last: _Part = field(default_factory=_Part)
    waited: NDArray[np.float64] = field(default_factory=lambda: np.zeros(WAITS))
    failed: int = 0  # parts in a row in which the service failed

    def add(self, part: _Part, failed: bool) -> None:
        """Add a part that has ended; `failed`: the service failed in the part before it."""
        self.failed = self.failed + 1 if failed else 0
        if failed and self.failed <= _DAY_PARTS:
            self.before.append(float(median(self.before)))
        else:
            self.waited = self.waited * (1 - 1 / _PARTS) + self.last.data
            self.before.append(self.last.served)
        self.last = part


class Served:
    """Counts in parts of 20 s; any thread may call it. `open_counts` opens the present counts."""

    def __init__(self, open_counts: Callable[[], CountsOf]) -> None:
        self._open_counts = open_counts
        self._counts: CountsOf | None = None
        self._known: dict[Service, _Known] = {}
        self._parts = 0
        self._served = {TCP: 0.0, UDP: 0.0}  # the totals before this part
        self._ends = 0.0
        # these three are valid until the next part begins
        self._newcomers: dict[Prefix | None, Newcomers | None] = {}
        self._figures: list[Figures] | None = None
        self._failing: list[str] | None = None
        self._lock = Lock()

    def add(self, now: float, packets: PacketArray) -> None:
        """Take the packets that were seen up to a monotonic time."""
        with self._lock:
            if self._counts is None or now >= self._ends:
                counts, before = self._open_counts(), self._counts
                if before is not None:  # after a longer pause the rate is unknown
                    self._end_part(counts, now < self._ends + PART_SECONDS)
                self._counts, self._ends = counts, now + PART_SECONDS
            for service, count in asked_services(packets):
                known = self._known.get(service) or self._met(service)
                if known:
                    known.asked += count

    def _met(self, service: Service) -> _Known | None:
        """Begin to count a service; None if it has served nobody, or there are too many."""
        if len(self._known) >= _SERVICES_MAX or self._counts is None:
            return None
        counts = self._counts(service)
        if not counts.count:
            return None
        before = deque([0.0] * min(self._parts, _PARTS), maxlen=_PARTS)
        known = self._known[service] = _Known(counts, before)
        return known

    def _end_part(self, counts_of: CountsOf, in_time: bool) -> None:
        failing = {row.service for row in self._all() if row.fails} if in_time else set()
        for service, known in list(self._known.items()):
            counts = counts_of(service)
            part = _since(known.counts, counts, known.asked)
            known.counts, known.asked = counts, 0.0
            if part is not None:
                self._served[service.protocol] += part.served
                known.total += part.served
            if in_time:
                known.add(part or known.last, service in failing)
            if len(known.before) == _PARTS and not (any(known.before) or known.last.served):
                del self._known[service]
        self._parts, self._newcomers = self._parts + in_time, {}
        self._figures = self._failing = None

    def newcomers(self, host: Prefix | None) -> Newcomers | None:
        """The newcomers at a host or network, or at all; None if none are usual."""
        with self._lock:
            if host not in self._newcomers:
                self._newcomers[host] = self._newcomers_at(host)
            return self._newcomers[host]

    def _newcomers_at(self, host: Prefix | None) -> Newcomers | None:
        there = [
            known
            for service, known in self._known.items()
            if service.protocol == TCP and (host is None or host.covers(service.host))
        ]
        if not there or self._parts <= _LEAST_PARTS:
            return None
        now = sum(known.last.served for known in there)
        usual = float(median(map(sum, zip(*(known.before for known in there), strict=True))))
        return Newcomers(host, now * A_MINUTE, usual * A_MINUTE) if usual else None

    def usual(self, host: Prefix | None) -> float:
        """The connections a second that usually begin there."""
        newcomers = self.newcomers(host)
        return newcomers.usual / 60 if newcomers else 0.0

    def figures(self) -> list[Figures]:
        """The figures of each service, the busiest first."""
        with self._lock:
            return list(self._all())

    def _all(self) -> list[Figures]:
        if self._figures is None:
            rows = [_figures(at, known) for at, known in self._known.items() if known.before]
            self._figures = sorted(rows, key=lambda row: -max(row.served, row.usual or 0.0))
        return self._figures

    def failing(self) -> list[str]:
        """How services fail their clients, a text for each that does."""
        with self._lock:
            if self._failing is None:
                self._failing = [problem for row in self._all() if (problem := row.fails)]
            return list(self._failing)

    def totals(self) -> Mapping[int, float]:
        """Connections over TCP and answers over UDP so far, by protocol."""
        with self._lock:
            totals = dict(self._served)
            for service, known in self._known.items():
                if self._counts:  # the counts may have begun anew, and be lower
                    more = self._counts(service).count - known.counts.count
                    totals[service.protocol] += max(more, 0)
        return totals


def _since(before: Counts, now: Counts, asked: float) -> _Part | None:
    """The part between two counts; None if the counts have begun anew."""
    if now.count < before.count:
        return None
    syn_acks = (max(b - a, 0) for a, b in zip(before.syn_acks, now.syn_acks, strict=True))
    data = (max(b - a, 0) for a, b in zip(before.data, now.data, strict=True))
    return _Part(float(now.count - before.count), asked, tuple(syn_acks), tuple(data))


def _figures(service: Service, of: _Known) -> Figures:
    known = len(of.before) > _LEAST_PARTS
    return Figures(
        service,
        of.total,
        of.last.served * A_MINUTE,
        float(median(of.before)) * A_MINUTE if known else None,
        of.last.asked * A_MINUTE,
        _half(of.last.syn_acks),
        _half(of.last.data),
        _half(of.waited),
    )


def _half(waits: Sequence[int] | NDArray[np.float64]) -> float | None:
    """The seconds within which half of the waits ended; None if there are too few."""
    total = sum(waits)
    if total < _MEASURED:
        return None
    return wait_bound(int(np.searchsorted(np.cumsum(waits), total / 2)))
