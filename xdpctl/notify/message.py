# SPDX-License-Identifier: GPL-2.0-or-later
"""A notification as it is sent: as text, and as an event. Pure."""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from xdpctl.base.times import rfc3339
from xdpctl.model.incident import Incident
from xdpctl.model.tags import INCIDENT
from xdpctl.notify.changes import News
from xdpctl.notify.settings import Kind

_CLOUD_EVENTS = "1.0"  # the version of the specification
_RULES_TOLD = 10
_TYPE, _TEST = "org.xdpctl", "test"  # of a domain, as CloudEvents advises
EVENTS = tuple(f"{_TYPE}.{kind}" for kind in (*Kind, _TEST))  # the types of events


@dataclass(frozen=True, slots=True)
class Message:
    """What is sent. `identity` stays the same when it is sent again; `at` is Unix time.

    `address` is that of the host's pages, if they are served.
    """

    news: News
    host: str
    address: str
    identity: str
    at: float
    held_back: int = 0

    @property
    def title(self) -> str:
        """The host first, since one person may be told by many."""
        return f"{self.host}: {self.news.title}"

    @property
    def link(self) -> str:
        """The address of the page of the incident; empty if there is none."""
        if not self.news.incident or not self.address:
            return ""
        return f"{self.address}/incidents/{self.news.incident.id}"

    @property
    def text(self) -> str:
        lines = [self.news.text, *([self.link] if self.link else [])]
        if self.held_back:
            lines.append(f"({self.held_back} messages before this one were held back)")
        return "\n".join(lines)

    def event(self) -> bytes:
        """It as JSON, in the envelope of CloudEvents 1.0."""
        incident = self.news.incident
        event = {
            "specversion": _CLOUD_EVENTS,
            "id": self.identity,
            "source": f"/xdpctl/{self.host}",
            "type": f"{_TYPE}.{self.news.kind or _TEST}",
            "time": datetime.fromtimestamp(self.at, UTC).isoformat(timespec="milliseconds"),
            "datacontenttype": "application/json",
            "data": {
                "host": self.host,
                "severity": self.news.severity,
                "title": self.news.title,
                "text": self.text,
                "link": self.link or None,
                "incident": _data(incident) if incident else None,
                "files": [
                    {"name": name, "base64": base64.b64encode(content).decode()}
                    for name, content in self.news.files
                ],
            },
        }
        if incident:
            event["subject"] = incident.id
        return json.dumps(event).encode()


def _data(incident: Incident) -> Mapping[str, Any]:
    """An incident for programs; times are RFC 3339."""

    def when(unix: float) -> str | None:
        return rfc3339(unix) if unix else None

    return {
        "id": incident.id,
        "subject": incident.subject,
        "open": incident.open,
        "opened_at": when(incident.opened_at),
        "closed_at": when(incident.closed_at),
        "closed_by": incident.closed_by or None,
        "attacks": incident.attacks,
        "detectors": incident.detectors,
        "peak_pps": incident.peak_pps,
        "peak_bps": incident.peak_bps,
        "rules_made": incident.rules_made,
        "rules_ended": incident.rules_ended,
        "tag": f"{INCIDENT}{incident.id}",
        "rules": [
            {
                "id": rule.id,
                "action": rule.action,
                "match": rule.what,
                "mode": rule.mode,
                "ended_at": when(rule.ended_at),
                "people": rule.collateral or None,
            }
            for rule in incident.rules[:_RULES_TOLD]
        ],
    }
