# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether services inside serve: who gets in, against what is usual, and how long clients wait.

A connection counts when its client has acknowledged the SYN-ACK that went out, so forged packets do
not count; over UDP answers count. Services are named by what asks them.
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
from xdpctl.model.services import HTTPS, SERVICES
from xdpctl.traffic.packets import PacketArray, destination
from xdpctl.traffic.select import holds

_PART_SECONDS = 20.0
_A_MINUTE = 60 / _PART_SECONDS
_PARTS, _LEAST_PARTS = 180, 6  # an hour, and two minutes
_ENOUGH = 40.0  # connections or answers of a part that are usual: of fewer half may lack by chance
_FALLEN = 0.5  # of what is usual
_IN_VAIN, _IN_VAIN_LEAST = 0.5, 20.0  # who asks and is not served: of those who are; of a part
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
        in_vain = self.asked - self.served
        many = in_vain > max(_IN_VAIN * self.served, _IN_VAIN_LEAST * _A_MINUTE)
        if usual >= _ENOUGH * _A_MINUTE and self.served < _FALLEN * usual and many:
            of_tcp = self.service.protocol == TCP
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
    """A service that has served: its counts at the begin of this part, and who asked since."""

    counts: Counts
    asked: float = 0.0
    total: float = 0.0
    parts: deque[_Part] = field(default_factory=lambda: deque(maxlen=_PARTS))


class Served:
    """Counts in parts of 20 s; any thread may ask. `open_counts` opens the counts as of now."""

    def __init__(self, open_counts: Callable[[], CountsOf]) -> None:
        self._open_counts = open_counts
        self._counts: CountsOf | None = None
        self._known: dict[Service, _Known] = {}
        self._parts = 0
        self._served = {TCP: 0.0, UDP: 0.0}  # until this part
        self._ends = 0.0
        self._newcomers: dict[Prefix | None, Newcomers | None] = {}  # until the next part
        self._lock = Lock()

    def add(self, now: float, packets: PacketArray) -> None:
        """Take the packets that were seen up to a monotonic time."""
        with self._lock:
            if self._counts is None:
                self._counts, self._ends = self._open_counts(), now + _PART_SECONDS
            if now >= self._ends:
                self._end_part(self._counts)
                self._counts, self._ends = self._open_counts(), now + _PART_SECONDS
            for service, asked in _asked(packets):
                known = self._known.get(service) or self._met(service, self._counts(service))
                if known:
                    known.asked += asked

    def _met(self, service: Service, counts: Counts) -> _Known | None:
        """A service that is new here; None if it has not served anybody."""
        if not counts.count or len(self._known) >= _SERVICES_MAX:
            return None
        made = self._known[service] = _Known(counts)
        made.parts.extend([_Part()] * min(self._parts, _PARTS))
        return made

    def _end_part(self, counts_of: CountsOf) -> None:
        self._parts, self._newcomers = self._parts + 1, {}
        for service, known in list(self._known.items()):
            counts = counts_of(service)
            known.parts.append(part := _since(known.counts, counts, known.asked))
            self._served[service.protocol] += part.served
            known.total += part.served
            known.counts, known.asked = counts, 0.0
            if len(known.parts) == _PARTS and not any(part.served for part in known.parts):
                del self._known[service]

    def newcomers(self, host: Prefix | None) -> Newcomers | None:
        """Those at all services of a host or network, or of all; None if none are usual."""
        with self._lock:
            if host not in self._newcomers:
                self._newcomers[host] = self._newcomers_at(host)
            return self._newcomers[host]

    def _newcomers_at(self, host: Prefix | None) -> Newcomers | None:
        there = [
            [part.served for part in known.parts]
            for service, known in self._known.items()
            if service.protocol == TCP and (host is None or host.covers(service.host))
        ]
        if not there or len(there[0]) <= _LEAST_PARTS:
            return None
        *earlier, last = (sum(each) for each in zip(*there, strict=True))
        usual = float(median(earlier))
        return Newcomers(host, last * _A_MINUTE, usual * _A_MINUTE) if usual else None

    def usual(self, host: Prefix | None) -> float:
        """The connections a second that usually begin there."""
        found = self.newcomers(host)
        return found.usual / 60 if found else 0.0

    def figures(self) -> list[Figures]:
        """Each service that serves, those that serve most first."""
        with self._lock:
            found = [
                _figures(service, known) for service, known in self._known.items() if known.parts
            ]
        return sorted(found, key=lambda each: -max(each.served, each.usual or 0.0))

    def failing(self) -> list[str]:
        """In which way services fail those who ask."""
        return [each.fails for each in self.figures() if each.fails]

    def totals(self) -> Mapping[int, float]:
        """Connections that began over TCP and answers over UDP so far, by protocol."""
        with self._lock:
            found = dict(self._served)
            for service, known in self._known.items():
                if self._counts:
                    now = _since(known.counts, self._counts(service), 0.0)
                    found[service.protocol] += now.served
        return found


def _since(before: Counts, now: Counts, asked: float) -> _Part:
    """What came between; all of now where the counts have begun anew."""
    if now.count < before.count:
        before = Counts()
    syn_acks = (max(b - a, 0) for a, b in zip(before.syn_acks, now.syn_acks, strict=True))
    data = (max(b - a, 0) for a, b in zip(before.data, now.data, strict=True))
    return _Part(float(now.count - before.count), asked, tuple(syn_acks), tuple(data))


def _figures(service: Service, of: _Known) -> Figures:
    *earlier, last = of.parts
    known = len(earlier) >= _LEAST_PARTS
    return Figures(
        service,
        of.total,
        last.served * _A_MINUTE,
        float(median(part.served for part in earlier)) * _A_MINUTE if known else None,
        last.asked * _A_MINUTE,
        _half(last.syn_acks),
        _half(last.data),
        _half([sum(each) for each in zip(*(part.data for part in earlier), strict=True)]),
    )


def _half(waits: Sequence[int]) -> float | None:
    """The seconds within which half of them were, None of few."""
    total = sum(waits)
    if total < _MEASURED:
        return None
    return wait_bound(int(np.searchsorted(np.cumsum(waits), total / 2)))


def asks_udp(packets: PacketArray) -> NDArray[np.bool_]:
    """Which packets ask a UDP service; of HTTP/3 those of new clients, as its answers count."""
    to = packets["destination_port"]
    asking = (packets["protocol"] == UDP) & (to >= 0) & holds(SERVICES, to)
    new = (to != HTTPS) | (packets["traffic"] == Traffic.QUIC_INITIAL)
    return np.asarray(asking & new)


def _asked(packets: PacketArray) -> Iterator[tuple[Service, float]]:
    """The services that packets ask, and how many do."""
    asking = packets[asks_udp(packets) | (packets["traffic"] == Traffic.SYN)]
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
