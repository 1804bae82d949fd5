# SPDX-License-Identifier: GPL-2.0-or-later
"""The detector's engine in synthetic traffic and simulated time; its rules apply at once."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from bench.detection.made import balanced, legitimate
from xdpctl.abi.constants import FlowState, Reason
from xdpctl.base.net.prefix import Prefix, parse_prefix
from xdpctl.flood.engine import Engine
from xdpctl.flood.memory import NormalTraffic
from xdpctl.flood.mitigation import Mitigation, Report, State
from xdpctl.flood.settings import DetectSettings
from xdpctl.flood.usual import Usual
from xdpctl.model.event import Phase
from xdpctl.model.match.text import parse
from xdpctl.traffic.packets import PACKET, PacketArray, joined
from xdpctl.traffic.select import takes

_parsed = lru_cache(512)(parse)
Making = Callable[[np.random.Generator, int], PacketArray]
OURS = (parse_prefix("192.0.2.0/24"),)
_STEP, _HEADS, _READY, _WEEK = 0.02, 60, 4_000, 7 * 86_400.0
_REASONS = {"drop": Reason.MATCHED, "limit": Reason.LIMITED, "challenge": Reason.CHALLENGED}


@dataclass(slots=True)
class Told:
    """A report, and how long after the beginning of the attack it was made."""

    after: float
    report: Report

    @property
    def mitigation(self) -> Mitigation:
        return self.report.mitigation


@dataclass(slots=True)
class World:
    """`normal` packets a second come all the time; 9 of 10 are of known flows."""

    settings: DetectSettings = field(default_factory=lambda: DetectSettings(learning=0))
    learnt: bool = True
    normal: int = 2_000
    known: float = 0.9
    seed: int = 3
    answers: bool = False  # whether attackers answer challenges, as real hosts do
    ours: tuple[Prefix, ...] = OURS
    now: float = 1_000.0
    unix: float = 1_764_230_400.0
    engine: Engine = field(init=False)
    sent: float = 0.0
    leaked: float = 0.0
    legitimate_hit: float = 0.0
    told: list[Told] = field(default_factory=list)
    _random: np.random.Generator = field(init=False)
    _ready: PacketArray = field(default_factory=lambda: np.empty(0, PACKET))

    def __post_init__(self) -> None:
        self._random = np.random.default_rng(self.seed)
        normal = NormalTraffic(self.seed)
        if self.learnt:
            normal.restore(balanced(self._random, 2_000))
        usual = Usual(self.unix - _WEEK, _WEEK) if self.learnt else Usual(self.unix)
        self.engine = Engine(self.settings, self.ours, usual, normal)
        self.quiet(1.0)

    def quiet(self, seconds: float, step: float = _STEP) -> list[Told]:
        """Play normal traffic alone."""
        return self.play(seconds, None, 0, step)

    def play(
        self, seconds: float, attack: Making | None, rate: float, step: float = _STEP
    ) -> list[Told]:
        """Play normal traffic and an attack; return the reports."""
        began, new = self.now, list[Told]()
        for _ in range(round(seconds / step)):
            self.now, self.unix = self.now + step, self.unix + step
            people = self._people(step)
            forged = self._attack(attack, rate * step)
            packets = joined((people, forged))
            self._decide(packets)
            hit = packets["reason"][: len(people)] != Reason.NO_RULE
            self.legitimate_hit += float(people["weight"][hit].sum())
            passed = packets["reason"][len(people) :] == Reason.NO_RULE
            self.sent += float(forged["weight"].sum())
            self.leaked += float(forged["weight"][passed].sum())
            reports = self.engine.step(self.now, self.unix, packets)
            new += [Told(self.now - began, report) for report in reports]
        self.told += new
        return new

    def _people(self, step: float) -> PacketArray:
        count = int(self.normal * step)
        if len(self._ready) < count:
            more = legitimate(self._random, max(count, _READY))  # many at once: it is quicker
            self._ready = joined((self._ready, more))
        packets, self._ready = self._ready[:count].copy(), self._ready[count:]
        flows = (FlowState.KNOWN, FlowState.UNKNOWN)
        share = (self.known, 1 - self.known)
        packets["flow"] = self._random.choice(flows, len(packets), p=share)
        return packets

    def _attack(self, attack: Making | None, count: float) -> PacketArray:
        if attack is None or count < 1:
            return np.empty(0, PACKET)
        heads = min(int(count), _HEADS)
        packets = attack(self._random, heads)
        packets["weight"] = round(count / heads)
        return packets

    def _decide(self, packets: PacketArray) -> None:
        for mitigation in sorted(
            self.engine.mitigations.active, key=lambda mitigation: not mitigation.drops
        ):
            if mitigation.state is State.PROBING or mitigation.watched or mitigation.refused:
                continue
            if self.answers and mitigation.action == "challenge":
                continue
            free = (packets["reason"] == Reason.NO_RULE) & (packets["flow"] != FlowState.KNOWN)
            packets["reason"][takes(_parsed(mitigation.match), packets) & free] = _REASONS[
                mitigation.action
            ]

    @property
    def leak(self) -> float:
        """The share of the attack that passed."""
        return self.leaked / self.sent

    def actions(self) -> list[str]:
        """The actions of the active mitigations."""
        return [mitigation.action for mitigation in self.engine.mitigations.active]


def began(reports: list[Told]) -> list[Told]:
    """The reports of beginnings."""
    return [told for told in reports if told.report.phase is Phase.BEGAN]
