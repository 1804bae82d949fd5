# SPDX-License-Identifier: GPL-2.0-or-later
"""Plays recorded attacks of third parties at a fixed rate, beside synthetic people."""

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
    """The result of a recording; times in seconds, shares from 0 to 1."""

    name: str
    packets: int
    after: float | None
    kept_out: float
    actions: tuple[str, ...]
    legitimate: float
    matches: tuple[str, ...]


def loaded(path: Path) -> PacketArray:
    """The IP packets of a recording, readdressed to the victim, in unknown flows."""
    frames = (packet.frame for packet in islice(packets(path, Skipped()), _MOST))
    frames_read = read(heads(frames))
    frames_read = frames_read[frames_read["family"] != 0]
    six = frames_read["family"] == 6
    frames_read["destination"] = np.where(six, _VICTIM6, VICTIM.ljust(16, b"\0"))
    frames_read["flow"], frames_read["reason"] = FlowState.UNKNOWN, Reason.NO_RULE
    ours: PacketArray = frames_read
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
    beginnings = began(world.play(_SECONDS, making, _RATE))
    mitigations = world.engine.mitigations.active
    return Recorded(
        name,
        count,
        beginnings[0].after if beginnings else None,
        1 - world.leak,
        tuple(sorted({mitigation.action for mitigation in mitigations})),
        world.legitimate_hit / (world.normal * _SECONDS),
        tuple(mitigation.match for mitigation in mitigations),
    )


def everything(folder: Path) -> Iterator[Recorded]:
    """The results of all recordings in a folder."""
    for path in sorted(folder.glob("*.pcap*")):
        if (recording := judged(path)) is not None:
            yield recording
