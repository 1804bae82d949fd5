# SPDX-License-Identifier: GPL-2.0-or-later
"""The detector between the kernel's heads of packets and the control plane's hook."""

import logging
import os
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import numpy as np

from xdpctl.base.net.prefix import Prefix
from xdpctl.base.system import sd_notify
from xdpctl.base.system.owned_folder import Owned
from xdpctl.base.system.signal_event import SignalEvent
from xdpctl.config.settings import Settings
from xdpctl.datapath.bpf.ringbuf import Follower
from xdpctl.errors import DatapathError, XdpctlError
from xdpctl.flood.engine import Engine
from xdpctl.flood.mitigation import Report
from xdpctl.model.event import Phase
from xdpctl.model.expectation import Expectation
from xdpctl.model.protection import CONFIGURED, OWN_ADDRESS
from xdpctl.processes.detector import learnt
from xdpctl.processes.detector.stand_in import StandIn
from xdpctl.processes.detector.status import status
from xdpctl.processes.detector.teller import Teller, told
from xdpctl.traffic.packets import read
from xdpctl.watch.loader_report import LoaderReport, protection

log = logging.getLogger("xdpctl.detect")
_POLL_SECONDS = 0.01
_READ_SECONDS = 0.1  # if there is little to read
_MANY = 64  # heads, which are read at once
_BEAT_SECONDS, _SAVE_SECONDS = 1.0, 60.0
_ASK_SECONDS = 2.0  # between two requests for what operators expect


@dataclass(slots=True)
class Detector:
    """The engine between the ring and the hook.

    Threads post reports and write files, so neither a busy control plane nor a slow disk keeps it
    from reading.
    """

    settings: Settings
    follower: Follower
    engine: Engine
    teller: Teller
    stand_in: StandIn
    pin: Path
    alive_fd: int | None = None
    stopping: SignalEvent = field(default_factory=SignalEvent)
    _read_at: float = 0.0
    _beat_at: float = 0.0
    _save_at: float = 0.0
    _overrun: int = 0
    _blind: bool = False
    _reports: list[Report] = field(default_factory=list)
    _telling: Future[dict[str, str]] | None = None
    _told: list[Report] = field(default_factory=list)
    _asking: Future[tuple[Expectation, ...] | None] | None = None
    _asked_at: float = 0.0
    _writing: Future[None] | None = None
    _problem: str = ""
    _inode: int = field(init=False)

    def __post_init__(self) -> None:
        self._inode = self.pin.stat().st_ino

    def run(self) -> None:
        """Detect until `stopping` is set; then write what was learnt."""
        self._save_at = time.monotonic() + _SAVE_SECONDS
        pools = ThreadPoolExecutor(1), ThreadPoolExecutor(1), ThreadPoolExecutor(1)
        with pools[0] as telling, pools[1] as asking, pools[2] as writing:
            while not self.stopping.is_set():
                now = time.monotonic()
                if self.follower.waiting >= _MANY or now >= self._read_at + _READ_SECONDS:
                    self._read_at = now
                    self._step(now)
                self._tell(telling)
                self._ask(now, asking)
                if now >= self._beat_at + _BEAT_SECONDS:
                    self._beat_at = now
                    self._beat(now, writing)
                self.stopping.wait(_POLL_SECONDS)
        self.stand_in.stop()
        self._write(self._files(time.monotonic(), save=True))

    def _step(self, now: float) -> None:
        """Read the new heads, and pass them to the engine.

        While nobody empties the ring, the engine's time stands still: an attack that the engine
        cannot see may still go on.
        """
        packets = read(heads := self.follower.read_all())
        self.stand_in.step(now, packets, self.follower.room)
        if self.stand_in.blind and not len(packets):
            self._blind = True
            return
        seconds = _READ_SECONDS if self._blind else None
        self._blind = False
        if self.follower.overrun > self._overrun and len(heads):  # only the newest heads are left
            self._overrun = self.follower.overrun
            seconds = max(float(np.ptp(heads["time_ns"])) / 1e9, _POLL_SECONDS)
        self._reports += self.engine.step(now, time.time(), packets, seconds)

    def _tell(self, pool: ThreadPoolExecutor) -> None:
        """Post reports, one body at a time, and take the answer to the one before into account."""
        if self._telling and self._telling.done():
            problems = self._telling.result()
            for report in self._told:
                why = problems.get(report.mitigation.id, "")
                limit = self.teller.softened.pop(report.mitigation.id, None)
                self.engine.mitigations.answered(report.mitigation.id, why, limit)
                _log(report, why)
            self._telling = None
        if self._reports and not self._telling:
            self._told, self._reports = self._reports, []
            self._telling = pool.submit(self.teller.tell, [told(report) for report in self._told])

    def _ask(self, now: float, pool: ThreadPoolExecutor) -> None:
        """Ask periodically what operators expect; each answer applies until the next one comes."""
        if self._asking and self._asking.done():
            if (expectations := self._asking.result()) is not None:
                self.engine.expectations = expectations
            self._asking = None
        if not self._asking and now >= self._asked_at + _ASK_SECONDS:
            self._asked_at = now
            self._asking = pool.submit(self.teller.expectations)

    def _beat(self, now: float, pool: ThreadPoolExecutor) -> None:
        """Once a second, read which prefixes are protected, and report.

        DatapathError if the ring was replaced: this process would see nothing any more.
        """
        if not self.pin.exists() or self.pin.stat().st_ino != self._inode:
            raise DatapathError("the maps were made anew, so the detector has to begin anew")
        self.engine.ours = prefixes(self.settings)
        if self._writing is None or self._writing.done():
            save = now >= self._save_at
            self._save_at = now + _SAVE_SECONDS if save else self._save_at
            self._writing = pool.submit(self._write, self._files(now, save))
        sd_notify.alive()
        if self.alive_fd is not None:
            with suppress(BlockingIOError):  # the parent does not read: it is busy
                os.write(self.alive_fd, b".")

    def _files(self, now: float, save: bool) -> dict[Path, bytes]:
        """What is to be written: the report, and at times what was learnt."""
        if save:
            self.engine.mitigations.earlier.forget(time.time())
        report = status(self.engine, self.follower.overrun, now)
        files = {self.settings.detector_status: msgspec.json.encode(report)}
        if save:
            files[self.settings.detector_learnt] = learnt.packed(self.engine)
        return files

    def _write(self, files: dict[Path, bytes]) -> None:
        problem = ""
        for path, data in files.items():
            try:
                with Owned(path.parent) as folder:
                    folder.replace(path.name, data, 0o640, durable=False)
            except (OSError, XdpctlError) as error:
                problem = f"{path.name} is not written: {error}"
        if problem and problem != self._problem:
            log.warning("%s; detection goes on", problem)
        self._problem = problem


def _log(report: Report, why: str) -> None:
    mitigation = report.mitigation
    state = f"not in force: {why}" if why else "in monitor mode" if report.watch else "in force"
    if report.phase is Phase.ENDED:
        state = "ended"
    elif report.phase is Phase.CONTINUES and not why and not report.watch:
        return
    log.info("%s %s: %s", mitigation.action, mitigation.match, state)


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
