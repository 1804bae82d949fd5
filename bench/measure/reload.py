# SPDX-License-Identifier: GPL-2.0-or-later
"""The cost per packet of a flood while a set of a million is replaced, compared with just before.

The flood is sent and dropped on one core, and all xdpctl processes run on the other cores. So the
figures show how a change slows the look-ups of packets, and not competition for the core, where a
network card's interrupts have priority over every process.
"""

import os
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from threading import Event

from bench import sources
from bench.core import confine, flood, frames_received
from bench.errors import BenchError
from bench.measure.million import COUNT, DIFFERENT, NAME, listing
from bench.report.results import Bar
from bench.service import Service
from xdpctl.base.net.prefix_arrays import Keys
from xdpctl.lab.flood import Generator, interface, udp_frame
from xdpctl.lab.namespaces import Host

STEADY = 40_000  # addresses of another set, which is not changed
_TURN = 1 << 16  # packets
_BEFORE_SECONDS = 2.0
_LEAST_TURNS = 4
_LOST_MOST = 0.02  # share of the packets; more are lost if something else used the core
_SLOWER = Bar(20)


@dataclass(frozen=True, slots=True)
class Turn:
    """A part of a flood, with its CPU time."""

    began: float
    ended: float
    cpu_seconds: float


@dataclass(frozen=True, slots=True)
class Line:
    """The host that floods from `far0`, and the box at the other end of the cable."""

    generator: Generator
    far: Host
    box: Host

    def aim(self, listed: Keys) -> None:
        index, _ = interface(self.far, "far0")
        _, mac = interface(self.box, "isp0")
        walked = sources.packed(sources.listed(listed, len(listed)))
        self.generator.aim(udp_frame(mac, "192.0.2.1", 53), walked, index)

    def start(self, stop: Event, cpu: int) -> "Future[list[Turn]]":
        def turns() -> list[Turn]:
            done = []
            while not stop.is_set():
                began = time.monotonic()
                seconds = flood(self.generator, _TURN, cpu)
                done.append(Turn(began, time.monotonic(), seconds))
            return done

        return self.far.start(turns)


def measure(take: Callable[..., None], notes: list[str], running: Service, line: Line) -> None:
    """Replace a set by a list of which 1 % is new, and then by one that is all new."""
    cpus = os.sched_getaffinity(0)
    if len(cpus) < 2:
        notes.append("reloads under a flood were not measured, which needs two cores")
        return
    cpu = max(cpus)
    for pid in running.processes():
        confine(pid, cpus - {cpu})
    everything = sources.exact(2 * COUNT + DIFFERENT + STEADY)
    running.put("steady", "".join(f"{t}\n" for t in sources.texts(everything[-STEADY:])).encode())
    running.put(NAME, listing(0))
    for what, body, flooding in (
        ("1 % differs", listing(DIFFERENT), everything[DIFFERENT:COUNT]),
        ("all of it differs", listing(COUNT + DIFFERENT), everything[-STEADY:]),
    ):
        line.aim(flooding)
        before, during, seconds = _reload(running, line, body, cpu)
        take(f"replace under a flood, {what}", "s", seconds)
        take(f"a flood's packet before that, {what}", "ns", before)
        take(f"slower while it is replaced, {what}", "%", (during / before - 1) * 100, _SLOWER)


def _reload(running: Service, line: Line, body: bytes, cpu: int) -> tuple[float, float, float]:
    """The nanoseconds per packet before and during a PUT, and the seconds of the PUT."""
    stop, arrived_before = Event(), frames_received(line.box, "isp0")
    future = line.start(stop, cpu)
    try:
        time.sleep(_BEFORE_SECONDS)
        began = time.monotonic()
        seconds = running.put(NAME, body)
        ended = time.monotonic()
    finally:
        stop.set()
        turns = future.result()
    sent, arrived = len(turns) * _TURN, frames_received(line.box, "isp0") - arrived_before
    if arrived < sent * (1 - _LOST_MOST):
        raise BenchError(f"only {arrived} of {sent} packets of the flood arrived")
    before = [turn for turn in turns if turn.ended <= began]
    during = [turn for turn in turns if began <= turn.began and turn.ended <= ended]
    return _cost(before[1:]), _cost(during), seconds


def _cost(turns: list[Turn]) -> float:
    if len(turns) < _LEAST_TURNS:
        raise BenchError(f"only {len(turns)} parts of the flood, too few for a figure")
    return sum(turn.cpu_seconds for turn in turns) / (len(turns) * _TURN) * 1e9
