# SPDX-License-Identifier: GPL-2.0-or-later
"""`python -m bench.harm.beside OUT.json`: real programs without an attack, and beside floods."""

import json
import platform
import sys
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from socket import AF_INET6, inet_pton
from typing import NamedTuple

import numpy as np

from bench.detection import live
from bench.detection.frames import Sender, frames
from bench.detection.live import Scene
from bench.detection.made import ATTACKS, as_six
from bench.harm.programs import MISSING, Run, running
from tests.lab.behind.places import SETTINGS, SETTINGS6

CALM_SECONDS, FLOOD_SECONDS, _PAUSE_SECONDS = 30.0, 4.0, 1.0
_LONGEST_SECONDS = 600.0  # of a flood
RATE = 25_000.0
FLOOD = "the flood"  # of which as much as possible is to be lost
_TEN_MINUTES = 600.0
Lost = dict[str, tuple[float, float]]  # by program, of what it asked for


class Age(NamedTuple):
    """A box by its age: the seconds observed, whether it has a baseline, whether it detects.

    `place` is a bridge or a router before the server, or the server itself ("host"). `six`: the
    programs and the floods use IPv6.
    """

    name: str
    seconds: float = 30.0
    taught: bool = False
    detects: bool = True
    place: str = "bridge"
    six: bool = False


AGES = (
    Age("not detecting", 0.0, detects=False),
    Age("30 seconds"),
    Age("30 seconds, a router", place="router"),
    Age("30 seconds, on the server", place="host"),
    Age("30 seconds, IPv6", six=True),
    Age("10 minutes", _TEN_MINUTES),
    Age("a week", 0.0, taught=True),
)


@contextmanager
def people(age: Age) -> Iterator[tuple[Scene, Run]]:
    """Run a box of this age, and the programs beside it."""
    began = time.monotonic()
    settings = SETTINGS6 if age.six else SETTINGS
    box = live.scene(age.place, taught=age.taught, detects=age.detects, settings=settings)
    with box as scene, running(scene.place, age.six) as run:
        time.sleep(max(0.0, began + age.seconds - time.monotonic()))
        yield scene, run


def calm(run: Run, seconds: float) -> Lost:
    """Measure what the programs lose without an attack."""
    began = time.monotonic()
    time.sleep(seconds)
    until = time.monotonic()
    run.settle()
    return run.lost(began, until)


def _for_a_while() -> None:
    time.sleep(FLOOD_SECONDS)


def flooded(
    scene: Scene, run: Run, name: str, meanwhile: Callable[[], None] = _for_a_while
) -> Lost:
    """Measure what they lose during a flood and just after it; FLOOD is the flood itself.

    The flood lasts as long as `meanwhile` does. After FLOOD_SECONDS its flows are repeated.
    """
    random = np.random.default_rng(zlib.crc32(name.encode()))
    packets = ATTACKS[name](random, int(RATE * FLOOD_SECONDS))
    if run.at.six:
        packets = as_six(packets, inet_pton(AF_INET6, run.at.server))
    packets = packets[packets["packet_length"] <= 1_500]
    sender = Sender("far0", frames(packets, scene.place.mac), RATE, _LONGEST_SECONDS)
    kept_out, began = live.kept_out(scene), time.monotonic()
    sending = scene.place.world.start(sender.run)
    try:
        meanwhile()
    finally:
        sender.stop.set()
        sending.result()
    lost = {FLOOD: (float(live.kept_out(scene) - kept_out), float(sender.sent))}
    time.sleep(_PAUSE_SECONDS)
    until = time.monotonic()
    run.settle()
    return lost | run.lost(began, until)


def played(age: Age, floods: Iterable[str], seconds: float) -> dict[str, Lost]:
    """The losses at an age: without an attack (""), and beside each flood."""
    with people(age) as (scene, run):
        lost = {"": calm(run, seconds)}
        for name in floods:
            lost[name] = flooded(scene, run, name)
    return lost


def main(out: Path, names: list[str]) -> None:
    """Write the losses at each age, or only at the named ages, into the results file."""
    results = json.loads(out.read_text()) if out.exists() else {"ages": {}}
    if MISSING:
        raise SystemExit(f"install what people use: {', '.join(MISSING)}")
    results["kernel"] = platform.release().partition("-")[0]
    for age in AGES:
        if not names or age.name in names:
            results["ages"][age.name] = played(age, ATTACKS, CALM_SECONDS)
            out.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
