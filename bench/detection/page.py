# SPDX-License-Identifier: GPL-2.0-or-later
"""Measures the embedded detector, and writes its page to the given folder: `make detection`."""

import os
import platform
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median

import numpy as np

from bench.detection import live, quiet, recorded
from bench.detection.live import Felt, Scene
from bench.detection.made import ATTACKS
from bench.detection.synthesis import Outcome, all_judged
from tests.lab.behind.floods import FLOODS, flooding
from tests.support.watching import World, began
from xdpctl.abi.constants import Traffic
from xdpctl.flood.settings import FLOORS

_WITH_CORPUS = 2
_RATES = (20_000, 100_000, 300_000)
_HEAD = """# Detection, measured

Written by `make detection`, in a lab of network namespaces: {cpus} cores, kernel {kernel}. The
traffic is made: {attacks} attacks, and normal traffic to one public address of a school (web and
mail servers, and pupils behind NAT), as `bench/detection/made.py` has them. What follows is about
these models and about this machine; real traffic differs.

## What it finds

Each attack is shown to the detector with a tenth of normal traffic in it, then made anew and
judged; what is hit of normal traffic is judged by 100,000 packets that it has not seen. Rates are
25,000 packets/s, and a week of normal traffic is known. **{good} of {attacks} are dropped to 95 %
or more with at most 1 % of any kind of normal traffic; on average {mean:.4%} of normal packets are
hit.** The others are held by a limit or a challenge; known flows are spared in every one.

| attack | dropped | challenged | limited | of normal traffic | worst kind | ms |
|---|--:|--:|--:|--:|--:|--:|
"""
_LIVE = """
## From the first packet to the rule in force

The running product, as a bridge before a server, with 50 HTTP sessions and 20 conversations over
UDP through it. Each attack comes at about 25,000 packets/s for three seconds; the detector knows a
week of normal traffic. *Held* is the time from the first packet sent to the first one kept out;
*kept out* is the share of the whole flood. Sessions that broke: {broken}; packets lost in the worst
conversation: {lost:.2%}.

**Median {p50:.0f} ms, 95th percentile {p95:.0f}, worst {worst:.0f}.**

| attack | held, ms | kept out | by |
|---|--:|--:|---|
"""
_FAST = """
The same with floods of one frame each, which the generator in the kernel sends; it takes a core
for itself:

| flood | {rates} |
|---|{lines}|
"""
_TOOLS = """
## Tools that nobody here wrote

The same bridge. Each program floods the server as fast as it can, for three seconds.

| command | held, ms | kept out | by |
|---|--:|--:|---|
"""
_RECORDED = """
## Recorded attacks

Packets of recordings that were not used to make the detector, drawn at random and sent to the
victim at 25,000 packets/s for ten seconds beside 2,000 normal packets/s, of which nine tenths are
of known flows; in pretended time.

| recording | packets in it | answered after, ms | kept out | by | normal packets hit |
|---|--:|--:|--:|---|--:|
"""
_QUIET = """
## False alarms

Surges of 12,000 packets/s of no known flow for ten seconds, and of 50,000 packets/s of known flows
(which are not counted), {times} times each, in pretended time:

| surge | known flows | drops | limits or challenges |
|---|---|--:|--:|
"""
_DAY = """
Forty servers and eight bells, the minutes around each bell: {first_syns:,} SYNs on the first day,
when nothing is known, and {second_syns:,} on the second; the fastest tenth of a second of the
median server had {fastest:,.0f} SYNs/s. Mitigations for each server: **{first:.3f}** on the first
day, **{second:.3f}** on the second; {drops} of them were drops.

## Pulses, ramps, and somebody who knows it

| what | outcome |
|---|---|
"""
_COST = """
## What it costs

| | CPU, of a core | memory |
|---|--:|--:|
| idle, with people | {idle:.1%} | {idle_memory:.0f} MB |
| under 300,000 packets/s | {busy:.1%} | {busy_memory:.0f} MB |

Killed (SIGKILL) in the middle of a flood, it reports again after {back:.1f} s, and {kept:,} packets
were kept out meanwhile.

## What others publish

| who | figure |
|---|---|
| Cloudflare (dosd) | 3 s on average for layers 3 and 4 (2021) |
| FastNetMon | 1 to 2 s; by default 20,000 packets/s on average over 5 s |
| Radware (BDoS) | a signature in about 18 s |
| OVH (VAC) | 15 to 120 s |
| Flowtriq | seen in less than 1 s, acted on after 2 to 3 s |

Their figures are of their networks, so they do not compare directly. None publishes how much
legitimate traffic its mitigations hit.

## What was not tried

Real traffic of an attacked network; more than two cores; cards with hardware queues; attacks of
more than {most:,} packets/s; IPv6 floods at these rates.
"""


