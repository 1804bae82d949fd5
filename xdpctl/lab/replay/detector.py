# SPDX-License-Identifier: GPL-2.0-or-later
"""Rehearsal of the embedded detector: what it would have done about a recording, and when.

The code of the detector runs over the recording's packets by the recording's clock. Rules work from
the next step on; a limit lets as many packets of a step pass as its rate allows.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from xdpctl.abi.constants import FlowState, Reason, Traffic
from xdpctl.base.net.pcap_reader import Packet, Skipped, packets
from xdpctl.base.net.prefix import Prefix
from xdpctl.errors import RecordingError
from xdpctl.flood.counts import strata
from xdpctl.flood.engine import Engine
from xdpctl.flood.memory import NormalTraffic
from xdpctl.flood.mitigation import Mitigation, State
from xdpctl.flood.settings import DetectSettings
from xdpctl.flood.usual import Usual
from xdpctl.lab.replay.flows import Flows, to_any
from xdpctl.lab.replay.run import RecordedClock
from xdpctl.model.event import Phase
from xdpctl.traffic.classify import heads
from xdpctl.traffic.packets import PacketArray, joined, read
from xdpctl.traffic.select import takes

EVERYWHERE = (Prefix(bytes(4), 0), Prefix(bytes(16), 0))
_STEP = 0.02  # seconds of the recording
_HEADS_MAX = 2_000  # packets of a step; of more, a random sample is taken, as on a live interface
_READ = 50_000  # packets that are read at once
_WEEK = 7 * 86_400.0
_SEED = 1
_UNKNOWN, _ATTACK, _LEGITIMATE = 0, 1, 2
_WORDS = {"attack": _ATTACK, "legit": _LEGITIMATE}
_GAP = 300.0  # seconds without a packet: longer than anything that the detector waits for
_TRUTH_MAX = 100_000_000  # lines of the file with the truth
_REASONS = {"drop": Reason.MATCHED, "limit": Reason.LIMITED, "challenge": Reason.CHALLENGED}


@dataclass(frozen=True, slots=True)
class Reported:
    """A report of the detector, `at` seconds after the recording's first packet."""

    at: float
    phase: Phase
    watch: bool
    mitigation: dict[str, Any]


@dataclass(slots=True)
class Rehearsed:
    """The result for one recording. `truth` counts packets by attack or legit, and by outcome."""

    packets: int = 0
    seconds: float = 0.0
    flows: bool = False  # whether outgoing packets show which flows are known
    skipped: Skipped = field(default_factory=Skipped)
    reports: list[Reported] = field(default_factory=list)
    outcomes: Counter[str] = field(default_factory=Counter)
    truth: dict[str, Counter[str]] = field(default_factory=dict)
    legitimate: dict[str, tuple[int, int]] = field(default_factory=dict)  # by kind: all, stopped
    first_attack: float | None = None


@dataclass(slots=True)
class _Step:
    """The packets of a step, and for each whether it is attack, legitimate or unknown."""

    ended: float
    packets: PacketArray
    truth: NDArray[np.int8]


def learn(paths: Sequence[Path], ours: Sequence[Prefix]) -> tuple[Usual, NormalTraffic]:
    """What a detector would know after a week of traffic as in these recordings."""
    parts, usual, random = list[PacketArray](), Usual(-_WEEK, _WEEK), np.random.default_rng(_SEED)
    flows = Flows(ours)
    for path in paths:
        rates: dict[Any, float] = {}
        for step in _steps(path, Skipped(), None, 1.0):
            comes_in = flows.mark(step.packets)
            comes_in &= step.packets["flow"] != FlowState.KNOWN
            comes_in &= to_any(ours, step.packets, "destination")
            incoming = step.packets[comes_in]
            parts.append(incoming)
            groups = strata(incoming, 1.0)
            for place in range(len(groups.rates)):
                key = groups.key(place)
                rates[key] = max(rates.get(key, 0.0), float(groups.rates[place]))
        usual.restore(0.0, rates)
    normal = NormalTraffic(_SEED)
    normal.restore(random.permutation(joined(parts)))
    return usual, normal


def rehearse(
    path: Path,
    settings: DetectSettings,
    ours: Sequence[Prefix],
    learnt: tuple[Usual, NormalTraffic] | None,
    truth: Path | None,
) -> Rehearsed:
    """Run the detector over a recording; RecordingError if it, or the truth, cannot be read."""
    usual, normal = learnt or (Usual(0.0), NormalTraffic(_SEED))
    engine, done, flows = Engine(settings, ours, usual, normal), Rehearsed(), Flows(ours)
    random, credit = np.random.default_rng(_SEED), dict[str, float]()
    for step in _steps(path, done.skipped, truth, _STEP):
        comes_in = flows.mark(step.packets)
        incoming, truths = step.packets[comes_in], step.truth[comes_in]
        _decide(engine.mitigations.active, incoming, credit)
        _count(done, step.ended, incoming, truths)
        done.seconds = step.ended
        for report in engine.step(step.ended, step.ended, _thinned(incoming, random)):
            mitigation = msgspec.to_builtins(report.mitigation)
            done.reports.append(Reported(step.ended, report.phase, report.watch, mitigation))
    done.flows = flows.taught
    return done


