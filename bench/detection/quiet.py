# SPDX-License-Identifier: GPL-2.0-or-later
"""Measures false alarms in simulated time: harmless surges, and a school day with eight bells."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.detection import made
from tests.support.watching import World
from xdpctl.abi.constants import FlowState
from xdpctl.base.net.prefix import parse_prefix
from xdpctl.flood.engine import Engine
from xdpctl.flood.memory import NormalTraffic
from xdpctl.flood.settings import DetectSettings
from xdpctl.flood.usual import Usual
from xdpctl.model.event import Phase
from xdpctl.traffic.packets import PacketArray

Making = Callable[[np.random.Generator, int], PacketArray]
_DAY, _STEP = 86_400.0, 0.1
_OURS = parse_prefix("192.0.2.0/24")
_SERVERS, _PERIOD = 40, 50 * 60
_BEFORE, _AROUND = 60.0, 300.0  # seconds: of each bell a minute before and four after are played
_ADDRESSES = np.array([bytes((192, 0, 2, number + 1)) for number in range(_SERVERS)], "S16")
_HEADS = 12  # of a server and step: the ring has more, and each says how many it stands for


def _alike(make: Making, **columns: object) -> Making:
    def changed(random: np.random.Generator, count: int) -> PacketArray:
        packets = make(random, count)
        for name, value in columns.items():
            packets[name] = value
        return packets

    return changed


_tcp, _video, _pings = (made.MIX[name][1] for name in ("tcp", "video", "pings"))
SURGES: dict[str, tuple[Making, bool]] = {
    "log-in: SYNs of new visitors": (made.syns, False),
    "log-in of identical Chromebooks": (
        _alike(made.syns, packet_length=60, ttl=50, tcp_flags=2), False),
    "QUIC to the services that exist": (made.MIX["quic"][1], False),
    "DNS queries": (made.MIX["queries"][1], False),
    "pings": (_pings, False),
    "a scan by our own monitoring": (
        _alike(_pings, source=bytes((203, 0, 113, 9)), icmp_type=8, icmp_code=0), False),
    "a new TCP service": (_alike(made.syns, destination_port=8443), False),
    "a new video service": (_alike(_video, source_port=9_801), False),
    "a new VPN": (
        _alike(_video, source_port=51_820, ttl=52, source=bytes((203, 0, 113, 9))), False),
    "a new video service that the inside asked": (_alike(_video, source_port=9_801), True),
    "a large download that the inside asked for": (_alike(_tcp, packet_length=1_500, ttl=55), True),
    "a backup whose server answers": (_alike(_tcp, destination_port=873), True),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Surge:
    """The result of a surge: in how many of its plays it was dropped or otherwise mitigated."""

    name: str
    known: bool
    times: int
    drops: int
    others: int


def surges(times: int = 12) -> Iterator[Surge]:
    """Play each surge at 12,000 packets/s, or at 50,000 if its flows are known."""
    for name, (make, known) in SURGES.items():
        drops = others = 0
        rate = 50_000 if known else 12_000
        flow = FlowState.KNOWN if known else FlowState.UNKNOWN
        for seed in range(times):
            world = World(seed=seed)
            world.play(10.0, _alike(make, flow=flow), rate)
            actions = world.actions()
            drops += "drop" in actions
            others += bool(actions) and "drop" not in actions
        yield Surge(name, known, times, drops, others)


@dataclass(frozen=True, slots=True)
class Day:
    """Mitigations in a day, drops among them, the fastest tick of the median server, and SYNs."""

    mitigations: int
    drops: int
    fastest: float
    syns: int

    @property
    def a_server(self) -> float:
        """Mitigations for a server."""
        return self.mitigations / _SERVERS


def _surge(seconds: float) -> float:
    """How far a surge has risen: half a minute up, and minutes down."""
    if seconds < 0:
        return 0.0
    return seconds / 30 if seconds < 30 else float(np.exp(-(seconds - 30) / 120))


def days(seed: int = 1) -> tuple[Day, Day]:
    """Play two days of 40 servers with eight bells; the first day has no baseline."""
    random = np.random.default_rng(seed)
    usual, normal = Usual(0.0, 7 * _DAY), NormalTraffic(seed)
    normal.restore(made.balanced(random, 2_000))
    engine = Engine(DetectSettings(learning=0), [_OURS], usual, normal)
    rates = random.lognormal(np.log(60), 0.9, _SERVERS)
    bells = [19 * 60 + _PERIOD * number for number in range(8)]
    both = []
    for day in range(2):
        begins = day * _DAY
        both.append(_day(random, engine, rates, bells, begins))
    return both[0], both[1]


def _day(
    random: np.random.Generator,
    engine: Engine,
    rates: NDArray[np.float64],
    bells: list[int],
    begins: float,
) -> Day:
    """Play one day: only the minutes around each bell."""
    mitigations, drops, syns, fastest = 0, 0, 0, np.zeros(_SERVERS)
    drift, keep = np.zeros(_SERVERS), np.exp(-_STEP / 30)
    shared = np.where(np.arange(_SERVERS) % 4 == 0, 1.0, 0.15)
    pools = made.syns(random, 20_000), _tcp(random, 40_000)
    known_flows = made.legitimate(random, 60)
    known_flows["flow"] = FlowState.KNOWN
    now = begins
    for number, bell in enumerate(bells):
        for step in range(round(_AROUND / _STEP)):
            now = begins + bell - _BEFORE + step * _STEP
            drift = keep * drift + random.normal(0, 0.45 * np.sqrt(1 - keep * keep), _SERVERS)
            surge = (40 if number == 0 else 12) * _surge(step * _STEP - _BEFORE)
            opened = random.poisson(rates * np.exp(drift) * (1 + surge * shared) * _STEP)
            pages = random.random(_SERVERS) < _STEP / 20  # a page opens many connections at once
            wanted = np.minimum(random.pareto(1.6, _SERVERS) * 20, 2_000)
            burst = np.where(pages, wanted, 0).astype(np.int64)
            fastest = np.maximum(fastest, (opened + burst) / _STEP)
            syns += int(opened.sum() + burst.sum())
            packets = [
                _connecting(random, pools, opened, False),
                _connecting(random, pools, burst, True),
            ]
            reports = engine.step(now, now, np.concatenate([*packets, known_flows]))
            begun = [report.mitigation for report in reports if report.phase is Phase.BEGAN]
            mitigations += len(begun)
            drops += sum(mitigation.drops for mitigation in begun)
    for late in range(1, 40):  # so that what was normal counts tomorrow
        engine.step(now + 60.0 * late, now + 60.0 * late, known_flows)
    return Day(mitigations, drops, float(np.median(fastest)), syns)


def _connecting(
    random: np.random.Generator,
    pools: tuple[PacketArray, PacketArray],
    counts: NDArray[np.int64],
    few: bool,
) -> PacketArray:
    """SYNs to each server, and as many ACKs and requests on connections opened before."""
    heads = np.minimum(counts, _HEADS)
    weights = np.repeat(np.maximum(counts // np.maximum(heads, 1), 1), heads)
    servers = np.repeat(np.arange(_SERVERS), heads)
    parts = []
    for pool, times in zip(pools, (1, 2), strict=True):
        count = len(servers) * times
        packets = pool[random.integers(0, len(pool), count)]
        packets["weight"] = np.tile(weights, times)
        packets["destination"] = _ADDRESSES[np.tile(servers, times)]
        if few:
            packets["source"] = _ADDRESSES[np.tile(servers, times)]
        parts.append(packets)
    joined: PacketArray = np.concatenate(parts)
    return joined
