# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether services inside serve: who gets in, against what is usual, and how long clients wait.

Over TCP a connection counts that a service takes up after its handshake, so forged packets do not
count; over UDP answers count. Services are named by what asks them.
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from xdpctl.abi.constants import WAITS, Traffic
from xdpctl.base.net.prefix import Prefix, shown
from xdpctl.datapath.served import Counts, CountsOf, Service, wait_bound
from xdpctl.model.match.components import TCP, UDP
from xdpctl.model.match.evaluate import within
from xdpctl.model.services import DNS, HTTPS, SERVICES
from xdpctl.traffic.packets import PacketArray, destination

_PART_SECONDS = 20.0
_A_MINUTE = 60 / _PART_SECONDS
_PARTS, _LEAST_PARTS = 180, 6  # an hour, and two minutes
_ENOUGH = 40.0  # connections or answers of a part that are usual: of fewer half may lack by chance
_FALLEN = 0.5  # of what is usual
_IN_VAIN = 0.5  # of those who are missing: so many ask and are not served
_ONE_ANSWER = (DNS, 123)  # UDP: of other services a question may have many packets, or no answer
_DAY_PARTS = 4_320  # for which what is usual stays as it was while a service fails
_MEASURED = 20  # waits of a part, of fewer nothing is said
_SLOW, _SLOWER = 0.25, 4.0  # seconds, and times the usual: who waits longer gives up
_SERVICES_MAX = 1_000


@dataclass(frozen=True, slots=True)
class Newcomers:
    """Connections a minute at a host or network, or at all: of now, and those that are usual."""

    host: Prefix | None
    now: float
    usual: float

    def __str__(self) -> str:
        where = f" at {shown(self.host)}" if self.host else ""
        return f"{self.now:.0f} newcomers a minute get in{where}, usually {self.usual:.0f}"


@dataclass(frozen=True, slots=True)
class Figures:
    """A service in the last 20 s, and what is usual there; None for what is not known.

    `served` and `usual` are connections over TCP or answers over UDP a minute, `total` all since
    they are counted here. `asked` are SYNs or questions a minute, estimated, those of attacks among
    them. Half of the clients waited for at most `syn_ack` seconds for the SYN-ACK, and for at most
    `data` from there to the first data: the bound of a class of waits.
    """

    service: Service
    total: float
    served: float
    usual: float | None
    asked: float
    syn_ack: float | None
    data: float | None
    usual_data: float | None

    @property
    def fails(self) -> str:
        """In which way it fails those who ask; an empty text if it does not."""
        at, usual = f"{shown(self.service.host)} port {self.service.port}", self.usual or 0.0
        in_vain = self.asked - self.served > _IN_VAIN * (usual - self.served)
        few = usual >= _ENOUGH * _A_MINUTE and self.served < _FALLEN * usual
        of_tcp = self.service.protocol == TCP
        if few and in_vain and (of_tcp or self.service.port in _ONE_ANSWER):
            what = "newcomers get in at" if of_tcp else "questions are answered by"
            return f"{self.served:.0f} {what} {at} a minute, and {usual:.0f} are usual: is it down?"
        if self.data is None or self.usual_data is None:
            return ""
        waited = self.data / 4  # for longer than that
        if waited < _SLOW or waited < _SLOWER * self.usual_data:
            return ""
        return (
            f"half of the newcomers at {at} wait for more than {waited:.1g} s for the first data, "
            f"and usually less than {self.usual_data:.1g} s"
        )


@dataclass(frozen=True, slots=True)
class _Part:
    """What a service did in a part."""

    served: float = 0.0
    asked: float = 0.0
    syn_acks: tuple[int, ...] = (0,) * WAITS
    data: tuple[int, ...] = (0,) * WAITS


@dataclass(slots=True)
class _Known:
    """A service that has served.

    `counts` are those at the begin of this part, `asked` who asked since. `last` is the last part,
    `before` are those that were served in each part before, and `waited` the waits for data, of
    which the older ones count less. While it fails these stay as they were, for a day at most.
    """

    counts: Counts
    before: deque[float]
    asked: float = 0.0
    total: float = 0.0
    last: _Part = field(default_factory=_Part)
    waited: NDArray[np.float64] = field(default_factory=lambda: np.zeros(WAITS))
    failed: int = 0  # parts

    def add(self, part: _Part, failed: bool) -> None:
        """A part has ended, and in the one before it has failed or not."""
        self.failed = self.failed + 1 if failed else 0
        if failed and self.failed <= _DAY_PARTS:
            self.before.append(float(median(self.before)))
        else:
            self.waited = self.waited * (1 - 1 / _PARTS) + self.last.data
            self.before.append(self.last.served)
        self.last = part


