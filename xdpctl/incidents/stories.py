# SPDX-License-Identifier: GPL-2.0-or-later
"""Attacks that came one after the other as one story, with a picture of when each was. Pure.

An incident is the JSON of an item of GET /v1/incidents.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from xdpctl.base.durations import show_duration
from xdpctl.base.times import unix

_APART = 1_200.0  # seconds without an attack, after which the next one is another story
_LEAST = 4.0  # units of width of a bar, so that a short attack is seen


@dataclass(frozen=True, slots=True)
class Bar:
    """One attack in the picture: `at` and `width` are of 1,000 units."""

    incident: dict[str, Any]
    at: float
    width: float


@dataclass(frozen=True, slots=True)
class Story:
    """Attacks in the order in which they began; `first` and `last` are Unix times."""

    incidents: Sequence[dict[str, Any]]
    first: float
    last: float

    @property
    def title(self) -> str:
        """How many attacks there were, on how many hosts, and for how long."""
        hosts = len({each["subject"] for each in self.incidents})
        on = f"on {self.incidents[0]['named']}" if hosts == 1 else f"on {hosts} hosts"
        lasted = show_duration(max(self.last - self.first, 1.0))
        return f"{len(self.incidents)} attacks {on} within {lasted}"

    @property
    def bars(self) -> list[Bar]:
        """A bar for each attack, from its begin to its end."""
        span = max(self.last - self.first, 1.0)
        return [
            Bar(
                each,
                1_000 * (unix(each["opened_at"]) - self.first) / span,
                max(_LEAST, 1_000 * (_ended(each, self.last) - unix(each["opened_at"])) / span),
            )
            for each in self.incidents
        ]


def stories(incidents: Iterable[dict[str, Any]], now: float) -> list[Story]:
    """The stories of more than one attack, the newest first; `now` is Unix time."""
    found: list[list[dict[str, Any]]] = []
    last = 0.0
    for each in sorted(incidents, key=lambda incident: unix(incident["opened_at"])):
        if not found or unix(each["opened_at"]) > last + _APART:
            found.append([])
            last = 0.0
        found[-1].append(each)
        last = max(last, _ended(each, now))
    return [_story(mine, now) for mine in reversed(found) if len(mine) > 1]


def _story(incidents: list[dict[str, Any]], now: float) -> Story:
    last = max(_ended(each, now) for each in incidents)
    return Story(incidents, unix(incidents[0]["opened_at"]), last)


def _ended(incident: dict[str, Any], now: float) -> float:
    return unix(incident["closed_at"]) if incident["closed_at"] else now
