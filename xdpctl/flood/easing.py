# SPDX-License-Identifier: GPL-2.0-or-later
"""Raises limits towards services that answer all that passes. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from xdpctl.abi.constants import Reason
from xdpctl.flood.counts import WINDOW_SECONDS
from xdpctl.flood.mitigation import Mitigation, Report
from xdpctl.flood.seen import Seen
from xdpctl.flood.verdict import passes

UNDER_A_LIMIT = (Reason.NO_RULE, Reason.LIMITED, Reason.CHALLENGED)
_LOOK_SECONDS = 0.15  # between two looks
_WAIT_SECONDS, _WAIT_MOST = 1.0, 60.0  # before a limit is raised, and after failures at most
_HIGHER = 2.0  # times the limit


@dataclass(slots=True)
class _Eased:
    """When a limit is looked at, when it may be raised, and how long it waits after a failure."""

    raise_at: float
    look_at: float = 0.0
    wait: float = _WAIT_SECONDS
    raised: bool = False


class Easing:
    """The limits that were looked at; only those on all sources together are raised."""

    def __init__(self, seen: Seen) -> None:
        self._seen, self._mitigations = seen, seen.mitigations
        self._eased: dict[str, _Eased] = {}

    def step(self, now: float, limit: Mitigation) -> Iterator[Report]:
        """Raise a limit again and again, as long as the services answer what it lets pass.

        If they do not, it falls back to the most that they have answered, and waits longer before
        it is raised again.
        """
        if not limit.adapts or limit.limit is None:
            return
        eased = self._eased.setdefault(limit.id, _Eased(now + _WAIT_SECONDS))
        if now < eased.look_at:
            return
        eased.look_at = now + _LOOK_SECONDS
        key, seen = (limit.prefix, limit.of_kind), self._seen
        window = seen.window(key, *UNDER_A_LIMIT)
        copes = seen.coping.copes(now, key, window, seen.recent.last(WINDOW_SECONDS))
        both = np.isin((Reason.NO_RULE, Reason.LIMITED), window["reason"]).all()
        if copes and both and now >= eased.raise_at:
            eased.raised, eased.raise_at = True, now + _WAIT_SECONDS
            yield from self._mitigations.limit_to(now, limit, _HIGHER * limit.limit.pps)
        elif eased.raised and not copes:
            eased.raised, eased.wait = False, min(2 * eased.wait, _WAIT_MOST)
            eased.raise_at = now + eased.wait
            yield from self.follow(now, limit)

    def follow(self, now: float, limit: Mitigation) -> Iterator[Report]:
        """Let a limit follow the rate of the attack, unless it is raised."""
        eased = self._eased.get(limit.id)
        if eased is None or eased.raised:
            return
        key, seen = (limit.prefix, limit.of_kind), self._seen
        rate, answered = seen.rate(key, *UNDER_A_LIMIT), seen.coping.answered(now, key)
        pps = passes(seen.threshold(key), rate, seen.usual.best(key), answered)
        yield from self._mitigations.limit_to(now, limit, pps)

    def forget(self) -> None:
        """Forget the limits that have ended."""
        self._eased = {k: v for k, v in self._eased.items() if self._mitigations.has(k)}
