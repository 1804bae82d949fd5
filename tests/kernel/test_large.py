# SPDX-License-Identifier: GPL-2.0-or-later
"""Tables with tens of thousands of entries: bulk writes, growing and shrinking under traffic."""

import random
import threading
from collections.abc import Sequence
from types import TracebackType
from typing import Self

import numpy as np
import pytest

from tests.kernel.conftest import VERDICTS, Filter
from tests.kernel.listings import (
    ACCEPTING,
    DROPPING,
    ByFamily,
    Oracle,
    joined,
    keys_of,
    listed,
    listing,
    prefixes_of,
    random_keys,
    random_singles,
)
from tests.support.packets import to_frame
from xdpctl.abi.constants import Action, Reason
from xdpctl.base.net.prefix import Prefix
from xdpctl.datapath.bpf import programs

SIZES = ((30_000, 15_000), (60_000, 30_000), (200, 50), (40_000, 20_000))
STEPS = (1_000, 20_000, 500, 70_000, 6_000, 90_000, 30, 45_000)
REPEAT = 500_000  # a run takes 20 ms to set up
DROPPED = "203.0.113.7", "203.0.113.8", "198.51.100.0/24", "2001:db8::7", "2001:db8:7::/48"
ACCEPTED = "198.51.100.9", "198.51.100.64/26", "2001:db8:7::9", "2001:db8:7:8::/64"
FROM_DROPPED = "203.0.113.7", "198.51.100.1", "203.0.113.8", "2001:db8::7", "2001:db8:7::1"
FROM_ACCEPTED = "198.51.100.9", "198.51.100.65", "2001:db8:7::9", "2001:db8:7:8::1"


def fresh() -> tuple[int, np.random.Generator]:
    """A seed to report, and a random generator with it."""
    seed = random.SystemRandom().getrandbits(32)
    return seed, np.random.default_rng(seed)


def text(source: Prefix) -> str:
    return str(source).split("/")[0]


def some(rng: np.random.Generator, keys: ByFamily, count: int) -> list[Prefix]:
    prefixes = prefixes_of(keys)
    return [prefixes[at] for at in rng.integers(0, len(prefixes), count).tolist()]


def inside(rng: np.random.Generator, prefix: Prefix) -> Prefix:
    """A random address inside a prefix."""
    size = len(prefix.address)
    host = int.from_bytes(rng.bytes(size), "big") >> prefix.length
    number = int.from_bytes(prefix.address, "big") | host
    return Prefix(number.to_bytes(size, "big"), size * 8)


def around(rng: np.random.Generator, prefix: Prefix) -> Prefix:
    """The prefix itself, a wider one, or a narrower one."""
    roll = int(rng.integers(3))
    if roll == 0:
        return prefix.widened(max(8, prefix.length - int(rng.integers(1, 9))))
    if roll == 1:
        exact = inside(rng, prefix)
        return exact.widened(int(rng.integers(prefix.length, exact.length + 1)))
    return prefix


