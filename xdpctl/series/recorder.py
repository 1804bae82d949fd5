# SPDX-License-Identifier: GPL-2.0-or-later
"""Records the figures of the host and of each interface each second."""

import logging
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from threading import Lock

import numpy as np

from xdpctl.base.periodic import PeriodicTask
from xdpctl.control.controller import Controller
from xdpctl.errors import SeriesError
from xdpctl.series import figures
from xdpctl.series.levels import Levels
from xdpctl.series.ring_file import Values

HOST = ""  # in place of an interface's name
_KINDS = "/"  # the same, for kinds of packets; no interface has this name
_SECONDS = 1.0
_LATE_MAX = 5  # seconds that the values of a late step fill at most
_RETRY_SECONDS = 60.0  # until files that could not be made are tried again
_INTERFACES_MAX = 64
_TOLD_MAX = 3
_TROUBLE = "figures are not recorded"
log = logging.getLogger("xdpctl.series")


class SeriesRecorder:
    """Writes files in a folder, between `start` and `stop`; `series` reads them.

    If there is no room, nothing is recorded, and `problem` says so. Without a folder there is only
    `latest`. `served` returns the connections and answers of services inside so far, by protocol.
    """

    def __init__(
        self,
        controller: Controller,
        folder: Path | None,
        served: Callable[[], Mapping[int, float]],
    ) -> None:
        self._controller, self._folder, self._served = controller, folder, served
        self._rates = figures.Rates()
        self._series: dict[str, Levels] = {}
        self._second: int | None = None
        self._retry_at: dict[str, float] = {}
        self._problem_of: dict[str, str] = {}
        self._lock = Lock()
        self.problem = ""
        self.latest: dict[str, float | None] = {}  # the host's figures; None for what is unknown
        self._beat = PeriodicTask("series", _SECONDS, self.step, _TROUBLE, rest=_RETRY_SECONDS)
        self.start = self._beat.start

    def warnings(self) -> list[str]:
        """Why nothing is recorded; empty if all is well."""
        return [self.problem] if self.problem else []

    def stop(self) -> None:
        """Stop recording, and close the files."""
        self._beat.stop()
        with self._lock:
            for levels in self._series.values():
                levels.close()
            self._series = {}

    @property
    def series(self) -> Mapping[str, Levels]:
        """The recorded series by interface; HOST has the figures of the whole host."""
        return dict(self._series)

    def step(self, now: float) -> None:
        """Record the time since the last step."""
        second = int(self._controller.clock.read().unix)
        if second == self._second:
            return
        values = self._values(now)
        self.latest = dict(zip(figures.OF_HOST, figures.known(values[HOST]), strict=True))
        with self._lock:
            if self._beat.stopping or self._folder is None:
                return
            self._close_all_but(values)
            problems = [
                problem
                for name, row in values.items()
                if (problem := self._record(self._folder, name, second, row, now))
            ]
        self._say(problems)
        self._second = second

    def _close_all_but(self, names: Iterable[str]) -> None:
        for gone in self._series.keys() - set(names):
            self._series.pop(gone).close()

    def _record(self, folder: Path, name: str, second: int, row: Values, now: float) -> str:
        """Write a row; return why it could not be written, or an empty text."""
        if now < self._retry_at.get(name, 0.0):
            return self._problem_of.get(name, "")
        try:
            self._write(self._opened(folder, name), second, row)
        except (OSError, SeriesError) as error:
            self._retry_at[name], self._problem_of[name] = now + _RETRY_SECONDS, str(error)
            return str(error)
        return ""

    def _say(self, problems: list[str]) -> None:
        """Keep the problems for `status`, and log them once."""
        text = f"{_TROUBLE}: {'; '.join(problems[:_TOLD_MAX])}" if problems else ""
        if text and text != self.problem:
            log.warning("%s", text)
        self.problem = text

    def _write(self, series: Levels, second: int, row: Values) -> None:
        last = self._second if self._second is not None else second - 1
        first = last + 1 if last < second <= last + _LATE_MAX else second
        for at in range(first, second + 1):
            series.write(at, row)

    def _opened(self, folder: Path, name: str) -> Levels:
        """The series of an interface or the host; SeriesError if there is no room for it."""
        if name in self._series:
            return self._series[name]
        if len(self._series) > _INTERFACES_MAX:
            raise SeriesError(f"{name} is one interface too many: {_INTERFACES_MAX} are recorded")
        own = folder / "interfaces" / name if name else folder / "host"
        own.mkdir(parents=True, exist_ok=True)
        self._series[name] = Levels(own, figures.OF_INTERFACE if name else figures.OF_HOST)
        return self._series[name]

    def _values(self, now: float) -> dict[str, Values]:
        """A row for the host, which is first, and for each interface."""
        rows: dict[str, Values] = {}
        # sums of rates, and not rates of sums: interfaces come and go
        total = np.zeros(len(figures.RATES) + 1, np.float32)
        for name, by_reason in self._controller.datapath.counters().items():
            counts = np.append(figures.counts(by_reason), figures.driver_drops(name))
            rates = self._rates.of(name, now, counts)
            total += np.nan_to_num(rates)
            link = np.float32((rates[1] + rates[3]) / figures.link_bits(name))
            rows[name] = np.concatenate([rates[:4], [rates[-1], link]], dtype=np.float32)
        return {HOST: self._of_host(now, total), **rows}

    def _of_host(self, now: float, total: Values) -> Values:
        heads = self._controller.datapath.heads
        served = self._served()
        counted = [served[protocol] for protocol in figures.SERVED]
        more = [float(heads.lost()), *figures.softirq_ticks(), *counted]
        not_sampled, softirq, ticks, *rates = self._rates.of(HOST, now, np.array(more)).tolist()
        by_kind = self._rates.of(_KINDS, now, figures.by_kind(heads.volumes()))
        if np.isnan(ticks):  # the first reading
            total = np.full(len(total), np.nan, np.float32)
        state = self._controller.state
        gauges = (
            *(len(state.rules), len(state.matches), len(state.sets)),
            sum(incident.open for incident in list(state.incidents.values())),
            softirq / ticks if ticks else np.nan,
        )
        single = np.array([*gauges, total[-1], not_sampled, *rates])
        return np.concatenate([total[:-1], single, by_kind], dtype=np.float32)
