# SPDX-License-Identifier: GPL-2.0-or-later
"""Completed handshakes by service, and which services get far fewer than usual.

A handshake counts when its ACK fits the SYN-ACK that went out, so forged packets do not count.
"""

from collections import deque
from dataclasses import dataclass
from statistics import median
from threading import Lock

import numpy as np

from xdpctl.abi.constants import KEPT_OUT
from xdpctl.base.net.prefix import Prefix, shown
from xdpctl.traffic.packets import PacketArray

Service = tuple[Prefix, int]  # the host, and the TCP port
_PART_SECONDS = 20.0
_PARTS, _LEAST_PARTS = 180, 6  # an hour, and two minutes
_ENOUGH = 40.0  # handshakes of a part that are usual: of fewer half may be missing by chance
_FALLEN = 0.5  # of what is usual
_SERVICES_MAX = 1_000
_BELIEVED = 5_000.0  # handshakes a second of a host


@dataclass(frozen=True, slots=True)
class Fallen:
    """A service with the handshakes a second that it gets now, and those that are usual."""

    service: Service
    now: float
    usual: float

    def __str__(self) -> str:
        host, port = self.service
        return (
            f"newcomers complete {self.now:.1f} handshakes a second at "
            f"{str(host).partition('/')[0]} port {port}, and {self.usual:.1f} are usual"
        )


@dataclass(frozen=True, slots=True)
class Newcomers:
    """Handshakes a minute at a host or network, or at all: of now, and those that are usual."""

    host: Prefix | None
    now: float
    usual: float

    def __str__(self) -> str:
        where = f" at {shown(self.host)}" if self.host else ""
        return f"{self.now:.0f} newcomers a minute get in{where}, usually {self.usual:.0f}"


class Handshakes:
    """Counts in parts of 20 s; any thread may ask."""

    def __init__(self) -> None:
        self._parts: deque[dict[Service, float]] = deque(maxlen=_PARTS)
        self._counting: dict[Service, float] = {}
        self._ends: float | None = None
        self._known: dict[Prefix | None, Newcomers | None] = {}  # until the next part
        self._lock = Lock()

    def add(self, now: float, packets: PacketArray) -> None:
        """Take the packets that were seen up to a monotonic time."""
        with self._lock:
            if self._ends is None:
                self._ends = now + _PART_SECONDS
            if now >= self._ends:
                self._parts.append(self._counting)
                self._known = {}
                self._counting, self._ends = {}, now + _PART_SECONDS
            shaken = packets[packets["shaken"] != 0]
            for packet in shaken:
                size = 4 if packet["family"] == 4 else 16
                address = bytes(packet["destination"]).ljust(size, b"\0")[:size]
                service = Prefix(address, size * 8), int(packet["destination_port"])
                if service in self._counting or len(self._counting) < _SERVICES_MAX:
                    count = self._counting.get(service, 0.0) + float(packet["weight"])
                    self._counting[service] = min(count, _BELIEVED * _PART_SECONDS)

    def newcomers(self, host: Prefix | None) -> Newcomers | None:
        """Those at all services of a host or network, or of all; None if none are usual."""
        with self._lock:
            known, parts = self._known, list(self._parts)
        if host not in known:
            known[host] = _newcomers(host, parts)
        return known[host]

    def usual(self, host: Prefix | None) -> float:
        """The handshakes a second that are usual there."""
        found = self.newcomers(host)
        return found.usual / 60 if found else 0.0

    def fallen(self) -> list[Fallen]:
        """Services that got less than half of what is usual in the last whole part."""
        with self._lock:
            *earlier, last = self._parts or [{}]
        if len(earlier) < _LEAST_PARTS:
            return []
        found = []
        for service in set().union(*earlier):
            usual = float(median(part.get(service, 0.0) for part in earlier))
            now = last.get(service, 0.0)
            if usual >= _ENOUGH and now < _FALLEN * usual:
                found.append(Fallen(service, now / _PART_SECONDS, usual / _PART_SECONDS))
        return sorted(found, key=lambda each: each.now - each.usual)


def _newcomers(host: Prefix | None, parts: list[dict[Service, float]]) -> Newcomers | None:
    if len(parts) <= _LEAST_PARTS:
        return None
    *earlier, last = (
        sum(n for (at, _), n in part.items() if host is None or host.covers(at)) for part in parts
    )
    usual, a_minute = float(median(earlier)), 60 / _PART_SECONDS
    return Newcomers(host, last * a_minute, usual * a_minute) if usual else None


def completed(shaken: PacketArray, seconds: float) -> float:
    """How many handshakes were completed within so many seconds, from sampled ACKs.

    A sampled ACK stands for many, and whoever sends one may send it again and again: so of a host
    no more are believed than a busy one gets.
    """
    words = np.ascontiguousarray(shaken["destination"]).view(np.uint64).reshape(-1, 2)
    _, places = np.unique(words, axis=0, return_inverse=True)
    sums = np.bincount(places.reshape(-1), shaken["weight"])
    return float(np.minimum(sums, _BELIEVED * seconds).sum())


def rates_of_slots(packets: PacketArray, seconds: float) -> dict[int, float]:
    """The packets a second that each rule's slot kept out, from sampled packets."""
    packets = packets[np.isin(packets["reason"], KEPT_OUT)]
    slots, places = np.unique(packets["slot"], return_inverse=True)
    sums = np.bincount(places, packets["weight"], len(slots))
    return {int(slot): float(count) / seconds for slot, count in zip(slots, sums, strict=True)}