@pytest.mark.parametrize("repaints", [True, False])
def test_large_random_tables_decide_like_a_dictionary(large: Filter, repaints: bool) -> None:
    seed, rng = fresh()
    for sizes in SIZES:
        drop = random_keys(rng, *sizes)
        accept = keys_of(around(rng, prefix) for prefix in some(rng, drop, sizes[1] // 3))
        large.replace_set(DROPPING, listing(drop))
        large.replace_set(ACCEPTING, listing(accept, Action.ACCEPT))
        if repaints:
            list(large.datapath.source.repaint())
        oracle = Oracle(drop, accept)
        probes = [*some(rng, drop, 900), *some(rng, accept, 500)]
        probes += some(rng, random_keys(rng, 400, 400), 500)
        seen = set()
        for source in (inside(rng, prefix) for prefix in probes):
            reason, frame = oracle.reason(source), to_frame(text(source))
            where = f"seed {seed}, {sizes}, {source}"
            assert large.datapath.explain(frame).reason.name == reason, where
            assert large.run(frame) == ("drop" if reason == "DROPPED" else "pass"), where
            seen.add(reason)
        assert seen == {"DROPPED", "ACCEPTED", "NO_RULE"}


class Traffic:
    """Packets from listed sources through a program of their own while the block runs."""

    def __init__(self, large: Filter, name: str, sources: Sequence[str], verdict: str) -> None:
        self.program = large.loader.add_port(name).program_fd
        self.frames, self.verdict = [to_frame(source) for source in sources], verdict
        self.runs = 0
        self.wrong: list[bytes] = []
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        while not self._done.is_set():
            for frame in self.frames:
                self.runs += 1
                if VERDICTS[programs.run(self.program, frame, REPEAT).value] != self.verdict:
                    self.wrong.append(frame)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._done.set()
        self._thread.join()


def met(large: Filter, port: str) -> dict[Reason, int]:
    """The reasons counted on a port, and the number of packets of each."""
    counted = large.datapath.counters()[port]
    return {reason: hits.packets for reason, hits in counted.items() if hits.packets}


def test_verdicts_stay_right_while_tables_grow_and_shrink(large: Filter) -> None:
    seed, rng = fresh()
    large.replace_set(DROPPING, listed(*DROPPED))
    large.replace_set(ACCEPTING, listed(*ACCEPTED, action=Action.ACCEPT))
    sizes = [large.datapath.source.tables[n].cells.flat.size for n in (4, 6)]
    grew = shrank = 0
    with (
        Traffic(large, "dropped", FROM_DROPPED, "drop") as dropped,
        Traffic(large, "accepted", FROM_ACCEPTED, "pass") as accepted,
    ):
        for count in STEPS:
            others = random_keys(rng, count, count // 2)
            large.replace_set(DROPPING, listed(*DROPPED, also=others))
            halves = keys_of(prefixes_of(others)[::2])
            large.replace_set(ACCEPTING, listed(*ACCEPTED, action=Action.ACCEPT, also=halves))
            large.replace_set(ACCEPTING, listed(*ACCEPTED, action=Action.ACCEPT))
            for _ in large.datapath.source.repaint():
                pass
            now = [large.datapath.source.tables[n].cells.flat.size for n in (4, 6)]
            grew += now[0] > sizes[0] and now[1] > sizes[1]
            shrank += now[0] < sizes[0] and now[1] < sizes[1]
            sizes = now
    assert (grew, shrank) == (5, 3), f"seed {seed}"
    assert not dropped.wrong
    assert not accepted.wrong
    assert met(large, "dropped") == {Reason.DROPPED: REPEAT * dropped.runs}, f"seed {seed}"
    assert met(large, "accepted") == {Reason.ACCEPTED: REPEAT * accepted.runs}, f"seed {seed}"


def unseen(large: Filter, keys: ByFamily, every: int = 1) -> list[str]:
    """Single addresses among the keys whose packets the program does not drop."""
    exact = [prefix for prefix in prefixes_of(keys) if prefix.exact][::every]
    return [str(p) for p in exact if large.run(to_frame(text(p))) != "drop"]


def test_no_entry_is_lost_if_a_table_grows_during_a_repaint(large: Filter) -> None:
    seed, rng = fresh()
    first, more = random_keys(rng, 20_000, 10_000), random_keys(rng, 80_000, 40_000)
    large.replace_set(DROPPING, listing(first))
    steps = large.datapath.source.repaint()
    next(steps)
    large.replace_set(DROPPING, listing(joined(first, more)))
    list(steps)
    assert not unseen(large, first, 20), f"seed {seed}"


def test_entries_moved_during_a_repaint_are_not_lost(large: Filter) -> None:
    seed, rng = fresh()
    for _ in range(8):
        first, more = (random_singles(rng, count) for count in (8_500, 7_800))
        large.replace_set(DROPPING, listing(first))
        steps = large.datapath.source.repaint()
        next(steps)
        large.replace_set(DROPPING, listing(joined(first, more)))
        list(steps)
        assert not unseen(large, first), f"seed {seed}"
        large.empty()
