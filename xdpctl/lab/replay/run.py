# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs a recording through a loaded program, packet by packet, on the recording's own clock."""

import os
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from multiprocessing import get_context
from pathlib import Path

from xdpctl.base.net.pcap_reader import Skipped, packets
from xdpctl.datapath.bpf.programs import FRAME_MIN, Runner


@dataclass(slots=True)
class RecordedClock:
    """Turns the packets' times into a clock that never goes back; it begins at 1 ns.

    A packet that is late by up to a second gets the time of the latest one before it. If times step
    back further, the recording's clock was set: the clock goes on from there as if no time had
    passed. A packet without a time gets the time of the one before it.
    """

    ns: int = 1
    late: int = 0  # packets with an earlier time than a packet before them
    set_back: int = 0  # late packets at which the recording's clock was set back
    timeless: int = 0  # packets without a time
    _latest: int = 0

    def read(self, unix_ns: int) -> int:
        """The clock in ns at a packet with this time; 0 means that the packet has no time."""
        if not unix_ns:
            self.timeless += 1
            return self.ns
        ahead = unix_ns - (self._latest or unix_ns)
        if ahead < 0:
            self.late += 1
            if ahead >= -_REORDERED_NS:
                return self.ns
            self.set_back += 1
        else:
            self.ns = min(self.ns + min(ahead, _GAP_NS), _LAST_NS)
        self._latest = unix_ns
        return self.ns


ALONE_BYTES = 8 << 20  # a smaller file is read by one process, which is faster
_BATCH = 1_000
_LENGTH_MAX = 1 << 20  # bytes; the length in a damaged recording can be anything
_WORKERS = 4  # each worker reads the whole file, so more would gain little
_REORDERED_NS = 10**9  # several queues or network cards reorder packets by less than this
_GAP_NS = 4 * 3600 * 10**9  # by then every bucket is empty, so a longer gap changes nothing
_LAST_NS = 1 << 62


@dataclass(slots=True)
class Judged:
    """How often the program returned each value, and the packets and bytes of the recording."""

    packets: int = 0
    bytes: int = 0
    short: int = 0  # frames shorter than an Ethernet header, on which no program can run
    values: Counter[int] = field(default_factory=Counter)
    skipped: Skipped = field(default_factory=Skipped)
    clock: RecordedClock = field(default_factory=RecordedClock)


def judge(program: int, path: Path) -> Judged:
    """Run the program on every packet of a file, on several CPUs if it is long.

    RecordingError if it is not a recording.
    """
    workers = min(len(os.sched_getaffinity(0)), _WORKERS)
    if workers == 1 or not path.is_file() or path.stat().st_size < ALONE_BYTES:
        return _share(program, path, 0, 1)
    # fork, so that the workers inherit the program's descriptor
    with ProcessPoolExecutor(workers, get_context("fork")) as pool:
        shares = [pool.submit(_share, program, path, n, workers) for n in range(workers)]
        first, *others = [share.result() for share in shares]
    for other in others:
        first.packets += other.packets
        first.bytes += other.bytes
        first.short += other.short
        first.values.update(other.values)
        first.skipped.cut += other.skipped.cut
        first.skipped.links += other.skipped.links
    return first


def _share(program: int, path: Path, start: int, step: int) -> Judged:
    """Run the program on every `step`th packet, beginning with number `start`."""
    judged = Judged()
    ask, stream = Runner(program).run, packets(path, judged.skipped, start, step)
    while batch := list(islice(stream, _BATCH)):
        frames = [packet.frame for packet in batch if len(packet.frame) >= FRAME_MIN]
        judged.packets += len(batch)
        judged.bytes += sum(packet.length for packet in batch)
        judged.short += len(batch) - len(frames)
        judged.values.update(map(ask, frames))
    return judged


def judge_by_clock(program: int, path: Path, recorded: memoryview) -> Judged:
    """As `judge`, in one process: it sets `recorded`, the program's clock, before each packet."""
    judged = Judged()
    ask, read, values = Runner(program).run, judged.clock.read, judged.values
    for frame, length, unix_ns, _ in packets(path, judged.skipped):
        judged.packets += 1
        judged.bytes += length
        recorded[0], recorded[1] = read(unix_ns), min(length, _LENGTH_MAX)
        if len(frame) < FRAME_MIN:
            judged.short += 1
        else:
            values[ask(frame)] += 1
    recorded[0] = 0
    return judged
