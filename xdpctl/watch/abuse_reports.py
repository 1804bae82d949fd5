# SPDX-License-Identifier: GPL-2.0-or-later
"""Sends abuse reports about an incident when it is over, if `reporter.send` says so."""

import time
from collections.abc import Callable
from typing import Any

from msgspec import structs

from xdpctl.base.net.prefix import Prefix
from xdpctl.base.periodic import PeriodicTask
from xdpctl.base.times import rfc3339
from xdpctl.control.controller import Controller
from xdpctl.incidents import abuse, summary
from xdpctl.incidents.abuse import Reporter
from xdpctl.incidents.files import Files
from xdpctl.incidents.ledger.by_hand import remark
from xdpctl.model.incident import Incident, subject_in_words
from xdpctl.notify.changes import News
from xdpctl.notify.settings import Kind

_LOOK_SECONDS = 5.0
_SETTLES_SECONDS = 10.0  # after an incident's end, until its last packets are in their file
_TROUBLE = "abuse reports are not sent"


class Reporting:
    """Runs from `start` to `stop`; `ours` says whether an address is in our own networks.

    Incidents that ended before the start are not reported.
    """

    def __init__(
        self,
        controller: Controller,
        reporter: Reporter,
        files: Files,
        ours: Callable[[Prefix], bool],
        tell: Callable[[News], None],
    ) -> None:
        self._controller, self._reporter = controller, reporter
        self._files, self._ours, self._tell = files, ours, tell
        self._open: set[str] = set()
        self._task = PeriodicTask("abuse reports", _LOOK_SECONDS, self.step, _TROUBLE)

    def start(self) -> None:
        self._task.start()

    def stop(self) -> None:
        """Stop; reports that are not sent yet will not be sent."""
        self._task.stop()

    @property
    def problem(self) -> str:
        """Why the last turn failed; "" if it did not."""
        return self._task.problem

    def warnings(self) -> list[str]:
        """Why the last turn failed, if it did."""
        return [self.problem] if self.problem else []

    def step(self, _now: float) -> None:
        """Report the incidents that are over since the last turn."""
        incidents = dict(self._controller.state.incidents)
        settled = time.time() - _SETTLES_SECONDS
        for identity in list(self._open):
            incident = incidents.get(identity)
            if incident is None:
                self._open.discard(identity)
            elif not incident.open and incident.closed_at <= settled:
                self._report(incident)
                self._open.discard(identity)
        self._open |= {incident.id for incident in incidents.values() if incident.open}

    def _report(self, incident: Incident) -> None:
        evidence = summary.read(self._files, incident.id, None, self._ours)
        record: dict[str, Any] = {
            **structs.asdict(incident),
            "opened_at": rfc3339(incident.opened_at),
            "closed_at": rfc3339(incident.closed_at),
            "evidence": evidence.as_json(),
        }
        reports = tuple(abuse.reports(record, self._reporter))
        if not reports:
            return
        title = f"{subject_in_words(incident.subject)}: abuse reports"
        text = (
            f"{len(reports):,} sources of incident {incident.id} had completed a TCP handshake "
            "with this host, so they are not forged. A report about each is attached (XARF 4). "
            "Pass it on to whoever runs that network."
        )
        self._tell(News(Kind.ABUSE, f"{incident.id} abuse", title, text, reports, incident))
        note = f"{len(reports):,} abuse reports were given to the notifier"
        self._controller.submit(lambda d: remark(d, incident.id, note, "xdpctl")).result(10)
