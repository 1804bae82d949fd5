# SPDX-License-Identifier: GPL-2.0-or-later
"""A school district's morning: twelve attack waves with different vectors, two of them at once.

Two waves come from inside. The detector is a simple one for this test: it counts what passes, and
reports what it sees through the hook. The report says how long each wave took; `make morning`
writes it for the documentation.
"""

import errno
import random
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Any, Protocol

from tests.lab.conftest import SERVER
from tests.lab.echo import PORT
from tests.lab.questions import counted
from xdpctl.abi.constants import KEPT_OUT, Reason
from xdpctl.base.net.packets import SYN, build
from xdpctl.base.net.prefix import Prefix, parse_prefix
from xdpctl.lab.box import Box
from xdpctl.lab.namespaces import Host

OTHER = "192.0.2.2"
OUTSIDE = [f"203.0.113.{n}" for n in range(1, 200)]
INSIDE = [f"192.0.2.{n}" for n in range(200, 210)]
INSIDE_SOURCES = tuple(INSIDE)
SETTINGS = "[automatic]\nsame_incident = 0.5\n"
_PPS = 20_000  # packets a second of a wave, which raw sockets in Python can send
_SECONDS_MAX = 60.0
_SEEN = 3_000  # packets that pass before the detector reports
_BATCH = 200
_PATIENCE = 20.0
_SHORT_SECONDS, _LONG_SECONDS = 1.0, 15.0  # enough for some packets to be kept; to be drawn


@dataclass(frozen=True, slots=True)
class Wave:
    """An attack wave, and the kind of attack that the detector reports."""

    name: str
    attack: str
    protocol: int
    source_port: int = 4000
    port: int = 5000
    length: int | None = None
    sources: Sequence[str] = tuple(OUTSIDE)
    victim: str = SERVER
    later_fragment: bool = False
    tcp_flags: int = SYN

    def frames(self, mac: str) -> list[bytes]:
        victim = parse_prefix(self.victim)
        return [self._frame(parse_prefix(source), victim, mac) for source in self.sources]

    def _frame(self, source: Prefix, victim: Prefix, mac: str) -> bytes:
        ports = self.source_port, self.port
        how = (source, victim, self.protocol, *ports)
        built = build(*how, packet_length=self.length, tcp_flags=self.tcp_flags)
        frame = bytearray(bytes.fromhex(mac.replace(":", "")) + built[6:])
        if self.later_fragment:
            frame[20:22] = struct.pack(">H", 185)
        return bytes(frame)

    def event(self, identity: str, phase: str, pps: float = 0.0) -> dict[str, Any]:
        body: dict[str, Any] = {"phase": phase, "id": identity, "victim": self.victim}
        body |= {"attack": self.attack, "note": self.name}
        if self.attack == "amplification":
            body["port"] = self.source_port
        return body | ({"pps": round(pps)} if pps else {})


def _amplified(name: str, port: int, length: int, **more: Any) -> Wave:
    return Wave(name, "amplification", 17, port, 4444, length, **more)


WAVES = (
    _amplified("DNS amplification", 53, 1200),
    Wave("UDP flood", "udp_flood", 17),
    Wave("SYN flood", "syn_flood", 6, port=PORT),
    Wave("ICMP flood", "icmp_flood", 1),
    _amplified("NTP amplification", 123, 468),
    Wave("UDP flood from inside", "udp_flood", 17, sources=INSIDE_SOURCES),
    Wave("fragments", "ip_fragmentation", 17, length=1400, later_fragment=True),
    _amplified("SSDP amplification", 1900, 320),
    Wave("ACK flood", "unknown", 6, port=PORT, tcp_flags=0x10, sources=tuple(OUTSIDE[:8])),
    Wave("ICMP flood from inside", "icmp_flood", 1, sources=INSIDE_SOURCES),
    _amplified("memcached amplification", 11211, 1400),
    Wave("SYN flood on another server", "syn_flood", 6, port=PORT, victim=OTHER),
)
FROM_OUTSIDE = [wave for wave in WAVES if wave.sources is not INSIDE_SOURCES]


class Ground(Protocol):
    """Where waves are played: the attacker has the card `far0`; `mac` is the next hop's address."""

    @property
    def attacker(self) -> Host: ...

    @property
    def mac(self) -> str: ...


@dataclass(slots=True)
class Felt:
    """The result of a wave; times in milliseconds from its first packet, or from the report."""

    name: str
    incident: str
    seen: float = 0.0
    answered: float = 0.0
    held: float = 0.0
    dropped: int = 0
    released: float = 0.0


