# SPDX-License-Identifier: GPL-2.0-or-later
"""A grace period: nothing is freed while a program still uses what it read before."""

import os
import threading

from tests.conftest import need
from tests.kernel.conftest import Filter
from tests.kernel.listings import DROPPING, listed
from tests.support.packets import to_frame
from xdpctl.datapath.bpf import programs, rcu

SECONDS = 0.04  # seconds of one RCU read-side section if no other task wants the CPU
FEW = 20_000  # packets
TRIES, LEAST = 9, 6


def test_waiting_ends_only_after_the_running_programs_have_ended(emptied: Filter) -> None:
    """The kernel leaves the RCU section during a long run only if another task is waiting."""
    mine, theirs, *_ = [*sorted(os.sched_getaffinity(0)), None]
    need(theirs is not None, "two CPUs")
    assert theirs is not None
    emptied.replace_set(DROPPING, listed("192.0.2.0/24"))
    frame, allowed = to_frame("192.0.2.7"), os.sched_getaffinity(0)
    nanoseconds = programs.run(emptied.program, frame, FEW).duration_ns
    packets = int(SECONDS * 1e9 / max(nanoseconds, 1))

    def run() -> None:
        os.sched_setaffinity(0, {theirs})
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(10))
        programs.run(emptied.program, frame, packets)

    ended = 0
    os.sched_setaffinity(0, {mine})
    try:
        for done in range(FEW, FEW + TRIES * packets, packets):
            thread = threading.Thread(target=run)
            thread.start()
            while emptied.set_hits(DROPPING)[0] == done and thread.is_alive():
                pass
            rcu.wait()
            ended += emptied.set_hits(DROPPING)[0] == done + packets
            thread.join()
    finally:
        os.sched_setaffinity(0, allowed)
    assert ended >= LEAST
