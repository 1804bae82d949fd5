# SPDX-License-Identifier: GPL-2.0-or-later
"""What passes now and is more than it was an hour ago."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock

from xdpctl.abi.constants import Reason
from xdpctl.traffic.baseline import Before
from xdpctl.traffic.sampler import Sampler
from xdpctl.traffic.suggest import Suggestion, suggest

WINDOW_SECONDS = 4.0  # longer than the pauses of pulses, and short, to see soon what a rule does
_AGO_SECONDS = 3_600.0
_FRESH_SECONDS = 1.5  # for which a look is shared by all who ask


@dataclass(frozen=True, slots=True)
class Look:
    """Matches of what is unusual, and on how much they rest.

    `compared` is how many seconds of earlier traffic are known; 0: nothing is.
    """

    matches: list[Suggestion]
    seconds: float
    sampled: int
    compared: float


class Unusual:
    """Looks at what no rule decided; any thread may ask.

    While something is unusual, the traffic from before it began stays the measure: else an attack
    would be usual after an hour.
    """

    def __init__(self, sampler: Sampler, now: Callable[[], float] = time.monotonic) -> None:
        self._sampler, self._now = sampler, now
        self._lock = Lock()
        self._looked_at = -_FRESH_SECONDS
        self._look = Look([], 0.0, 0, 0.0)
        self._before: Before | None = None

    def look(self) -> Look:
        """What is unusual in the last seconds; at most so old as a look is shared."""
        with self._lock:
            now = self._now()
            if now - self._looked_at >= _FRESH_SECONDS:
                self._look, self._looked_at = self._again(), now
            return self._look

    def _again(self) -> Look:
        seen = self._sampler.window.last(WINDOW_SECONDS)
        packets = seen.packets[seen.packets["reason"] == Reason.NO_RULE]
        before = self._before or self._sampler.baseline.ago(seen.ended, _AGO_SECONDS)
        found = suggest(packets, seen.seconds, before)
        self._before = before if found and before.seconds else None
        return Look(found, seen.seconds, len(packets), before.seconds)
