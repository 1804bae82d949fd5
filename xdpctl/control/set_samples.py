# SPDX-License-Identifier: GPL-2.0-or-later
"""Finds which entries of a set hit most, from samples of its packets during a request."""

import threading
import time
from collections import Counter
from dataclasses import dataclass

import numpy as np

from xdpctl.abi.constants import SlotNumber
from xdpctl.abi.structs import Sample
from xdpctl.base.net.prefix import Prefix
from xdpctl.base.net.prefix_arrays import FAMILIES, within
from xdpctl.datapath.port import Datapath
from xdpctl.errors import ConflictError
from xdpctl.model.source_set import Entries

_PAUSE_SECONDS = 0.02
_SAMPLES_MAX = 200_000
_watching = threading.Lock()


@dataclass(frozen=True, slots=True)
class Top:
    """What was sampled in `seconds`: one packet in `every` on each CPU.

    `entries` and `sources` have the most frequent ones with their number of samples.
    """

    seconds: float
    every: int
    samples: int
    entries: list[tuple[Prefix, int]]
    sources: list[tuple[Prefix, int]]


def watch(
    datapath: Datapath, slot: int, entries: Entries, seconds: float, every: int, most: int
) -> Top:
    """Sample a slot's packets for `seconds`, one in `every` (a power of two).

    Returns the `most` frequent entries and sources. ConflictError while another sampling runs.
    """
    if not _watching.acquire(blocking=False):
        raise ConflictError("another sampling is running", "", "ask again in a few seconds")
    by_source: Counter[Prefix] = Counter()
    began = time.monotonic()
    try:
        for _ in datapath.samples():
            pass  # left over from an earlier watch
        datapath.watch(slot, every - 1)
        while (left := began + seconds - time.monotonic()) > 0:
            time.sleep(min(left, _PAUSE_SECONDS))
            by_source.update(map(_source, (s for s in datapath.samples() if s.slot == slot)))
            if by_source.total() >= _SAMPLES_MAX:
                break
    finally:
        datapath.watch(SlotNumber.NONE, 0)
        _watching.release()
    elapsed = time.monotonic() - began
    by_entry = Counter[Prefix]()
    for source, count in by_source.items():
        by_entry[_entry(entries, source)] += count
    return Top(
        elapsed, every, by_source.total(), by_entry.most_common(most), by_source.most_common(most)
    )


def _source(sample: Sample) -> Prefix:
    size = 4 if sample.family == 4 else 16
    return Prefix(sample.source[:size], size * 8)


def _entry(entries: Entries, source: Prefix) -> Prefix:
    """The most specific entry that covers a source; the source if the entry has been removed."""
    around = [source.widened(n) for n in range(source.length, -1, -1)]
    listed = within(entries[source.family], FAMILIES[source.family].keys(around))
    at = np.flatnonzero(listed)
    return around[int(at[0])] if len(at) else source
