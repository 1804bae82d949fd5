# SPDX-License-Identifier: GPL-2.0-or-later
"""What became of what a detector said."""

from dataclasses import dataclass, field

from xdpctl.base.net.prefix import Prefix
from xdpctl.model.event import Event, plain


@dataclass(slots=True)
class Outcome:
    """Ids of rules by what became of them, and why the rest was not done."""

    rules: list[str] = field(default_factory=list)
    released: list[str] = field(default_factory=list)
    held: list[str] = field(default_factory=list)
    blocked: list[Prefix] = field(default_factory=list)
    refused: list[dict[str, str]] = field(default_factory=list)
    ignored: list[dict[str, str]] = field(default_factory=list)
    watched: list[dict[str, str]] = field(default_factory=list)
    incidents: list[str] = field(default_factory=list)

    def add(self, more: "Outcome") -> None:
        """What became of what was said next."""
        for name in self.__slots__:
            getattr(self, name).extend(getattr(more, name))
        self.incidents = list(dict.fromkeys(self.incidents))

    def told(self, incident: str) -> None:
        """Remember the incident in which the event was recorded."""
        if incident not in self.incidents:
            self.incidents.append(incident)

    def refuse(self, what: str, error: Exception) -> None:
        """Remember what was asked for and not done, with the reason."""
        self.refused.append({"what": what, "why": str(error), "fix": getattr(error, "fix", "")})

    def ignore(self, event: Event, why: str) -> None:
        """Remember an event of which nothing came, and why."""
        self.ignored.append({"event": plain(event.id), "why": why})
