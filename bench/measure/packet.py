# SPDX-License-Identifier: GPL-2.0-or-later
"""The filter's cost per packet: BPF_PROG_TEST_RUN, in the same rounds as a bare drop."""

import os
import time
from collections.abc import Sequence
from contextlib import ExitStack

from bench import cases, sources
from bench.cases import PART, Run
from bench.errors import BenchError
from bench.filters import check, xdp_filter
from bench.report.results import Results
from bench.walks import Walks
from xdpctl.datapath.bpf import programs
from xdpctl.datapath.loader.compiler import Compiled
from xdpctl.errors import XdpctlError
from xdpctl.lab.flood import Generator
from xdpctl.lab.namespaces import Lab

__all__ = ["PART", "measure"]
_CHECKED = 1_000


class Bench:
    """Measures one run at a time."""

    def __init__(self, generator: Generator, repeat: int) -> None:
        self._generator, self._walks = generator, Walks(generator)
        self._repeat = repeat

    def _aim(self, run: Run) -> int:
        """Set up a run; the descriptor of the program to start."""
        if run.prepare:
            run.prepare()
        if not run.walked:
            return run.program_fd
        self._generator.aim(run.frame, run.walked)
        return self._walks.over(run.program_fd)

    def check(self, run: Run) -> None:
        fd = self._aim(run)
        times = _CHECKED if run.walked else 1
        check(fd, run.frame, run.verdict, run.case.name, times)

    def take(self, run: Run) -> None:
        """Measure a run in CPU time: duration_ns is in whole ns and includes other work."""
        fd = self._aim(run)
        programs.run(fd, run.frame, self._repeat // 10)
        start = time.thread_time_ns()
        result = programs.run(fd, run.frame, self._repeat)
        run.case.rounds.append((time.thread_time_ns() - start) / self._repeat)
        if result.value != run.verdict:
            raise BenchError(f"{run.case.name}: the program returned {result.value}")


def measure(
    results: Results, compiled: Compiled, generator: Generator, rounds: int, repeat: int
) -> None:
    """Measure every case, including the floors, in every round."""
    runs = [*cases.floors(generator.bare_fd), *cases.of_ours(compiled)]
    with Lab("bench") as lab, ExitStack() as stack:
        host, far = lab.host("packet"), lab.host("far")
        lab.cable(host, "isp0", far, "far0")
        try:
            peer = stack.enter_context(xdp_filter(host, "isp0", sources.exact(1)))
            runs += cases.of_peer(peer)
        except XdpctlError as error:
            results.notes.append(f"no xdp-filter: {error}")
        take_all(results, runs, generator, rounds, repeat)


def take_all(
    results: Results, runs: Sequence[Run], generator: Generator, rounds: int, repeat: int
) -> None:
    """Check every run, measure each in every round, and close their programs."""
    bench = Bench(generator, repeat)
    for run in runs:
        results.declare(run.case)
        bench.check(run)
    for _ in range(rounds):
        for run in runs:
            bench.take(run)
    for fd in {run.program_fd for run in runs} - {generator.bare_fd}:
        os.close(fd)
