# SPDX-License-Identifier: GPL-2.0-or-later
"""Recorded attacks, which nobody here made: their packets come at a rate beside made people."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from bench.detection.made import VICTIM
from tests.support.watching import Making, World, began
from xdpctl.abi.constants import FlowState, Reason
from xdpctl.base.net.pcap_reader import Skipped, packets
from xdpctl.base.net.prefix import parse_prefix
from xdpctl.traffic.classify import heads
from xdpctl.traffic.packets import PacketArray, read

_MOST = 20_000  # packets of a file
_RATE, _SECONDS = 25_000.0, 10.0
_VICTIM6 = parse_prefix("2001:db8:2::1").address
_OURS = (parse_prefix("192.0.2.0/24"), parse_prefix("2001:db8:2::/48"))


@dataclass(frozen=True, slots=True)
class Recorded:
    """What became of a recording's packets: times in seconds, shares 0 to 1."""

    name: str
    packets: int
    after: float | None
    kept_out: float
    actions: tuple[str, ...]
    legitimate: float
    matches: tuple[str, ...]


def loaded(path: Path) -> PacketArray:
    """The IP packets of a recording, on their way to the victim, of no known flow."""
    frames = (packet.frame for packet in islice(packets(path, Skipped()), _MOST))
    found = read(heads(frames))
    found = found[found["family"] != 0]
    six = found["family"] == 6
    found["destination"] = np.where(six, _VICTIM6, VICTIM.ljust(16, b"\0"))
    found["flow"], found["reason"] = FlowState.UNKNOWN, Reason.NO_RULE
    ours: PacketArray = found
    return ours


def judged(path: Path) -> Recorded | None:
    """Play a recording; None if it has no IP packets."""
    rows = loaded(path)
    if not len(rows):
        return None

    def again(random: np.random.Generator, count: int) -> PacketArray:
        drawn: PacketArray = rows[random.integers(0, len(rows), count)]
        return drawn

    return _played(path.name, len(rows), again)


def _played(name: str, count: int, making: Making) -> Recorded:
    world = World(ours=_OURS)
    world.normal = 2_000
    told = began(world.play(_SECONDS, making, _RATE))
    mitigations = world.engine.mitigations.active
    return Recorded(
        name,
        count,
        told[0].after if told else None,
        1 - world.leak,
        tuple(sorted({mitigation.action for mitigation in mitigations})),
        world.legitimate_hit / (world.normal * _SECONDS),
        tuple(mitigation.match for mitigation in mitigations),
    )


def everything(folder: Path) -> Iterator[Recorded]:
    """All recordings of attacks in a folder."""
    for path in sorted(folder.glob("*.pcap*")):
        if (found := judged(path)) is not None:
            yield found
