# SPDX-License-Identifier: GPL-2.0-or-later
"""The detector's process: `python -m xdpctl.service.detecting`.

It runs unprivileged, started by `xdpctl run` or a systemd unit. It reads the ring of heads beside
the control plane, which consumes it.
"""

import argparse
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from xdpctl.abi.arrays import HEAD
from xdpctl.base.net.prefix import Prefix
from xdpctl.base.system import logs, sd_notify
from xdpctl.base.system.die_with_parent import die_with
from xdpctl.base.system.filelock import hold as hold_lock
from xdpctl.base.system.logs import LogFormat
from xdpctl.base.system.owned_folder import Owned
from xdpctl.datapath.bpf import maps
from xdpctl.datapath.bpf.pins import Pins
from xdpctl.datapath.bpf.ringbuf import Follower
from xdpctl.detectors.builtin.engine import Engine
from xdpctl.detectors.builtin.kind import Kind
from xdpctl.detectors.builtin.settings import Most
from xdpctl.errors import DatapathError, SettingsError, XdpctlError
from xdpctl.model.protection import CONFIGURED, OWN_ADDRESS
from xdpctl.service import config
from xdpctl.service.detecting import learnt
from xdpctl.service.detecting.status import (
    HOLDS_SHOWN,
    STRATA_SHOWN,
    DetectorStatus,
    StratumSeen,
)
from xdpctl.service.detecting.teller import Teller
from xdpctl.service.loader_report import LoaderReport
from xdpctl.service.protection import protection
from xdpctl.service.settings import Settings
from xdpctl.traffic.packets import read

_POLL_SECONDS = 0.01
_READ_SECONDS = 0.05  # if there is little to read
_MANY = 64  # heads, which are read at once
_BEAT_SECONDS, _SAVE_SECONDS = 1.0, 60.0
log = logging.getLogger("xdpctl.detect")


@dataclass(slots=True)
class Detector:
    """The engine between the ring and the hook."""

    settings: Settings
    follower: Follower
    engine: Engine
    teller: Teller
    alive_fd: int | None = None
    stopping: threading.Event = field(default_factory=threading.Event)
    _read_at: float = 0.0
    _beat_at: float = 0.0
    _save_at: float = 0.0
    _problem: str = ""

    def run(self) -> None:
        """Detect until `stopping` is set; then write what was learnt."""
        self._save_at = time.monotonic() + _SAVE_SECONDS
        while not self.stopping.is_set():
            now = time.monotonic()
            if self.follower.waiting >= _MANY or now >= self._read_at + _READ_SECONDS:
                self._read_at = now
                self._step(now)
            if now >= self._beat_at + _BEAT_SECONDS:
                self._beat_at = now
                self._beat(now)
            self.stopping.wait(_POLL_SECONDS)
        self._write("what was learnt", self._save)

    def _step(self, now: float) -> None:
        packets = read(self.follower.read_all())
        reports = self.engine.step(now, time.time(), packets)
        if not reports:
            return
        for identity, why in self.teller.tell(reports).items():
            self.engine.holds.refused(identity, why)
        for report in reports:
            held = report.hold
            log.info(
                "%s: %s %s (%s)", report.phase.value, held.action, held.match,
                held.refused or ("in monitor mode" if report.watch else "in force"),
            )  # fmt: skip
        self._save_at = min(self._save_at, now + 1.0)  # so that a restart takes them over

    def _beat(self, now: float) -> None:
        """Once a second: look which prefixes are protected, and report."""
        self.engine.ours = prefixes(self.settings)
        self._write("the report", lambda: self._report(now))
        if now >= self._save_at:
            self._save_at = now + _SAVE_SECONDS
            self._write("what was learnt", self._save)
        sd_notify.alive()
        if self.alive_fd is not None:
            with suppress(BlockingIOError):  # the parent does not read: it is busy
                os.write(self.alive_fd, b".")

    def _write(self, what: str, write: Callable[[], None]) -> None:
        problem = ""
        try:
            write()
        except (OSError, XdpctlError) as error:
            problem = f"{what} is not written: {error}"
        if problem and problem != self._problem:
            log.warning("%s; detection goes on", problem)
        self._problem = problem

    def _save(self) -> None:
        self.engine.holds.forget(time.time())
        learnt.write(self.settings.detector_learnt, self.engine)

    def _report(self, now: float) -> None:
        path = self.settings.detector_status
        with Owned(path.parent) as folder:
            data = msgspec.json.encode(status(self.engine, self.follower.overrun, now))
            folder.replace(path.name, data, 0o640, durable=False)