def _synthesis(outcomes: Sequence[Outcome]) -> Iterator[str]:
    good = sum(outcome.dropped >= 0.95 and outcome.worst <= 0.01 for outcome in outcomes)
    mean = float(np.mean([outcome.legitimate for outcome in outcomes]))
    yield _HEAD.format(
        cpus=os.cpu_count(),
        kernel=platform.release(),
        attacks=len(outcomes),
        good=good,
        mean=mean,
    )
    for outcome in outcomes:
        yield (
            f"| {outcome.name} | {outcome.dropped:.1%} | {outcome.challenged:.1%} "
            f"| {outcome.limited:.1%} | {outcome.legitimate:.3%} | {outcome.worst:.2%} "
            f"| {outcome.milliseconds:.0f} |\n"
        )


def _live(felt: Sequence[Felt]) -> Iterator[str]:
    times = [flood.held for flood in felt if flood.held is not None]
    yield _LIVE.format(
        broken=sum(flood.broken for flood in felt),
        lost=max(flood.lost for flood in felt),
        p50=median(times),
        p95=np.quantile(times, 0.95),
        worst=max(times),
    )
    for flood in felt:
        time_text = "not held" if flood.held is None else f"{flood.held:.0f}"
        yield f"| {flood.name} | {time_text} | {flood.dropped:.1%} | {', '.join(flood.actions)} |\n"


def _fast(scene: Scene) -> Iterator[str]:
    rates = " | ".join(f"{rate:,}/s, ms" for rate in _RATES)
    yield _FAST.format(rates=rates, lines="|".join("--:" for _ in _RATES))
    for flood in FLOODS:
        cells = []
        for rate in _RATES:
            live.forget(scene)
            reaction = live.reaction(scene, lambda r=rate, f=flood: flooding(  # type: ignore[misc]
                scene.place, scene.generator, f.name, r))  # fmt: skip
            cells.append("not held" if reaction is None else f"{reaction:.0f}")
        yield f"| {flood.name} | {' | '.join(cells)} |\n"


def _tools(scene: Scene) -> Iterator[str]:
    yield _TOOLS
    for name, command in live.TOOLS.items():
        live.forget(scene)
        before = live.kept_out(scene)
        reaction = live.reaction(scene, lambda c=command: live.tool(scene, c))  # type: ignore[misc]
        time.sleep(1.2)
        actions = sorted({mitigation.action for mitigation in scene.status().mitigations})
        time_text = "not held" if reaction is None else f"{reaction:.0f}"
        kept_out = live.kept_out(scene) - before
        yield f"| {name} | {time_text} | {kept_out:,} | {', '.join(actions)} |\n"


def _recorded(folder: Path) -> Iterator[str]:
    yield _RECORDED
    for recording in recorded.everything(folder):
        after = "not seen" if recording.after is None else f"{1e3 * recording.after:.0f}"
        yield (
            f"| {recording.name} | {recording.packets:,} | {after} | {recording.kept_out:.1%} "
            f"| {', '.join(recording.actions)} | {recording.legitimate:.2%} |\n"
        )


