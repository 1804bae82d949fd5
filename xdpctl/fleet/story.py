# SPDX-License-Identifier: GPL-2.0-or-later
"""Incidents of several nodes as one story: the same victim, at about the same time. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from xdpctl.model.incident import Incident

_GAP = 600.0  # seconds between incidents of one victim that still are one story


@dataclass(slots=True)
class Story:
    """One attack on one victim: each node's part."""

    subject: str
    parts: list[tuple[str, Incident]] = field(default_factory=list)

    @property
    def opened_at(self) -> float:
        """When the first part began."""
        return min(part.opened_at for _, part in self.parts)

    @property
    def closed_at(self) -> float:
        """When the last part ended; 0 while one goes on."""
        if any(part.open for _, part in self.parts):
            return 0.0
        return max(part.closed_at for _, part in self.parts)

    @property
    def last(self) -> float:
        """When something last happened in it."""
        return max(part.closed_at or part.updated_at for _, part in self.parts)


def joined(incidents: Mapping[str, Iterable[Incident]]) -> list[Story]:
    """The stories of all nodes' incidents, by node; the newest first."""
    by_time = sorted(
        ((node, incident) for node, mine in incidents.items() for incident in mine),
        key=lambda part: part[1].opened_at,
    )
    stories: list[Story] = []
    going: dict[str, Story] = {}
    for node, incident in by_time:
        story = going.get(incident.subject)
        ongoing = story is not None and not story.closed_at
        if story is None or not (ongoing or incident.opened_at <= story.last + _GAP):
            story = going[incident.subject] = Story(incident.subject)
            stories.append(story)
        story.parts.append((node, incident))
    return sorted(stories, key=lambda story: -story.opened_at)
