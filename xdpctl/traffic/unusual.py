# SPDX-License-Identifier: GPL-2.0-or-later
"""Finds traffic that passes and is more than it was an hour ago."""

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
from xdpctl.traffic.suggest import Suggestion, suggest, unknown

_WINDOW_SECONDS = 4.0  # longer than the pauses of pulses, short enough to show a rule's effect soon
_AGO_SECONDS = 3_600.0
_FRESH_SECONDS = 1.5  # age up to which a result serves other callers, too
_STEP_SECONDS = 15.0  # between two examinations if nobody calls
_KEPT_SECONDS = 3_600.0  # time to keep earlier traffic after the last match: attacks may pause
_KEPT_MOST = 86_400.0  # most time to keep earlier traffic: what lasts a day is usual
_TROUBLE = "cannot look for unusual traffic"


@dataclass(frozen=True, slots=True)
class Look:
    """Matches of unusual traffic, and the rates on which they rest, in packets a second.

    `rate` is the rate of packets that no rule decided, and `before` the same rate earlier.
    `unknown` and `unknown_before` are the rates of those that belong to no known flow. `accepted`
    is the rate of packets that rules accept, which are not examined. `seconds` is for how long
    traffic was watched, 0 if it is not observed. `compared` is how many seconds of earlier traffic
    are known.
    """

    matches: list[Suggestion]
    seconds: float
    sampled: int
    compared: float
    rate: float = 0.0
    before: float = 0.0
    accepted: float = 0.0
    unknown: float = 0.0
    unknown_before: float = 0.0


class Unusual:
    """Examines packets that no rule decided, regularly and on request; any thread may call it.

    Once something is unusual, traffic is compared with the traffic from before it began. Otherwise
    an attack would be usual after an hour, or after its first pause.
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
        """The unusual traffic of the last seconds; a result serves all callers for 1.5 s."""
        with self._lock:
            now = self._now()
            if now - self._looked_at >= _FRESH_SECONDS:
                self._look, self._looked_at = self._again(now), now
            return self._look

    def _again(self, now: float) -> Look:
        window = self._sampler.window.last(_WINDOW_SECONDS)
        packets = window.packets[window.packets["reason"] == Reason.NO_RULE]
        before = self._before(now, window.ended)
        suggestions = suggest(packets, window.seconds, before)
        if suggestions and before.seconds:
            if self._measure is None:
                self._measure, self._began = before, now
            self._found_at = now
        accepted = window.packets[window.packets["reason"] == Reason.ACCEPTED]
        return Look(
            suggestions,
            window.seconds,
            len(packets),
            before.seconds,
            _rate(packets, window.seconds),
            _rate(before.packets, before.seconds),
            _rate(accepted, window.seconds),
            _rate(packets[unknown(packets)], window.seconds),
            _rate(before.packets[unknown(before.packets)], before.seconds),
        )

    def _before(self, now: float, ended: float) -> Before:
        """The traffic to compare with."""
        if now > self._found_at + _KEPT_SECONDS or now > self._began + _KEPT_MOST:
            self._measure = None
        return self._measure or self._sampler.baseline.ago(ended, _AGO_SECONDS)


def _rate(packets: PacketArray, seconds: float) -> float:
    """The packets a second for which sampled packets stand."""
    return float(packets["weight"].sum(dtype=np.float64)) / seconds if seconds else 0.0