class Served:
    """Counts in parts of 20 s; any thread may ask. `open_counts` opens the counts as of now."""

    def __init__(self, open_counts: Callable[[], CountsOf]) -> None:
        self._open_counts = open_counts
        self._counts: CountsOf | None = None
        self._known: dict[Service, _Known] = {}
        self._parts = 0
        self._served = {TCP: 0.0, UDP: 0.0}  # until this part
        self._ends = 0.0
        # until the next part
        self._newcomers: dict[Prefix | None, Newcomers | None] = {}
        self._figures: list[Figures] | None = None
        self._failing: list[str] | None = None
        self._lock = Lock()

    def add(self, now: float, packets: PacketArray) -> None:
        """Take the packets that were seen up to a monotonic time."""
        with self._lock:
            if self._counts is None or now >= self._ends:
                counts, before = self._open_counts(), self._counts
                if before is not None:  # of a longer time, in which nobody looked, no rate is known
                    self._end_part(counts, now < self._ends + _PART_SECONDS)
                self._counts, self._ends = counts, now + _PART_SECONDS
            for service, asked in _asked(packets):
                known = self._known.get(service) or self._met(service)
                if known:
                    known.asked += asked

    def _met(self, service: Service) -> _Known | None:
        """A service that is new here; None if it has not served anybody."""
        if len(self._known) >= _SERVICES_MAX or self._counts is None:
            return None
        counts = self._counts(service)
        if not counts.count:
            return None
        before = deque([0.0] * min(self._parts, _PARTS), maxlen=_PARTS)
        made = self._known[service] = _Known(counts, before)
        return made

    def _end_part(self, counts_of: CountsOf, in_time: bool) -> None:
        failing = {each.service for each in self._all() if each.fails} if in_time else set()
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
        """Those at all services of a host or network, or of all; None if none are usual."""
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
        now = sum(each.last.served for each in there)
        usual = float(median(map(sum, zip(*(each.before for each in there), strict=True))))
        return Newcomers(host, now * _A_MINUTE, usual * _A_MINUTE) if usual else None

    def usual(self, host: Prefix | None) -> float:
        """The connections a second that usually begin there."""
        found = self.newcomers(host)
        return found.usual / 60 if found else 0.0

    def figures(self) -> list[Figures]:
        """Each service that serves, those that serve most first."""
        with self._lock:
            return list(self._all())

    def _all(self) -> list[Figures]:
        if self._figures is None:
            found = [_figures(at, known) for at, known in self._known.items() if known.before]
            self._figures = sorted(found, key=lambda each: -max(each.served, each.usual or 0.0))
        return self._figures

    def failing(self) -> list[str]:
        """In which way services fail those who ask."""
        with self._lock:
            if self._failing is None:
                self._failing = [told for each in self._all() if (told := each.fails)]
            return list(self._failing)

    def totals(self) -> Mapping[int, float]:
        """Connections over TCP and answers over UDP so far, by protocol."""
        with self._lock:
            found = dict(self._served)
            for service, known in self._known.items():
                if self._counts:  # less than before, if it begins anew
                    more = self._counts(service).count - known.counts.count
                    found[service.protocol] += max(more, 0)
        return found


def _since(before: Counts, now: Counts, asked: float) -> _Part | None:
    """What came between; None where the counts have begun anew."""
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
        of.last.served * _A_MINUTE,
        float(median(of.before)) * _A_MINUTE if known else None,
        of.last.asked * _A_MINUTE,
        _half(of.last.syn_acks),
        _half(of.last.data),
        _half(of.waited),
    )


def _half(waits: Sequence[int] | NDArray[np.float64]) -> float | None:
    """The seconds within which half of them were, None of few."""
    total = sum(waits)
    if total < _MEASURED:
        return None
    return wait_bound(int(np.searchsorted(np.cumsum(waits), total / 2)))


def asks_udp(packets: PacketArray) -> NDArray[np.bool_]:
    """Which packets ask a UDP service; of HTTP/3 those of new clients, as its answers count."""
    to = packets["destination_port"]
    asking = (packets["protocol"] == UDP) & (to >= 0) & within(SERVICES, to)
    new = (to != HTTPS) | (packets["traffic"] == Traffic.QUIC_INITIAL)
    return np.asarray(asking & new)


def _asked(packets: PacketArray) -> Iterator[tuple[Service, float]]:
    """The services that packets ask, and how many do."""
    # the ports of a SYN may be behind what is copied of it
    syns = (packets["traffic"] == Traffic.SYN) & (packets["destination_port"] >= 0)
    asking = packets[asks_udp(packets) | syns]
    if not len(asking):
        return
    keys = np.zeros((len(asking), 3), np.uint64)
    keys[:, :2] = np.ascontiguousarray(asking["destination"]).view(np.uint64).reshape(-1, 2)
    keys[:, 2] = asking["destination_port"].astype(np.uint64) << np.uint64(16)
    keys[:, 2] |= asking["protocol"].astype(np.uint64) << np.uint64(8) | asking["family"]
    _, first, places = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    sums = np.bincount(places.reshape(-1), asking["weight"])
    for each, asked in zip(asking[first], sums.tolist(), strict=True):
        port = int(each["destination_port"])
        yield Service(destination(each), int(each["protocol"]), port), asked
