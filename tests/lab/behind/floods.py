# SPDX-License-Identifier: GPL-2.0-or-later
"""The floods: their frames, the rules against them, and their senders."""

import random
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import ip_address

from tests.lab.behind import game
from tests.lab.behind.people import PORT
from tests.lab.behind.places import CLIENTS, NETWORKS, SERVER, Place
from xdpctl.lab import flood
from xdpctl.lab.flood import Generator, interface

PPS = 300_000
_SOURCES = 4093  # a prime, so that sources and ports go through all combinations
_SECONDS_MAX = 120.0
_SYN, _RST, _ACK = 2, 4, 16
_DONT_FRAGMENT = b"\x40\0"


@dataclass(frozen=True, slots=True)
class Flood:
    """A flood, and the match that an operator or a detector would use against it."""

    name: str
    match: str


FLOODS = (
    Flood("SYN", "flags syn&!ack"),
    Flood("ACK", "flags ack&!syn"),
    Flood("RST", "flags rst"),
    Flood("UDP", "proto udp"),
    Flood("fragment", "fragment later"),
    Flood("QUIC", "proto udp dst-port 443 length >=1000"),
)


def _tcp(mac: str, to: str, flags: int) -> bytes:
    frame = bytearray(flood.syn_frame(mac, to, PORT))
    frame[47] = flags
    return bytes(frame)


def question(name: str, number: int = 1) -> bytes:
    """A query for the address of a name (RFC 1035), as a resolver sends it."""
    labels = b"".join(bytes((len(label),)) + label.encode() for label in name.split("."))
    return struct.pack(">6H", number & 0xFFFF, 0x0100, 1, 0, 0, 0) + labels + b"\0\0\1\0\1"


def _frame(name: str, mac: str, to: str) -> bytes:
    if name in ("SYN", "ACK", "RST"):
        return _tcp(mac, to, {"SYN": _SYN, "ACK": _ACK, "RST": _RST}[name])
    if name == "DNS":
        query = question("of-nobody.school.example")
        return flood.udp_frame(mac, to, 53, len(query))[: -len(query)] + query
    if name == "A2S":
        frame = bytearray(flood.udp_frame(mac, to, game.PORT, len(game.INFORMATION)))
        frame[-len(game.INFORMATION) :] = game.INFORMATION
        frame[20:22] = _DONT_FRAGMENT  # as Linux sends it
        return bytes(frame)
    if name == "UDP":
        return flood.udp_frame(mac, to, 20_003, 172)
    frame = bytearray(flood.udp_frame(mac, to, 443, 1172))
    if name == "fragment":
        frame[20:22] = struct.pack(">H", 185)
    else:
        frame[42:47] = b"\xc3\0\0\0\1"  # an Initial of QUIC version 1
    return bytes(frame)


def sources() -> bytes:
    """Addresses of the networks of the clients, and the clients' own, in random order."""
    rng = random.Random(5)
    addresses = [f"{rng.choice(NETWORKS)}.{rng.randrange(1, 255)}" for _ in range(_SOURCES)]
    addresses[: len(CLIENTS)] = CLIENTS
    rng.shuffle(addresses)
    return b"".join(ip_address(address).packed for address in addresses)


@contextmanager
def flooding(place: Place, generator: Generator, name: str, pps: int = PPS) -> Iterator[None]:
    """Send a flood until the block ends."""
    index, _ = interface(place.world, "far0")
    generator.stop.clear()
    generator.aim(_frame(name, place.mac, SERVER), sources(), index)
    sending = place.world.start(lambda: _send(generator, pps))
    try:
        time.sleep(0.1)
        yield
    finally:
        generator.stop.set()
        sending.result()


def _send(generator: Generator, pps: int) -> None:
    until = time.monotonic() + _SECONDS_MAX
    while not generator.stop.is_set() and time.monotonic() < until:
        generator.run(pps, pps, 1.0)
