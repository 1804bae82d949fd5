# SPDX-License-Identifier: GPL-2.0-or-later
"""The running product: from the first packet of a flood to the rule in force, and who is hit.

A bridge before a server; sessions and conversations of people go on meanwhile.
"""

import os
import pwd
import shutil
import subprocess
import time
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.detection.frames import Sender, frames
from bench.detection.made import ATTACKS, balanced
from tests.lab.behind import scenario
from tests.lab.behind.people import Conversations, Server, Sessions
from tests.lab.behind.places import SETTINGS, place
from xdpctl.abi.constants import KEPT_OUT, Reason
from xdpctl.base.net.prefix import parse_prefix
from xdpctl.datapath.bpf import maps
from xdpctl.datapath.loader.take_down import take_down
from xdpctl.flood.engine import Engine
from xdpctl.flood.memory import NormalTraffic
from xdpctl.flood.settings import DetectSettings
from xdpctl.flood.usual import Usual
from xdpctl.lab.box import Box
from xdpctl.lab.flood import Generator, compile_generator
from xdpctl.processes.detector import learnt
from xdpctl.processes.detector.status import DetectorStatus, read_status

_STANDARD = 25_000.0  # packets a second
_WEEK = 7 * 86_400.0
_PATIENCE = 5.0
_MANY = 12  # packets in a millisecond: more than people send
_OURS = "192.0.2.0/24"


@dataclass(frozen=True, slots=True)
class Felt:
    """What a flood did. Times are milliseconds from its first packet to the first kept-out one.

    `dropped` is the share of the whole flood that was kept out, `lost` the share of the worst
    conversation's packets, `broken` sessions.
    """

    name: str
    rate: float
    held: float | None
    dropped: float
    actions: tuple[str, ...]
    broken: int
    lost: float
    heads: int


class Scene(scenario.Scene):
    """A running box with people behind it, and its detector."""

    @property
    def status_path(self) -> Path:
        """The detector's report."""
        return self.box.directory / "state" / "control" / "detect.json"

    def status(self) -> DetectorStatus:
        """What the detector reports."""
        status = read_status(self.status_path)
        assert status is not None
        return status


def _prepare(box: Box) -> None:
    """Write a baseline file as if the detector had learnt for a week."""
    random = np.random.default_rng(4)
    normal = NormalTraffic(1)
    normal.restore(balanced(random, 2_000))
    usual = Usual(time.time() - _WEEK, _WEEK)
    engine = Engine(DetectSettings(), [parse_prefix(_OURS)], usual, normal)
    folder = box.directory / "state" / "control"
    user = pwd.getpwnam("xdpctl")
    folder.mkdir(parents=True, exist_ok=True)
    os.chown(folder, user.pw_uid, user.pw_gid)
    path = folder / "detect.learnt"
    path.write_bytes(learnt.packed(engine))
    os.chown(path, user.pw_uid, user.pw_gid)


@contextmanager
def scene(
    kind: str = "bridge",
    sessions: int = 50,
    taught: bool = True,
    detects: bool = True,
    settings: str = SETTINGS,
) -> Iterator[Scene]:
    """Start a box with logged-in people; its detector has a baseline if `taught`."""
    with (
        closing(Generator(compile_generator())) as generator,
        place(kind, generator.pass_fd) as here,
        ExitStack() as cleanup,
    ):
        box = Box(here.box, ["out0"])
        cleanup.callback(box.remove)
        box.detects, box.settings = detects, settings
        if taught:
            _prepare(box)
        box.start()
        server = Server(here)
        cleanup.callback(server.close)
        people = Sessions(here, sessions)
        cleanup.callback(people.close)
        talks = Conversations(here)
        cleanup.callback(talks.close)
        if detects:
            _reporting(box)
        yield Scene(here, box, people, talks, generator)


class Counters:
    """Reads the counters of the outer card with little overhead."""

    def __init__(self, box: Box) -> None:
        self._map = maps.open_map(box.pins.port("out0") / "counters")

    def read(self, *reasons: Reason) -> int:
        """The number of packets with these reasons."""
        return sum(_packets(self._map.get(int(reason).to_bytes(4, "little"))) for reason in reasons)

    def close(self) -> None:
        """Close the map."""
        self._map.close()


def _packets(per_cpu: bytes | None) -> int:
    return int(np.frombuffer(per_cpu or b"", "<u8")[::2].sum())


def flood(scene: Scene, name: str, rate: float = _STANDARD, seconds: float = 3.0) -> Felt:
    """Play one synthetic attack, after earlier rules were removed."""
    forget(scene)
    random = np.random.default_rng(zlib.crc32(name.encode()))
    packets = ATTACKS[name](random, 4_096)
    packets = packets[packets["packet_length"] <= 1_500]
    return _felt(scene, name, frames(packets, scene.place.mac), rate, seconds)