@contextmanager
def flooding(
    ground: Ground, *waves: Wave, pps: int = _PPS, pulse_seconds: float = 0.0
) -> Iterator[None]:
    """Send waves together until the block ends; a pulsing wave has pauses as long as its pulses."""
    built, stop = [f for wave in waves for f in wave.frames(ground.mac)], threading.Event()
    random.Random(1).shuffle(built)

    def run() -> None:
        until, endless = time.monotonic() + _SECONDS_MAX, cycle(built)
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as out:
            out.bind(("far0", 0))
            while not stop.is_set() and time.monotonic() < until:
                began = time.monotonic()
                if pulse_seconds and began % (2 * pulse_seconds) > pulse_seconds:
                    time.sleep(0.01)
                    continue
                for frame in islice(endless, _BATCH):
                    _send(out, frame)
                time.sleep(max(0.0, began + _BATCH / pps - time.monotonic()))

    sending = ground.attacker.start(run)
    try:
        yield
    finally:
        stop.set()
        sending.result()


def _send(out: socket.socket, frame: bytes) -> None:
    """Send a frame, or lose it if the queue is full, as any wire would."""
    try:
        out.send(frame)
    except OSError as error:
        if error.errno != errno.ENOBUFS:
            raise


def say(box: Box, **event: Any) -> dict[str, Any]:
    answer: dict[str, Any] = box.client.call("POST", "/v1/hooks/event", json=event)
    return answer


def _soon(condition: Callable[[], bool]) -> bool:
    """Poll a condition at short intervals, because short times are measured."""
    until = time.monotonic() + _PATIENCE
    while time.monotonic() < until:
        if condition():
            return True
        time.sleep(0.002)
    return False


def _dropped(box: Box) -> int:
    return sum(counted(box, reason) for reason in KEPT_OUT)


def _passed(box: Box) -> int:
    return counted(box, Reason.NO_RULE)


def begin(box: Box, wave: Wave, identity: str) -> Felt:
    """Wait until the detector sees the wave, let it report, and wait until the wave is held."""
    began, passed, dropped = time.monotonic(), _passed(box), _dropped(box)
    armed = any(rule["mode"] == "enforce" for rule in box.client.pages())
    assert _soon(lambda: _passed(box) - passed > _SEEN or (armed and _dropped(box) > dropped))
    seen_at = time.monotonic()
    pps = (_passed(box) + _dropped(box) - passed - dropped) / (seen_at - began)
    before = _dropped(box)
    done = say(box, **wave.event(identity, "began", pps))
    answered = time.monotonic()
    assert done["rules"], done
    assert not done["refused"], done
    assert _soon(lambda: _dropped(box) > before)
    held_at = time.monotonic()
    times = (1e3 * (seen_at - began), 1e3 * (answered - seen_at), 1e3 * (held_at - seen_at))
    return Felt(wave.name, done["incidents"][0], *times)


def end(box: Box, wave: Wave, identity: str, felt: Felt) -> None:
    """Report the end of a wave, and wait until its rules are gone."""
    began = time.monotonic()
    say(box, **wave.event(identity, "ended"))
    assert _soon(lambda: not _standing(box, felt.incident))
    felt.released = 1e3 * (time.monotonic() - began)
    felt.dropped = box.client.call("GET", f"/v1/incidents/{felt.incident}")["packets"]


def _standing(box: Box, incident: str) -> bool:
    return any(f"incident-{incident}" in rule["tags"] for rule in box.client.pages())


def waves(
    ground: Ground, box: Box, long: int = -1, played: Sequence[Wave] = WAVES
) -> Iterator[Felt]:
    """One after the other, and the last two together; during each, whoever asks may look whether
    all is well. One may be `long`.
    """
    number = 0
    while number < len(played):
        now = played[number : number + (2 if number + 2 == len(played) else 1)]
        felt = list[Felt]()
        with _all(ground, now, box, number, felt):
            yield from felt
            time.sleep(_LONG_SECONDS if number == long else _SHORT_SECONDS)
        for offset, wave in enumerate(now):
            end(box, wave, str(number + offset), felt[offset])
        number += len(now)
        time.sleep(0.6)


@contextmanager
def _all(
    ground: Ground, now: Sequence[Wave], box: Box, number: int, felt: list[Felt]
) -> Iterator[None]:
    """Begin each wave while the earlier ones continue."""
    if not now:
        yield
        return
    with flooding(ground, now[0]):
        felt.append(begin(box, now[0], str(number)))
        with _all(ground, now[1:], box, number + 1, felt):
            yield
