# SPDX-License-Identifier: GPL-2.0-or-later
"""The accuracy of limits while two CPUs send as fast as they can."""

import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Event

from bench import sources
from bench.cases import frame_from
from bench.filters import loaded
from bench.measure.signatures import PART, arm
from bench.report.results import Bar, Case, Results
from bench.walks import Walks
from xdpctl.abi.constants import Reason
from xdpctl.datapath.bpf import programs
from xdpctl.datapath.loader.compiler import Compiled
from xdpctl.datapath.pinned import PinnedDatapath
from xdpctl.lab.flood import Generator
from xdpctl.model.effect import Action
from xdpctl.model.match.match import build
from xdpctl.model.rate import Rate

RATE = 10_000  # packets a second from all sources together
_CPUS = 2
_TURN = 1 << 16
_SETTLE_SECONDS = 0.5  # until the burst is used up
_OFF = Bar(3)  # percent


def measure(
    results: Results, compiled: Compiled, generator: Generator, rounds: int, seconds: float
) -> None:
    """Measure one limit for all sources, and one per source with a thousand sources."""
    if len(os.sched_getaffinity(0)) < _CPUS:
        results.notes.append(f"limits were not measured, which needs {_CPUS} CPUs")
        return
    limits = ((1, Rate(pps=RATE)), (1_000, Rate(pps=RATE / 1_000, burst=0.2, per_ipv4=32)))
    for count, limit in limits:
        name = f"{RATE:,} packets/s allowed, {sources.label(count, 'source').replace('es', 's')}"
        case = results.declare(Case(PART, f"off the limit: {name}", "%", bars=(_OFF,)))
        for _ in range(rounds):
            case.rounds.append(_off(compiled, generator, count, limit, seconds))


def _off(
    compiled: Compiled, generator: Generator, count: int, limit: Rate, seconds: float
) -> float:
    """The difference between the rate that passed and the limit, in percent of the limit."""
    generator.aim(frame_from(bytes((198, 51, 100, 7))), sources.packed(sources.exact(count)))
    with loaded(compiled) as (port, datapath):
        arm(datapath, [build({"protocol": "udp"})], Action.LIMIT, limit)
        walk = Walks(generator).over(port.program_fd)
        with _sending(generator, walk):
            time.sleep(_SETTLE_SECONDS)
            began, before = time.monotonic(), _passed(datapath)
            time.sleep(seconds)
            passed, took = _passed(datapath) - before, time.monotonic() - began
    return abs(passed / (RATE * took) - 1) * 100


def _passed(datapath: PinnedDatapath) -> int:
    return datapath.counters()["bench"][Reason.NO_RULE].packets


@contextmanager
def _sending(generator: Generator, program_fd: int) -> Iterator[None]:
    """Run the program repeatedly on each of two CPUs during the block."""
    stop = Event()

    def send(cpu: int) -> None:
        os.sched_setaffinity(0, {cpu})
        while not stop.is_set():
            programs.run(program_fd, generator.frame, _TURN)

    with ThreadPoolExecutor(_CPUS) as pool:
        senders = [pool.submit(send, cpu) for cpu in sorted(os.sched_getaffinity(0))[:_CPUS]]
        try:
            yield
        finally:
            stop.set()
        for sender in senders:
            sender.result()
