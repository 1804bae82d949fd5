# SPDX-License-Identifier: GPL-2.0-or-later
"""The outcome of what a detector reported."""

from dataclasses import dataclass, field

from xdpctl.base.net.prefix import Prefix
from xdpctl.model.event import Event, plain
from xdpctl.model.rule import Rule

FIRST_MAX = 100


@dataclass(slots=True)
class Outcome:
    """Ids of rules by outcome, and reasons for refusals.

    `first` has the first of `rules` as they are now, at most `FIRST_MAX`. `held` rules stay until
    they have no more hits, although their events have ended. `watched` lists the events whose rules
    are only in monitor mode.
    """

    rules: list[str] = field(default_factory=list)
    first: list[Rule] = field(default_factory=list)
    released: list[str] = field(default_factory=list)
    held: list[str] = field(default_factory=list)
    blocked: list[Prefix] = field(default_factory=list)
    refused: list[dict[str, str]] = field(default_factory=list)
    ignored: list[dict[str, str]] = field(default_factory=list)
    watched: list[dict[str, str]] = field(default_factory=list)
    incidents: list[str] = field(default_factory=list)

    def add(self, more: "Outcome") -> None:
        """Append the outcome of later events."""
        for name in self.__slots__:
            getattr(self, name).extend(getattr(more, name))
        del self.first[FIRST_MAX:]
        self.incidents = list(dict.fromkeys(self.incidents))

    def add_rules(self, placed: list[Rule]) -> None:
        """Add rules that are in force for an event."""
        self.rules += [rule.id for rule in placed]
        self.first += placed[: FIRST_MAX - len(self.first)]

    def add_incident(self, incident: str) -> None:
        """Add the incident in which an event was recorded."""
        if incident not in self.incidents:
            self.incidents.append(incident)

    def refuse(self, what: str, error: Exception) -> None:
        """Add something that was asked for and refused, with the reason."""
        self.refused.append({"what": what, "why": str(error), "fix": getattr(error, "fix", "")})

    def ignore(self, event: Event, why: str) -> None:
        """Add an event that had no effect, with the reason."""
        self.ignored.append({"event": plain(event.id), "why": why})