def status(engine: Engine, overrun: int, now: float) -> DetectorStatus:
    """What the detector reports about itself."""
    settings, unix = engine.settings, time.time()
    strata = {
        (each.victim, each.kind): StratumSeen(
            str(each.victim),
            each.kind.setting,
            each.rate,
            each.threshold,
            engine.usual.best((each.victim, each.kind)),
            settings.most(each.victim, each.kind).value,
        )
        for each in engine.standing()
    }
    for key in engine.usual.known:
        if len(strata) < STRATA_SHOWN and key not in strata:
            victim, kind = key
            strata[key] = StratumSeen(
                str(victim),
                kind.setting,
                0.0,
                engine.threshold(key),
                engine.usual.best(key),
                settings.most(victim, kind).value,
            )
    return DetectorStatus(
        pid=os.getpid(),
        beat=now,
        mode=settings.mode.value,
        since=engine.usual.since,
        learning=max(0.0, engine.usual.since + settings.learning - unix),
        overrun=overrun,
        taught=engine.taught,
        normal={
            kind.setting: sum(engine.normal.of_family(family).count(kind) for family in (4, 6))
            for kind in Kind
        },
        strata=list(strata.values()),
        holds=engine.holds.active[:HOLDS_SHOWN],
    )


def prefixes(settings: Settings) -> tuple[Prefix, ...]:
    """The prefixes whose addresses are protected from attacks."""
    if settings.automatic.networks:
        return settings.automatic.networks
    try:
        report = LoaderReport.read(settings.loader_status)
    except (OSError, ValueError):
        return settings.protected
    why = protection(settings, report).why
    return tuple(prefix for prefix, reason in why.items() if reason in (CONFIGURED, OWN_ADDRESS))


def _detector(settings: Settings, alive_fd: int | None) -> Detector:
    pins = Pins(settings.pin_dir)
    path = pins.map("heads")
    if not path.exists():
        raise DatapathError(f"there are no pinned maps under {pins.root}: is the loader running?")
    heads = maps.open_map(path)
    unix = time.time()
    found = learnt.read(settings.detector_learnt, unix)
    engine = Engine(settings.detect, prefixes(settings), found.usual, found.normal)
    engine.holds.take_over(time.monotonic(), found.holds, found.earlier)
    follower = Follower(heads.fd, heads.shape.max_entries, HEAD)
    return Detector(settings, follower, engine, Teller(settings.listen.socket), alive_fd)


def run(settings: Settings, alive_fd: int | None) -> None:
    """Detect until SIGTERM or SIGINT."""
    lock = hold_lock(settings.control_dir / "detect.lock", "detector")
    try:
        detector = _detector(settings, alive_fd)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: detector.stopping.set())
        sd_notify.ready()
        held = len(detector.engine.holds.active)
        log.info("detecting; mode %s, %d answers taken over", settings.detect.mode.value, held)
        detector.run()
    finally:
        os.close(lock)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="xdpctl.service.detecting", description=__doc__)
    parser.add_argument("--config", type=Path)
    parser.add_argument("--state-dir", type=Path)
    parser.add_argument("--socket", type=Path)
    parser.add_argument("--pin-dir", type=Path)
    parser.add_argument("--log", type=LogFormat, choices=list(LogFormat))
    parser.add_argument(
        "--alive-fd", type=int, help="a pipe to which a byte is written each second"
    )
    parser.add_argument("--parent", type=int, help="end when this process, which started it, ends")
    given = vars(parser.parse_args())
    if (parent := given.pop("parent")) is not None:
        die_with(parent)
    alive_fd, path = given.pop("alive_fd"), given.pop("config")
    try:
        settings = config.override(config.load(path), **given)
        logs.configure(settings.log)
        if settings.detect.mode is Most.OFF:
            raise SettingsError("the detector is off: detect.mode")
        run(settings, alive_fd)
    except SettingsError as error:
        print(f"xdpctl: {error}", file=sys.stderr)
        sys.exit(os.EX_CONFIG)  # the units' RestartPreventExitStatus
    except XdpctlError as error:
        sys.exit(f"xdpctl: {error}")
