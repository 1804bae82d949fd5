# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs every flood at every place, and writes its page to the given folder."""

import os
import platform
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from statistics import median

from tests.lab.behind import scenario
from tests.lab.behind.floods import PPS, Flood, flooding
from tests.lab.behind.places import PLACES
from xdpctl.lab.flood import Generator, compile_generator

_SECONDS = 5.0
_CHALLENGED_PPS, _NEWCOMERS = 150_000, 200
_HEAD = """# Who is logged in, through floods

{sessions} HTTP sessions and 20 conversations over UDP (8 like RTP, 6 in the shape of WireGuard, 6
of DNS; 50 packets a second each way) come from the networks that attack, with the box as a bridge
before their server, as a router before it, and as the server itself. Written by `make sessions`, in
a lab of network namespaces: {cpus} cores, kernel {kernel}.

Each flood has {pps:,} packets a second from forged sources of the same networks, the clients' own
addresses among them, with changing ports. A limit of 500 packets a second is switched on in its
middle, and a drop {seconds:g} seconds later; both spare known flows.

- **broken**: sessions that ended, or waited for an answer longer than 8 seconds
- **slowest**: the longest wait for an answer in that time
- **lost**: of the conversation that lost most, the share of its packets that went in
- **passed as known**: packets that the flow memory let through: those of the people, and forged
  ones that hit the addresses and ports of a flow by chance

| place | flood | broken | slowest, ms | lost | dropped | passed as known |
|---|---|--:|--:|--:|--:|--:|
"""
_FOOT = """
## Newcomers during a SYN flood

{newcomers} connections from addresses of the same networks, ten at a time, while {pps:,} forged
SYNs a second come and are challenged.

| place | got in | first time, median | again, median |
|---|--:|--:|--:|
"""


def _rows(kind: str, generator: Generator) -> Iterator[str]:
    with scenario.scene(kind, generator) as scene:
        for felt in scenario.every_flood(scene, _SECONDS):
            yield (
                f"| {kind} | {felt.flood} | {felt.broken} | {1e3 * felt.slowest:.0f} "
                f"| {felt.lost:.2%} | {felt.dropped:,} | {felt.known:,} |\n"
            )


def _newcomers(kind: str, generator: Generator) -> str:
    with scenario.scene(kind, generator) as scene:
        with flooding(scene.place, generator, "SYN", _CHALLENGED_PPS):
            scenario.sign(scene, Flood("SYN", "proto tcp"), action="challenge")
            time.sleep(2.0)
            first, again = (scenario.newcomers(scene, _NEWCOMERS) for _ in range(2))
        waits = [1e3 * median(wait for wait in all if wait) for all in (first, again)]
        share = sum(wait is not None for wait in first) / len(first)
        return f"| {kind} | {share:.1%} | {waits[0]:.1f} ms | {waits[1]:.1f} ms |\n"


def write(docs: Path) -> None:
    with closing(Generator(compile_generator())) as generator:
        rows = "".join(row for kind in PLACES for row in _rows(kind, generator))
        newcomers = "".join(_newcomers(kind, generator) for kind in PLACES)
    head = _HEAD.format(
        sessions=scenario.SESSIONS,
        pps=PPS,
        seconds=_SECONDS,
        cpus=os.cpu_count(),
        kernel=platform.release().partition("-")[0],
    )
    foot = _FOOT.format(newcomers=_NEWCOMERS, pps=_CHALLENGED_PPS)
    (docs / "sessions.md").write_text(head + rows + foot + newcomers)


if __name__ == "__main__":
    write(Path(sys.argv[1]))
