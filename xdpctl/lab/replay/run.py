# SPDX-License-Identifier: GPL-2.0-or-later
"""A recording through a loaded program, packet by packet, on as many CPUs as there are."""

import os
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from multiprocessing import get_context
from pathlib import Path

from xdpctl.base.net.pcap_reader import Skipped, packets
from xdpctl.datapath.bpf.programs import FRAME_MIN, Runner

ALONE_BYTES = 8 << 20  # a shorter recording is done sooner than processes are started
_BATCH = 1_000
_WORKERS = 4  # each reads the whole file, so that more would gain little


@dataclass(slots=True)
class Judged:
    """How often the program answered what."""

    packets: int = 0
    bytes: int = 0
    short: int = 0  # frames of less than an Ethernet header, which no program runs on
    values: Counter[int] = field(default_factory=Counter)
    skipped: Skipped = field(default_factory=Skipped)


def judge(program: int, path: Path) -> Judged:
    """Of every packet; RecordingError if the file is no recording."""
    workers = min(len(os.sched_getaffinity(0)), _WORKERS)
    if workers == 1 or not path.is_file() or path.stat().st_size < ALONE_BYTES:
        return _share(program, path, 0, 1)
    # forked, so that the descriptor of the program is theirs too
    with ProcessPoolExecutor(workers, get_context("fork")) as pool:
        asked = [pool.submit(_share, program, path, n, workers) for n in range(workers)]
        first, *others = [share.result() for share in asked]
    for other in others:
        first.packets += other.packets
        first.bytes += other.bytes
        first.short += other.short
        first.values.update(other.values)
        first.skipped.cut += other.skipped.cut
        first.skipped.links += other.skipped.links
    return first


def _share(program: int, path: Path, start: int, step: int) -> Judged:
    """Every `step`th packet."""
    judged = Judged()
    ask, mine = Runner(program).run, packets(path, judged.skipped, start, step)
    while batch := list(islice(mine, _BATCH)):
        frames = [frame for frame, _ in batch if len(frame) >= FRAME_MIN]
        judged.packets += len(batch)
        judged.bytes += sum(length for _, length in batch)
        judged.short += len(batch) - len(frames)
        judged.values.update(map(ask, frames))
    return judged
