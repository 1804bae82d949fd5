# SPDX-License-Identifier: GPL-2.0-or-later
"""When what is announced ends: one at a time is withdrawn, and the link is watched. Pure."""

from collections.abc import Callable, Iterable, Set
from dataclasses import dataclass, field
from typing import NamedTuple

from xdpctl.model.announcement import Announcement

_NOT_NEEDED = "the link did not fill without it"
_NOT_KNOWN = "its time is over"
_WHILE_AWAY = "its time was over before this start"
_NEVER_SENT = "it was never sent"


class Situation(NamedTuple):
    """What decides. `told`, `sent` and `probed` are ids that this process has told the speaker,
    that it has confirmed, and of which this process began the probe.

    `now` is kernel time in nanoseconds; `known`: what arrives is known. `refusal` says why one may
    not be announced any more.
    """

    now: int
    full: bool
    known: bool
    told: Set[str]
    sent: Set[str]
    probed: Set[str]
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
    """What is to be done now about what is announced."""
    made, watched, waiting = Plan(), False, list[Announcement]()
    for each in announced:
        over = each.expires_ns <= at.now
        if why := at.refusal(each):
            made.end.append((each, why))
        elif each.probing and at.full:
            made.renew.append(each)
        elif each.probing and each.id not in at.probed:
            made.probe.append(each)  # nobody has watched the link since the probe began
            watched = True
        elif each.probing and over:
            made.end.append((each, _NOT_NEEDED if at.known else _NOT_KNOWN))
        elif each.probing:
            watched = True
        elif over and each.id not in at.told:
            made.end.append((each, _WHILE_AWAY))
        elif over and each.id not in at.sent:
            made.end.append((each, _NEVER_SENT))
        elif over and at.full:
            made.renew.append(each)  # what is needed is not taken away to look
        elif over:
            waiting.append(each)
    if not watched:
        made.probe += waiting[:1]  # one at a time: the others wait for their turn
    return made
