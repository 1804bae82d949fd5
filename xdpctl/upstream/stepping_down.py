# SPDX-License-Identifier: GPL-2.0-or-later
"""When announcements end: one at a time is withdrawn, and the link is watched. Pure."""

from collections.abc import Callable, Iterable, Set
from dataclasses import dataclass, field
from typing import NamedTuple

from xdpctl.model.announcement import Announcement

_NOT_NEEDED = "the link did not fill without it"
_IDLE = "it takes nothing of what fills the link"
_NOT_KNOWN = "its time is over"
_WHILE_AWAY = "its time was over before this start"
_NEVER_SENT = "it was never sent"
_REHEARSED = "the rehearsal is over"


class Situation(NamedTuple):
    """The facts that decide.

    `now` is kernel time in nanoseconds. `full` has the peers whose uplink is full, `known` those
    for whose uplink that is known. `told` has the ids that this process sent to the speaker, `sent`
    the ids that the speaker confirmed, and `probed` the ids whose probe this process began.
    `idle` says whether an announcement takes nothing, `refusal` returns why it must end.
    """

    now: int
    full: Set[str]
    known: Set[str]
    told: Set[str]
    sent: Set[str]
    probed: Set[str]
    idle: Callable[[Announcement], bool]
    refusal: Callable[[Announcement], str]


@dataclass(slots=True)
class Plan:
    """What to renew, to end and why, and to withdraw for a while."""

    renew: list[Announcement] = field(default_factory=list)
    end: list[tuple[Announcement, str]] = field(default_factory=list)
    probe: list[Announcement] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.renew or self.end or self.probe)


def plan(announced: Iterable[Announcement], at: Situation) -> Plan:
    """What is to be done now about the announcements."""
    steps, watched, waiting = Plan(), False, list[Announcement]()
    for announcement in announced:
        over, full = announcement.expires_ns <= at.now, announcement.peer in at.full
        if why := at.refusal(announcement):
            steps.end.append((announcement, why))
        elif announcement.rehearsal:
            steps.end += [(announcement, _REHEARSED)] if over else []
        elif announcement.probing and full:
            steps.renew.append(announcement)
        elif announcement.probing and announcement.id not in at.probed:
            steps.probe.append(announcement)  # nobody has watched the link since the probe began
            watched = True
        elif announcement.probing and over:
            steps.end.append(
                (announcement, _NOT_NEEDED if announcement.peer in at.known else _NOT_KNOWN)
            )
        elif announcement.probing:
            watched = True
        elif over and announcement.id not in at.told:
            steps.end.append((announcement, _WHILE_AWAY))
        elif over and announcement.id not in at.sent:
            steps.end.append((announcement, _NEVER_SENT))
        elif over and full and at.idle(announcement):
            steps.end.append((announcement, _IDLE))
        elif over and full:
            steps.renew.append(announcement)  # no probe: it is clear that the route is needed
        elif over:
            waiting.append(announcement)
    if not watched:
        steps.probe += waiting[:1]  # one at a time: the others wait for their turn
    return steps
