# SPDX-License-Identifier: GPL-2.0-or-later
"""The CPU time of a flood that is sent and received on one core."""

import json
import os
import time
from functools import cache
from pathlib import Path

from bench.errors import BenchError
from xdpctl.datapath.bpf import programs
from xdpctl.lab.flood import Generator
from xdpctl.lab.namespaces import Host

_BATCH = 64


def flood(generator: Generator, packets: int, cpu: int) -> float:
    """Send a flood; return the CPU seconds of the sending thread and of ksoftirqd on `cpu`.

    The receiver's softirqs run in the time of both. The flood is sent from the calling thread's
    namespace, and the thread stays on `cpu`.
    """
    os.sched_setaffinity(0, {cpu})
    fd, frame = generator.redirect_fd, generator.frame
    start = time.thread_time() + _ksoftirqd_seconds(cpu)
    try:
        programs.run(fd, frame, packets, programs.F_TEST_XDP_LIVE_FRAMES, batch=_BATCH)
    except PermissionError as error:
        raise BenchError(
            "this kernel refuses the live frames of BPF_PROG_TEST_RUN, which the parts veth and "
            "bridge need; --part measures others"
        ) from error
    return time.thread_time() + _ksoftirqd_seconds(cpu) - start


@cache
def _ksoftirqd(cpu: int) -> Path:
    for path in Path("/proc").glob("[0-9]*/comm"):
        if path.read_text().strip() == f"ksoftirqd/{cpu}":
            return path.with_name("schedstat")
    raise BenchError(f"there is no ksoftirqd/{cpu}")


def _ksoftirqd_seconds(cpu: int) -> float:
    return int(_ksoftirqd(cpu).read_text().split()[0]) / 1e9


def frames_received(host: Host, device: str) -> int:
    """The number of frames that a device has received so far."""
    (link,) = json.loads(host.ip(f"-j -s link show dev {device}"))
    return int(link["stats64"]["rx"]["packets"])


def confine(pid: int, cpus: set[int]) -> None:
    """Restrict all threads of a process to `cpus`, including the threads that they will start."""
    for task in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(task.name), cpus)