def _felt(scene: Scene, name: str, built: list[bytes], rate: float, seconds: float) -> Felt:
    with closing(Counters(scene.box)) as counters:
        sender = Sender("far0", built, rate, seconds)
        kept_out = counters.read(*KEPT_OUT)
        scene.talks.mark()
        sending = scene.place.world.start(sender.run)
        began = None
        held_at: float | None = None
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            now = time.monotonic()
            if began is None and sender.sent:
                began = now
            if held_at is None and counters.read(*KEPT_OUT) > kept_out:
                held_at = now
            time.sleep(0.001 if held_at is None else 0.05)
        sender.stop.set()
        sending.result()
        time.sleep(0.1)
        dropped = counters.read(*KEPT_OUT) - kept_out
    lost = scene.talks.worst().lost
    time.sleep(1.2)  # until the detector reports again
    answers = [mitigation for mitigation in scene.status().mitigations if not mitigation.refused]
    return Felt(
        name,
        rate,
        None if held_at is None or began is None else 1e3 * (held_at - began),
        dropped / max(sender.sent, 1),
        tuple(sorted({mitigation.action for mitigation in answers})),
        scene.sessions.waiting(2.0),
        lost,
        max((mitigation.finding.heads for mitigation in answers), default=0),
    )


def forget(scene: Scene) -> None:
    """Restart the box with empty tables and a fresh baseline."""
    box = scene.box
    box.stop()
    scene.place.box.call(lambda: take_down(box.pins))
    shutil.rmtree(box.directory / "state" / "control")
    _prepare(box)
    box.start()
    _reporting(box)


def _reporting(box: Box) -> None:
    """Wait for the detector's report, and a moment until people's flows are known."""
    path, until = box.directory / "state" / "control" / "detect.json", time.monotonic() + _PATIENCE
    while read_status(path) is None and time.monotonic() < until:
        time.sleep(0.05)
    time.sleep(1.0)


def kept_out(scene: Scene) -> int:
    """The number of packets that rules have kept out so far."""
    with closing(Counters(scene.box)) as counters:
        return counters.read(*KEPT_OUT)


def reaction(
    scene: Scene, flooding: Callable[[], AbstractContextManager[None]], seconds: float = 3.0
) -> float | None:
    """Milliseconds from the first packet of a flood that passes to the first that is kept out."""
    with closing(Counters(scene.box)) as counters, ThreadPoolExecutor(1) as pool:
        before, passed = counters.read(*KEPT_OUT), counters.read(Reason.NO_RULE)
        watching = pool.submit(_watched, counters, before, passed, seconds)
        with flooding():
            began = time.monotonic()
            milliseconds = watching.result()
            time.sleep(max(0.0, began + seconds - time.monotonic()))
            return milliseconds


def _watched(counters: Counters, before: int, passed: int, seconds: float) -> float | None:
    """Milliseconds until packets are kept out; a flood begins with many packets in 1 ms."""
    until, began, last = time.monotonic() + seconds, None, passed
    while time.monotonic() < until:
        now, count = time.monotonic(), counters.read(Reason.NO_RULE)
        if began is None and count - last > _MANY:
            began = now
        if counters.read(*KEPT_OUT) > before:
            return 1e3 * (now - began) if began is not None else 0.0
        last = count
        time.sleep(0.001)
    return None


_TO = "192.0.2.1"
_NPING = ("--rate", "50000", "-c", "2000000", "-H", "-N", "-q", "-S", "203.0.113.7")
TOOLS: dict[str, tuple[str, ...]] = {
    "hping3, SYNs": ("hping3", "-S", "-p", "80", "--flood", "--rand-source", _TO),
    "hping3, ACKs": ("hping3", "-A", "-p", "80", "--flood", "--rand-source", _TO),
    "hping3, RSTs": ("hping3", "-R", "-p", "80", "--flood", "--rand-source", _TO),
    "hping3, UDP": ("hping3", "--udp", "-p", "443", "-d", "400", "--flood", "--rand-source", _TO),
    "hping3, UDP from port 53": (
        *("hping3", "--udp", "-s", "53", "-k", "-d", "1200", "--flood", "--rand-source"), _TO),
    "hping3, pings": ("hping3", "--icmp", "--flood", "--rand-source", _TO),
    "hping3, fragments": (
        *("hping3", "--udp", "-f", "-d", "1200", "--flood", "--rand-source"), _TO),
    "nping, SYNs": ("nping", "--tcp", "--flags", "syn", "-p", "80", *_NPING, _TO),
    "nping, UDP": ("nping", "--udp", "-p", "9999", "--data-length", "100", *_NPING, _TO),
}  # fmt: skip


@contextmanager
def tool(scene: Scene, command: tuple[str, ...]) -> Iterator[None]:
    """Run a program that sends a flood until the block ends."""
    nowhere = subprocess.DEVNULL
    started = scene.place.world.popen(*command, stdout=nowhere, stderr=nowhere)
    try:
        yield
    finally:
        started.terminate()
        started.wait()


def everything(kind: str = "bridge") -> Iterator[Felt]:
    """Play all synthetic attacks, one after the other."""
    with scene(kind) as here:
        for name in ATTACKS:
            yield flood(here, name)
