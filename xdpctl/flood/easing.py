# SPDX-License-Identifier: GPL-2.0-or-later
"""Lets limits follow the attack, and raises those on questions that services answer. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass

from xdpctl.abi.constants import Reason
from xdpctl.flood.coping import ANSWERED, ASKING
from xdpctl.flood.counts import WINDOW_SECONDS
from xdpctl.flood.mitigation import Mitigation, Report, State
from xdpctl.flood.seen import Seen
from xdpctl.flood.verdict import passes
from xdpctl.traffic.select import takes

UNDER_A_LIMIT = (Reason.NO_RULE, Reason.LIMITED, Reason.CHALLENGED)
_LOOK_SECONDS = 0.15  # between two looks
_WAIT_SECONDS, _WAIT_MOST = 1.0, 60.0  # before a limit is raised, and after failures at most
_HIGHER = 2.0  # times what services answer
_UNKNOWN_SECONDS = 5.0  # without a measurement, after which a raised limit falls back
_IDLE_SECONDS = 30.0  # after which a limit ends that keeps nothing out, as services answer it all


@dataclass(slots=True)
class _Eased:
    """When a limit is looked at, and may be raised; how long it waits after a failure.

    `hit_at`: when it last kept packets out, services did not answer, or there was no attack.
    """

    raise_at: float
    hit_at: float
    measured_at: float
    look_at: float
    wait: float = _WAIT_SECONDS
    raised: bool = False


class Easing:
    """Changes the rates of the limits on all sources together."""

    def __init__(self, seen: Seen) -> None:
        self._seen, self._mitigations = seen, seen.mitigations
        self._eased: dict[str, _Eased] = {}

    def step(self, now: float, limit: Mitigation) -> Iterator[Report]:
        """Raise a limit to twice what services answer, as long as they answer what it lets pass.

        If they do not, it falls back to the most that they have answered, and waits longer before
        it is raised again. A limit that has kept nothing out for long ends.
        """
        if not limit.adapts or limit.limit is None or limit.of_kind not in ASKING:
            return
        eased = self._eased.setdefault(limit.id, _Eased(now + _WAIT_SECONDS, now, now, now))
        if now < eased.look_at:
            return
        if now > eased.look_at + _WAIT_SECONDS:  # it was in monitor mode
            eased.hit_at = now
        eased.look_at = now + _LOOK_SECONDS
        key, seen = (limit.prefix, limit.of_kind), self._seen
        window = seen.window(key, *UNDER_A_LIMIT)
        seen.coping.copes(now, key, window, seen.recent.last(WINDOW_SECONDS))
        kept_out = window[window["reason"] == Reason.LIMITED]
        hits = bool(takes(limit.parsed(), kept_out).any())
        if hits or limit.state is not State.ATTACK:
            eased.hit_at = now
        if (measured := seen.coping.measured(now, key)) is None:
            if eased.raised and now >= eased.measured_at + _UNKNOWN_SECONDS:
                eased.raised = False
                yield from self.follow(now, limit)
            return
        eased.measured_at, (asked, answered) = now, measured
        fails = answered < ANSWERED * asked
        if fails:
            eased.hit_at = now
            yield from self._fall_back(now, limit, eased)
        elif hits and now >= eased.raise_at and _HIGHER * answered > limit.limit.pps:
            eased.wait = _WAIT_SECONDS if eased.raised else eased.wait
            eased.raised, eased.raise_at = True, now + _WAIT_SECONDS
            yield from self._mitigations.limit_to(now, limit, _HIGHER * answered)
        elif now >= eased.hit_at + _IDLE_SECONDS:
            yield self._mitigations.end(limit)

    def _fall_back(self, now: float, limit: Mitigation, eased: _Eased) -> Iterator[Report]:
        if eased.raised:
            eased.raised, eased.wait = False, min(2 * eased.wait, _WAIT_MOST)
            eased.raise_at = now + eased.wait
            yield from self.follow(now, limit)

    def follow(self, now: float, limit: Mitigation) -> Iterator[Report]:
        """Let a limit follow the rate of the attack; a limit that is raised stays as it is."""
        if (eased := self._eased.get(limit.id)) and eased.raised:
            return
        yield from self._mitigations.limit_to(now, limit, self.pps(now, limit))

    def pps(self, now: float, softer: Mitigation) -> float:
        """The packets a second that a limit lets pass, by the rate of the attack."""
        key, seen = (softer.prefix, softer.of_kind), self._seen
        rate, answered = seen.rate(key, *UNDER_A_LIMIT), seen.coping.answered(now, key)
        return passes(seen.threshold(key), rate, seen.usual.best(key), answered)

    def forget(self) -> None:
        """Forget the limits that have ended."""
        self._eased = {k: v for k, v in self._eased.items() if self._mitigations.has(k)}
