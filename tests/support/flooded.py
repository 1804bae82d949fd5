# SPDX-License-Identifier: GPL-2.0-or-later
"""Packets that fill a link: what a sampler would have seen of them."""

import random
import time
from typing import Any

import numpy as np

from xdpctl.abi.constants import FlowState, Reason, Traffic
from xdpctl.base.net.prefix import parse_prefix
from xdpctl.processes.control_plane import ControlPlane
from xdpctl.traffic.baseline import Before
from xdpctl.traffic.packets import NONE, NUMBERS, PACKET, PacketArray, joined
from xdpctl.traffic.window import Seen
from xdpctl.upstream.filling import Filling, filling

INTERFACE, SECONDS = 3, 5.0
_random = random.Random(36)


def packets(
    count: int,
    to: str = "198.51.100.7",
    by: str = "",
    flow: FlowState = FlowState.UNKNOWN,
    weight: int = 1,
    **fields: Any,
) -> PacketArray:
    """So many packets; a field is a value, or a function that makes one for each.

    `by` is the source; without it, each packet has another one.
    """
    found = np.zeros(count, PACKET)
    for name in NUMBERS:
        found[name] = NONE
    victim = parse_prefix(to, "to")
    found["family"], found["interface"], found["weight"] = victim.family, INTERFACE, weight
    found["destination"], found["flow"] = victim.address, flow
    found["reason"], found["traffic"] = Reason.NO_RULE, Traffic.UDP
    sources = [_random.randbytes(len(victim.address)) for _ in range(count)]
    found["source"] = parse_prefix(by, "by").address if by else sources
    fields = {"protocol": 17, "fragment": 0, "packet_length": 1_000, **fields}
    for name, value in fields.items():
        found[name] = [value() for _ in range(count)] if callable(value) else value
    found["length"] = found["packet_length"] + 14
    return found


def any_of(low: int, high: int) -> Any:
    """A function that makes numbers of this range."""
    return lambda: _random.randrange(low, high)


def people(count: int = 400, to: str = "198.51.100.7", **fields: Any) -> PacketArray:
    """Known flows: a web server's clients."""
    web: dict[str, Any] = {"protocol": 6, "tcp_flags": 16, "packet_length": 800}
    web |= {"destination_port": 443, "source_port": any_of(32_768, 61_000)}
    return packets(count, to, flow=FlowState.KNOWN, traffic=Traffic.TCP, **web, **fields)


def amplified(count: int = 1_000, to: str = "198.51.100.7", **fields: Any) -> PacketArray:
    """DNS answers from many sources; together 64 Mbit/s with the default weight."""
    answers = {"source_port": 53, "destination_port": any_of(1_024, 65_536)}
    lengths = {"packet_length": any_of(900, 1_400), "traffic": Traffic.UDP_SERVICE}
    return packets(count, to, **{"weight": 35} | answers | lengths | fields)


def seen(*parts: PacketArray) -> Seen:
    return Seen(joined(parts), 100.0, 100.0 + SECONDS, 0)


def earlier(*parts: PacketArray) -> Before:
    """Traffic of an hour ago; without any, nothing is known of it."""
    return Before(joined(parts), 1_500.0 if parts else 0.0)


def filled(*parts: PacketArray, before: Before | None = None) -> Filling:
    """What these packets fill a link with."""
    return filling(seen(*parts), before or earlier(), INTERFACE)


def observe(context: ControlPlane, *parts: PacketArray) -> None:
    """Let a control plane see these packets as what came through its uplink just now."""
    now, sampler = time.monotonic(), context.sampler
    context.uplinks.filled._index = lambda _: INTERFACE
    sampler._read_at = now
    sampler.window.add(now - SECONDS, now, joined(parts))
