# SPDX-License-Identifier: GPL-2.0-or-later
"""Records the figures each second, of the host and of each interface."""

import logging
from collections.abc import Mapping
from pathlib import Path
from threading import Lock

import numpy as np

from xdpctl.base.periodic import PeriodicTask
from xdpctl.control.controller import Controller
from xdpctl.errors import SeriesError
from xdpctl.series import figures
from xdpctl.series.levels import Levels
from xdpctl.series.value_file import Values
from xdpctl.traffic import classes
from xdpctl.traffic.sampler import Sampler

HOST = ""  # in place of an interface
_SECONDS = 1.0
_LATE_MAX = 5  # seconds that one reading may stand for
_RETRY_SECONDS = 60.0  # until files that could not be made are tried again
_INTERFACES_MAX = 64
_TROUBLE = "figures are not recorded"
log = logging.getLogger("xdpctl.series")


class SeriesRecorder:
    """Writes below a folder, between `start` and `stop`; `series` has what can be read.

    Where there is no room nothing is recorded, and `problem` says so. Without a folder there is
    only `latest`.
    """

    def __init__(self, controller: Controller, folder: Path | None, sampler: Sampler) -> None:
        self._controller, self._folder, self._sampler = controller, folder, sampler
        self._rates = figures.Rates()
        self._series: dict[str, Levels] = {}
        self._second: int | None = None
        self._retry_at = 0.0
        self._lock = Lock()
        self.problem = ""
        self.latest: dict[str, float | None] = {}  # the host's figures; None for what is unknown
        self._beat = PeriodicTask("series", _SECONDS, self.step, _TROUBLE, rest=_RETRY_SECONDS)
        self.start = self._beat.start

    def stop(self) -> None:
        """Stop recording, and close the files."""
        self._beat.stop()
        with self._lock:
            for each in self._series.values():
                each.close()
            self._series = {}

    @property
    def series(self) -> Mapping[str, Levels]:
        """What is recorded, by interface; HOST for all together."""
        return dict(self._series)

    def step(self, now: float) -> None:
        """Record the time since the last step."""
        second = int(self._controller.clock.read().unix)
        if second == self._second:
            return
        values = self._values(now)
        self.latest = dict(zip(figures.OF_HOST, figures.known(values[HOST]), strict=True))
        with self._lock:
            if self._beat.stopping:
                return
            for name, row in values.items():
                series = self._opened(name, now)
                if series is not None:
                    self._write(series, second, row)
        self._second = second

    def _write(self, series: Levels, second: int, row: Values) -> None:
        last = self._second if self._second is not None else second - 1
        first = last + 1 if last < second <= last + _LATE_MAX else second
        for each in range(first, second + 1):
            series.write(each, row)

    def _opened(self, name: str, now: float) -> Levels | None:
        """The series of an interface or the host; None while there is no room for it."""
        if name in self._series:
            return self._series[name]
        if self._folder is None or now < self._retry_at or len(self._series) > _INTERFACES_MAX:
            return None
        folder = self._folder / "interfaces" / name if name else self._folder / "host"
        columns = figures.OF_INTERFACE if name else figures.OF_HOST
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._series[name] = Levels(folder, columns)
            self.problem = ""
        except (OSError, SeriesError) as error:
            self._retry_at = now + _RETRY_SECONDS
            if not self.problem:
                log.warning("%s: %s", _TROUBLE, error)
            self.problem = f"{_TROUBLE}: {error}"
            return None
        return self._series[name]

    def _values(self, now: float) -> dict[str, Values]:
        """A row for each interface and for the host."""
        found: dict[str, Values] = {}
        total = np.zeros(len(figures.RATES))
        drops = 0.0
        for name, by_reason in self._controller.datapath.counters().items():
            counts = figures.counts(by_reason)
            lost = figures.driver_drops(name)
            total, drops = total + counts, drops + lost
            rates = self._rates.of(name, now, np.append(counts[:4], lost))
            link = np.float32((rates[1] + rates[3]) / figures.link_bits(name))
            found[name] = np.append(rates, link)
        more = [drops, float(self._controller.datapath.heads.lost()), *figures.softirq_ticks()]
        rates = self._rates.of(HOST, now, np.append(total, more))
        softirq = rates[-2] / rates[-1] if rates[-1] else np.nan
        state, seen = self._controller.state, self._sampler.window.last(_SECONDS)
        gauges = (
            *(len(state.rules), len(state.signatures), len(state.sets)),
            *(sum(each.open for each in list(state.incidents.values())), softirq),
        )
        found[HOST] = np.concatenate(
            [
                *(rates[: len(figures.RATES)], np.array(gauges, np.float32), rates[-4:-2]),
                classes.rates(seen.packets, seen.seconds).reshape(-1).astype(np.float32),
            ]
        )
        return found
