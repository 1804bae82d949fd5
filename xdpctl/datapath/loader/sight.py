# SPDX-License-Identifier: GPL-2.0-or-later
"""Notices a driver that gives the filter no packets, although it is attached. Pure.

Linux' vmxnet3 does so after the interface was down: the kernel still shows the program.
"""

from dataclasses import dataclass

LEAST_PACKETS = 100  # that came in, of which the filter has seen none
TRIES = 2  # to attach it again: as before, then in generic mode
_LEAST_SECONDS = 2.0


@dataclass(slots=True)
class Sight:
    """What an interface has received, and what its filter has counted of it.

    `missed` is how many packets in a row the filter has not seen. `tries` counts how often it was
    attached again since it last saw one.
    """

    came: int = -1
    seen: int = -1
    since: float = 0.0
    missed: int = 0
    tries: int = 0

    def due(self, came: int) -> bool:
        """Whether so much has come in that the filter's counters are worth reading."""
        return not 0 <= came - self.came < LEAST_PACKETS

    def note(self, came: int, seen: int, now: float) -> bool:
        """Whether the filter is blind, by the packets of the interface and those counted."""
        if seen != self.seen or came < self.came:
            self.came, self.seen, self.since, self.missed, self.tries = came, seen, now, 0, 0
        elif self.due(came) and now - self.since >= _LEAST_SECONDS:
            self.missed = came - self.came
        return bool(self.missed)

    def try_again(self, came: int, now: float) -> None:
        """Begin anew: the filter is attached again."""
        self.came, self.since, self.missed = came, now, 0
        self.tries += 1
