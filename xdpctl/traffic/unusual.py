# SPDX-License-Identifier: GPL-2.0-or-later
"""What passes now and is more than it was an hour ago."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock

import numpy as np

from xdpctl.abi.constants import Reason
from xdpctl.base.periodic import PeriodicTask
from xdpctl.traffic.baseline import Before
from xdpctl.traffic.packets import PacketArray
from xdpctl.traffic.sampler import Sampler
from xdpctl.traffic.suggest import Suggestion, suggest

_WINDOW_SECONDS = 4.0  # longer than the pauses of pulses, and short, to see soon what a rule does
_AGO_SECONDS = 3_600.0
_FRESH_SECONDS = 1.5  # for which a look is shared by all who ask
_STEP_SECONDS = 15.0  # so that it is noticed also if nobody asks
_KEPT_SECONDS = 3_600.0  # for which a measure is kept after the last match: an attack may pause
_KEPT_MOST = 86_400.0  # and never longer: what lasts a day is usual
_TROUBLE = "whether unusual traffic passes is not known"


@dataclass(frozen=True, slots=True)
class Look:
    """Matches of what is unusual, and the rates that they rest on, in packets a second.

    `rate` is of what no rule decided, `before` of the same before; `accepted` of what rules accept,
    in which nothing is looked for. `seconds` is how long was watched, 0: the traffic is not
    observed. `compared` is how many seconds of earlier traffic are known.
    """

    matches: list[Suggestion]
    seconds: float
    sampled: int
    compared: float
    rate: float = 0.0
    before: float = 0.0
    accepted: float = 0.0


class Unusual:
    """Looks at what no rule decided, regularly and when it is asked; any thread may ask.

    Once something is unusual, the traffic from before it began stays the measure: else an attack
    would be usual after an hour, or after the first pause of that attack.
    """

    def __init__(self, sampler: Sampler, now: Callable[[], float] = time.monotonic) -> None:
        self._sampler, self._now = sampler, now
        self._lock = Lock()
        self._looked_at = -_FRESH_SECONDS
        self._look = Look([], 0.0, 0, 0.0)
        self._measure: Before | None = None
        self._began = self._found_at = 0.0
        self._beat = PeriodicTask("unusual", _STEP_SECONDS, lambda _: self.look(), _TROUBLE)
        self.start, self.stop = self._beat.start, self._beat.stop

    def look(self) -> Look:
        """What is unusual in the last seconds; at most so old as a look is shared."""
        with self._lock:
            now = self._now()
            if now - self._looked_at >= _FRESH_SECONDS:
                self._look, self._looked_at = self._again(now), now
            return self._look

    def _again(self, now: float) -> Look:
        seen = self._sampler.window.last(_WINDOW_SECONDS)
        packets = seen.packets[seen.packets["reason"] == Reason.NO_RULE]
        before = self._before(now, seen.ended)
        found = suggest(packets, seen.seconds, before)
        if found and before.seconds:
            if self._measure is None:
                self._measure, self._began = before, now
            self._found_at = now
        accepted = seen.packets[seen.packets["reason"] == Reason.ACCEPTED]
        return Look(
            found,
            seen.seconds,
            len(packets),
            before.seconds,
            _rate(packets, seen.seconds),
            _rate(before.packets, before.seconds),
            _rate(accepted, seen.seconds),
        )

    def _before(self, now: float, ended: float) -> Before:
        """The traffic to compare with."""
        if now > self._found_at + _KEPT_SECONDS or now > self._began + _KEPT_MOST:
            self._measure = None
        return self._measure or self._sampler.baseline.ago(ended, _AGO_SECONDS)


def _rate(packets: PacketArray, seconds: float) -> float:
    """Packets a second that sampled ones stand for."""
    return float(packets["weight"].sum(dtype=np.float64)) / seconds if seconds else 0.0
