# SPDX-License-Identifier: GPL-2.0-or-later
"""Audits that somebody took the filter off an interface. The loader sees it and attaches again."""

from collections.abc import Callable

from xdpctl.base.periodic import PeriodicTask
from xdpctl.control.controller import Controller
from xdpctl.control.store.audit_search import Wanted, newest
from xdpctl.watch.loader_report import LoaderReport

ACTION = "filter.taken_off"
_SECONDS = 2.0
_ANSWER_SECONDS = 30.0
_KNOWN = 1_000  # audit records that are read at the start


class TakenOff:
    """Compares the loader's counts with what is audited; a restart records nothing twice.

    `report` returns the loader's last report.
    """

    def __init__(self, controller: Controller, report: Callable[[], LoaderReport | None]) -> None:
        self._controller, self._report = controller, report
        self._audited: dict[tuple[int, str], int] | None = None
        self._task = PeriodicTask(
            "taken off", _SECONDS, self.step, "not audited that the filter was taken off"
        )

    def start(self) -> None:
        """Look now, and then every two seconds."""
        self._task.start()

    def stop(self) -> None:
        self._task.stop()

    def step(self, _: float = 0.0) -> None:
        """Audit what the loader counted since."""
        if (report := self._report()) is None:
            return
        if self._audited is None:
            self._audited = _audited(self._controller)
        for name, port in report.ports.items():
            counted, key = int(port.get("taken_off", 0)), (report.pid, name)
            if counted > self._audited.get(key, 0):
                detail = {"times": counted, "loader": report.pid, "state": port.get("state")}
                self._note(name, detail)
                self._audited[key] = counted

    def _note(self, interface: str, detail: dict[str, object]) -> None:
        noted = self._controller.submit(
            lambda draft: draft.note("loader", ACTION, interface, **detail)
        )
        noted.result(_ANSWER_SECONDS)


def _audited(controller: Controller) -> dict[tuple[int, str], int]:
    found: dict[tuple[int, str], int] = {}
    for record in newest(controller.store, Wanted(action=ACTION), _KNOWN):
        key = int(record["detail"]["loader"]), str(record["subject"])
        found[key] = max(found.get(key, 0), int(record["detail"]["times"]))
    return found
