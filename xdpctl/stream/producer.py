# SPDX-License-Identifier: GPL-2.0-or-later
"""Publishes the figures of each second, incidents, changes and problems."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from xdpctl.base.periodic import PeriodicTask
from xdpctl.base.times import rfc3339
from xdpctl.control.controller import Controller
from xdpctl.errors import StoreError
from xdpctl.model.incident import Incident, subject_in_words
from xdpctl.stream.broadcast import Broadcast

_SECONDS = 1.0
_CHANGES_MAX = 50  # records in a second; if there are more, only their number is published
_PRIVATE = "token."
_TROUBLE = "the stream of events is not served"
log = logging.getLogger("xdpctl.stream")


@dataclass(frozen=True, slots=True)
class Status:
    """What is published each second besides the controller's state."""

    figures: Mapping[str, float | None]
    automatic: str
    problems: Sequence[str]
    warnings: Sequence[str]


class Producer:
    """Fills `broadcast`, between `start` and `stop`."""

    def __init__(
        self,
        controller: Controller,
        status: Callable[[], Status],
        tell: Callable[[str], str] = str,
    ) -> None:
        self._controller, self._status, self._tell = controller, status, tell
        self.broadcast = Broadcast()
        self._incidents: dict[str, Incident] | None = None
        self._told: tuple[list[str], list[str]] | None = None
        self._audited: int | None = None
        self._beat = PeriodicTask("stream", _SECONDS, self.step, _TROUBLE, rest=5.0)
        self.start, self.stop = self._beat.start, self._beat.stop

    def step(self, _: float) -> None:
        """Publish what is new since the last step."""
        controller, status = self._controller, self._status()
        self.broadcast.publish(
            "figures",
            {
                "time": controller.clock.read().unix,
                "figures": status.figures,
                "bypass": controller.datapath.bypass(),
                "automatic": status.automatic,
            },
        )
        messages = list(status.problems), list(status.warnings)
        if messages != self._told:
            self.broadcast.publish("problems", {"problems": messages[0], "warnings": messages[1]})
        self._told = messages
        self._publish_incidents()
        try:
            self._publish_changes()
        except StoreError as error:  # `problems` has it, too
            log.warning("changes are not in the stream: %s", error)

    def _publish_incidents(self) -> None:
        now = dict(self._controller.state.incidents)
        before = now if self._incidents is None else self._incidents
        for identity, incident in now.items():
            if before.get(identity) is not incident:
                self.broadcast.publish("incident", _summary(incident, self._tell))
        self._incidents = now

    def _publish_changes(self) -> None:
        """Publish the new audit records, without those about tokens, and without the callers.

        Every viewer may read the stream, but not the audit log.
        """
        store = self._controller.store
        if self._audited is None:
            newest = store.last_audit()
            self._audited = msgspec.json.decode(newest)["sequence"] if newest else 0
            return
        records = [
            msgspec.json.decode(record) for record in store.audit(self._audited, _CHANGES_MAX + 1)
        ]
        for record in records[:_CHANGES_MAX]:
            if record["action"].startswith(_PRIVATE):
                continue
            public = ("sequence", "at", "action", "subject")
            self.broadcast.publish("change", {name: record.get(name) for name in public})
        if len(records) > _CHANGES_MAX:
            newest = store.last_audit()
            last = msgspec.json.decode(newest)["sequence"] if newest else self._audited
            more = last - records[_CHANGES_MAX - 1]["sequence"]
            self.broadcast.publish("changes", {"more": more})
            self._audited = last
        elif records:
            self._audited = records[-1]["sequence"]


def _summary(incident: Incident, tell: Callable[[str], str]) -> dict[str, Any]:
    return {
        "id": incident.id,
        "subject": incident.subject,
        "named": tell(subject_in_words(incident.subject)),
        "attacks": incident.attacks,
        "open": incident.open,
        "opened_at": rfc3339(incident.opened_at),
        "closed_at": rfc3339(incident.closed_at) if incident.closed_at else None,
        "peak_pps": incident.peak_pps,
    }
