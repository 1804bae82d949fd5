# SPDX-License-Identifier: GPL-2.0-or-later
"""Publishes the figures of each second, incidents, changes, and problems."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from xdpctl.base.periodic import PeriodicTask
from xdpctl.control.controller import Controller
from xdpctl.errors import StoreError
from xdpctl.model.incident import Incident
from xdpctl.stream.broadcast import Broadcast

_SECONDS = 1.0
_CHANGES_MAX = 50  # records in a second; of more, it says how many
_PRIVATE = "token."
_TROUBLE = "the stream of events is not served"
log = logging.getLogger("xdpctl.stream")


@dataclass(frozen=True, slots=True)
class Status:
    """What is published each second, beside what the controller knows."""

    figures: Mapping[str, float | None]
    automatic: str
    problems: Sequence[str]
    warnings: Sequence[str]


class Producer:
    """Fills `broadcast`, between `start` and `stop`."""

    def __init__(self, controller: Controller, status: Callable[[], Status]) -> None:
        self._controller, self._status = controller, status
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
        told = list(status.problems), list(status.warnings)
        if told != self._told:
            self.broadcast.publish("problems", {"problems": told[0], "warnings": told[1]})
        self._told = told
        self._publish_incidents()
        try:
            self._publish_changes()
        except StoreError as error:  # `problems` says so, too
            log.warning("changes are not in the stream: %s", error)

    def _publish_incidents(self) -> None:
        now = dict(self._controller.state.incidents)
        before = now if self._incidents is None else self._incidents
        for identity, incident in now.items():
            if before.get(identity) is not incident:
                self.broadcast.publish("incident", _summary(incident))
        self._incidents = now

    def _publish_changes(self) -> None:
        """What was changed: audit records, without those of tokens, and without who did it.

        Every viewer reads the stream, and not the audit log.
        """
        store = self._controller.store
        if self._audited is None:
            newest = store.last_audit()
            self._audited = msgspec.json.decode(newest)["sequence"] if newest else 0
            return
        found = [
            msgspec.json.decode(record) for record in store.audit(self._audited, _CHANGES_MAX + 1)
        ]
        for record in found[:_CHANGES_MAX]:
            if record["action"].startswith(_PRIVATE):
                continue
            kept = ("sequence", "at", "action", "subject")
            self.broadcast.publish("change", {name: record.get(name) for name in kept})
        if len(found) > _CHANGES_MAX:
            newest = store.last_audit()
            last = msgspec.json.decode(newest)["sequence"] if newest else self._audited
            more = last - found[_CHANGES_MAX - 1]["sequence"]
            self.broadcast.publish("changes", {"more": more})
            self._audited = last
        elif found:
            self._audited = found[-1]["sequence"]


def _summary(incident: Incident) -> dict[str, Any]:
    return {
        "id": incident.id,
        "subject": incident.subject,
        "attacks": incident.attacks,
        "open": incident.open,
        "opened_at": incident.opened_at,
        "closed_at": incident.closed_at or None,
        "peak_pps": incident.peak_pps,
    }