def _decide(
    mitigations: Iterable[Mitigation], incoming: PacketArray, credit: dict[str, float]
) -> None:
    """Apply the rules; `credit` has the packets that each limit still lets pass.

    A limit per source counts as one limit for all sources.
    """
    # drops before limits
    for mitigation in sorted(mitigations, key=lambda candidate: not candidate.drops):
        if mitigation.watched or mitigation.state is State.PROBING:
            continue
        free = (incoming["reason"] == Reason.NO_RULE) & (incoming["flow"] != FlowState.KNOWN)
        hit = np.flatnonzero(takes(mitigation.parsed(), incoming) & free)
        allowed = 0
        if mitigation.limit:
            most = credit.get(mitigation.id, 0.0) + mitigation.limit.pps * _STEP
            most = min(most, max(mitigation.limit.pps * mitigation.limit.burst, 1.0))
            allowed = min(int(most), len(hit))
            credit[mitigation.id] = most - allowed
        incoming["reason"][hit[allowed:]] = _REASONS[mitigation.action]


def _thinned(incoming: PacketArray, random: np.random.Generator) -> PacketArray:
    if len(incoming) <= _HEADS_MAX:
        return incoming
    chosen: PacketArray = incoming[np.sort(random.choice(len(incoming), _HEADS_MAX, replace=False))]
    chosen["weight"] = round(len(incoming) / _HEADS_MAX)
    return chosen


def _count(done: Rehearsed, at: float, incoming: PacketArray, truths: NDArray[np.int8]) -> None:
    done.packets += len(incoming)
    reasons = incoming["reason"]
    for name, truth in (("attack", _ATTACK), ("legit", _LEGITIMATE)):
        ours = truths == truth
        if ours.any():
            counts = done.truth.setdefault(name, Counter())
            for reason, count in zip(*np.unique(reasons[ours], return_counts=True), strict=True):
                counts[Reason(int(reason)).name.lower()] += int(count)
    if done.first_attack is None and (truths == _ATTACK).any():
        done.first_attack = at
    for reason, count in zip(*np.unique(reasons, return_counts=True), strict=True):
        done.outcomes[Reason(int(reason)).name.lower()] += int(count)
    legitimate = truths == _LEGITIMATE
    of_kind = incoming["traffic"][legitimate]
    kept_out = reasons[legitimate] != Reason.NO_RULE
    for number in np.unique(of_kind).tolist():
        name, chosen = Traffic(number).setting, of_kind == number
        count, hit = done.legitimate.get(name, (0, 0))
        done.legitimate[name] = count + int(chosen.sum()), hit + int(kept_out[chosen].sum())


def _steps(path: Path, skipped: Skipped, truth: Path | None, seconds: float) -> Iterator[_Step]:
    """The packets of each step, which ends at a time in seconds since the first packet."""
    clock, words = RecordedClock(), _truths(truth)
    ended, parts, part_truths = seconds, list[PacketArray](), list[NDArray[np.int8]]()
    stream = packets(path, skipped)
    while batch := list(islice(stream, _READ)):
        times = np.array([clock.read(packet.unix_ns) - 1 for packet in batch]) / 1e9
        array = _read(batch)
        truths = np.array(list(islice(words, len(batch))), np.int8)
        if len(truths) < len(batch):
            raise RecordingError(f"{truth} has fewer lines than {path} has packets")
        at = 0
        while at < len(batch):
            last = int(np.searchsorted(times, ended, "left"))
            parts.append(array[at:last])
            part_truths.append(truths[at:last])
            at = max(at, last)
            if at < len(batch):
                yield _Step(ended, joined(parts), np.concatenate(part_truths))
                parts, part_truths, ended = [], [], ended + seconds
                if times[at] > ended + _GAP:
                    ended = float(times[at])
    if parts:
        yield _Step(ended, joined(parts), np.concatenate(part_truths))


def _read(batch: Sequence[Packet]) -> PacketArray:
    array = read(heads(packet.frame for packet in batch))
    array["length"] = [min(packet.length, 0xFFFFFFFF) for packet in batch]
    return array


def _truths(path: Path | None) -> Iterator[int]:
    """The truth of each packet, from the first word of its line; unknown without a file."""
    if path is None:
        while True:
            yield _UNKNOWN
    try:
        with path.open(encoding="utf-8", errors="replace") as lines:
            for number, line in enumerate(islice(lines, _TRUTH_MAX), 1):
                word = line[:200].split(maxsplit=1)[0] if line.strip() else ""
                if word not in _WORDS:
                    problem = f"{path}, line {number}: begins with {word[:20]!r}"
                    raise RecordingError(f"{problem}; begin it with attack or legit")
                yield _WORDS[word]
    except OSError as error:
        raise RecordingError(f"{path}: {error.strerror}") from error
