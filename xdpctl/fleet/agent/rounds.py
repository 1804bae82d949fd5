# SPDX-License-Identifier: GPL-2.0-or-later
"""What an agent does now and then: tells of rules and incidents, retries, renews, keeps duties."""

import logging
import time
from collections.abc import Callable
from itertools import islice

from xdpctl.errors import EngineError
from xdpctl.fleet import keys
from xdpctl.fleet.agent.detected import Detected
from xdpctl.fleet.agent.duties import Duty
from xdpctl.fleet.agent.following import Follower
from xdpctl.fleet.agent.member import Member
from xdpctl.fleet.agent.reporting import Reporter
from xdpctl.fleet.agent.telling import Telling
from xdpctl.fleet.credentials import Credentials
from xdpctl.fleet.engine.values import Held

_STEP_SECONDS, _RETRY_SECONDS, _RETRIED = 0.2, 10.0, 200
log = logging.getLogger("xdpctl.fleet")


class Rounds:
    """Goes its rounds from `run` until the member is stopping.

    `detected` has this node's detectors' rules, `telling` its incidents and history, `feeds` is the
    duty to fetch feeds. `revoked` has the names of nodes that are not trusted any more.
    """

    def __init__(
        self,
        member: Member,
        credentials: Credentials,
        follower: Follower,
        reporter: Reporter,
        detected: Detected,
    ) -> None:
        self._member, self._credentials = member, credentials
        self._follower, self._reporter, self._detected = follower, reporter, detected
        self.telling, self.feeds = Telling(member), Duty(member, "feeds")
        self.revoked: frozenset[str] = frozenset()
        self._turn, self._slowly_at = -1, 0.0

    def run(self) -> None:
        """Go the rounds; what goes wrong in one is tried again in the next."""
        while not self._member.stopping.wait(_STEP_SECONDS):
            steps: list[Callable[[], object]] = [
                self._tell_detected,
                self.telling.step,
                self.feeds.step,
                self._reporter.count_armed,
            ]
            if time.monotonic() >= self._slowly_at:
                self._slowly_at = time.monotonic() + _RETRY_SECONDS
                steps += [self.retry, self._read_revoked, self._renew]
            for step in steps:
                self._try(step)

    def _try(self, step: Callable[[], object]) -> None:
        """One step; the others are made although it fails."""
        try:
            step()
        except EngineError as error:
            self._member.hear(error)
        except Exception:
            log.exception("internal error in a round of the fleet's agent; it is tried again")

    def _tell_detected(self) -> None:
        turn = self._member.engine.turn
        if self._turn != turn:
            self._detected.forget()
            self._turn = turn
        self._detected.step()

    def retry(self) -> None:
        """Try again what this node has refused: there may be room now."""
        shared = self._member.controller.state.shared
        named = (key for key in list(self._member.refused) if key in shared)
        held = [self._member.engine.get(keys.intent(key)) for key in islice(named, _RETRIED)]
        if refused := [each for each in held if isinstance(each, Held)]:
            self._follower.take(refused, again=True)

    def _read_revoked(self) -> None:
        """Take over which nodes are revoked, and etcd's list of them where this host runs etcd."""
        held = self._member.engine.get(keys.REVOKED)
        if held is not None and held.value is not None:
            self.revoked = self._credentials.take_revoked(held.value)

    def _renew(self) -> None:
        """Install a renewed certificate, and use it."""
        engine = self._member.engine
        if self._credentials.renew(engine):
            self._reporter.expires = self._credentials.expires()
            engine.turn_away(engine.turn)