def _false_alarms() -> Iterator[str]:
    times = 12
    yield _QUIET.format(times=times)
    for surge in quiet.surges(times):
        known = "yes" if surge.known else "no"
        yield f"| {surge.name} | {known} | {surge.drops} | {surge.others} |\n"
    first, second = quiet.days()
    yield _DAY.format(
        first_syns=first.syns,
        second_syns=second.syns,
        fastest=first.fastest,
        first=first.a_server,
        second=second.a_server,
        drops=first.drops + second.drops,
    )
    yield from _adversaries()


def _adversaries() -> Iterator[str]:
    pulses = World()
    pulses.play(2.0, ATTACKS["SSDP"], 50_000)
    leaks = []
    for pause in (5, 20, 40, 60):
        pulses.quiet(pause, 0.1)
        pulses.leaked = pulses.sent = 0.0
        pulses.play(2.0, ATTACKS["SSDP"], 50_000)
        leaks.append(pulses.leak)
    pauses = "pulses of 2 s after pauses of 5, 20, 40 and 60 s"
    yield f"| {pauses} | at most {max(leaks):.1%} passed |\n"
    ramp, rate = World(normal=200), 0.0
    while not ramp.told and rate < 4 * FLOORS[Traffic.UDP]:
        rate += 50_000 / 600
        ramp.told += began(ramp.play(1.0, ATTACKS["UDP of one length by bots"], rate, 0.05))
    share = rate / FLOORS[Traffic.UDP]
    yield f"| a ramp of 600 s to 50,000 packets/s | seen at {share:.2f} times the floor |\n"
    turns = World()
    names = ("NTP monlist", "chargen", "SYN, plain", "RST")
    for turn in range(60):
        turns.play(0.1, ATTACKS[names[turn % 4]], 50_000)
    yield (
        f"| four vectors that change each 100 ms, for 6 s | {turns.leak:.1%} passed, "
        f"with {len(turns.engine.mitigations.active)} mitigations |\n"
    )


def _cost(scene: Scene) -> str:
    live.forget(scene)
    pid = scene.box.detector()
    idle, idle_memory = _used(pid, 10.0)
    with flooding(scene.place, scene.generator, "UDP", _RATES[-1]):
        time.sleep(1.0)
        busy, busy_memory = _used(pid, 8.0)
        before = live.kept_out(scene)
        os.kill(pid, signal.SIGKILL)
        killed = time.monotonic()
        while (scene.status().pid == pid or scene.status().silent) and (
            time.monotonic() < killed + 30
        ):
            time.sleep(0.05)
        back = time.monotonic() - killed
        kept_out = live.kept_out(scene) - before
    return _COST.format(
        idle=idle,
        idle_memory=idle_memory,
        busy=busy,
        busy_memory=busy_memory,
        back=back,
        kept=kept_out,
        most=_RATES[-1],
    )


def _used(pid: int, seconds: float) -> tuple[float, float]:
    """The share of a core that a process takes, and its memory in MB."""

    def ticks() -> int:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        return int(fields[11]) + int(fields[12])

    begun, at = ticks(), time.monotonic()
    time.sleep(seconds)
    used = (ticks() - begun) / os.sysconf("SC_CLK_TCK") / (time.monotonic() - at)
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return used, pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def main() -> None:
    """Write detection.md into the first folder; the second, optional one has recordings."""
    folder = Path(sys.argv[1])
    parts = list(_synthesis(all_judged()))
    parts += _live(list(live.everything()))
    with live.scene() as scene:
        parts += _fast(scene)
        parts += _tools(scene)
        cost = _cost(scene)
    if len(sys.argv) > _WITH_CORPUS:
        parts += _recorded(Path(sys.argv[_WITH_CORPUS]) / "attack")
    parts += _false_alarms()
    (folder / "detection.md").write_text("".join([*parts, cost]))


if __name__ == "__main__":
    main()
