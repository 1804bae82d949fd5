# SPDX-License-Identifier: GPL-2.0-or-later
"""An agent's periodic steps for its node, and its duties for the fleet while it has the lease."""

import logging
import time
from collections.abc import Callable

from xdpctl.errors import EngineError
from xdpctl.fleet import keys
from xdpctl.fleet.agent.detected import Detected
from xdpctl.fleet.agent.follower import POSITION, Follower
from xdpctl.fleet.agent.member import Member
from xdpctl.fleet.agent.notices import Telling
from xdpctl.fleet.agent.reporter import Reporter
from xdpctl.fleet.credentials import Credentials
from xdpctl.fleet.engine.calls import text_of
from xdpctl.fleet.engine.values import Held, Swap
from xdpctl.fleet.standing import Standing

_STEP_SECONDS, _RETRY_SECONDS, _RETRIED = 0.2, 10.0, 200
log = logging.getLogger("xdpctl.fleet")
_LEASE_SECONDS, _RENEW_SECONDS, _LOOK_SECONDS = 10.0, 3.0, 5.0


class Rounds:
    """Makes its steps from `run` until the member is stopping.

    `detected` sends the rules of this node's detectors, `telling` its incidents and history.
    `feeds` is the duty to fetch feeds.
    """

    def __init__(
        self,
        member: Member,
        credentials: Credentials,
        follower: Follower,
        reporter: Reporter,
        detected: Detected,
        standing: Standing,
        more: Callable[[], object],
    ) -> None:
        self._member, self._credentials = member, credentials
        self._standing, self._more = standing, more
        self._follower, self._reporter, self._detected = follower, reporter, detected
        self.telling, self.feeds = Telling(member), Duty(member, "feeds")
        self._turn, self._slowly_at, self._retried = -1, 0.0, 0

    def run(self) -> None:
        """Make the steps again and again; a failed one is tried again in the next round."""
        while not self._member.stopping.wait(_STEP_SECONDS):
            steps: list[Callable[[], object]] = [
                self._tell_detected,
                self.telling.step,
                self.feeds.step,
                self._reporter.count_armed,
                self._more,
            ]
            if time.monotonic() >= self._slowly_at:
                self._slowly_at = time.monotonic() + _RETRY_SECONDS
                steps += [self.retry, self._standing.read_revoked, self._standing.read_members]
                steps += [self._renew, self._compare_epochs, self._follower.fetcher.look_again]
            for step in steps:
                self._try(step)

    def _try(self, step: Callable[[], object]) -> None:
        """Make one step; an error does not keep the others from being made."""
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
        refused = list(self._member.refused)
        first = self._retried % max(1, len(refused))
        self._retried = first + _RETRIED
        kvs = []
        for key in (refused[first:] + refused[:first])[:_RETRIED]:
            node, mark, of_node = key.partition(": ")
            engine_key = keys.found(node, of_node) if mark else keys.intent(key)
            if kv := self._member.engine.get(engine_key):
                kvs.append(kv)
            else:
                self._member.refused.pop(key, None)
        if kvs:
            self._follower.take(kvs, again=True)

    def _compare_epochs(self) -> None:
        """Follow anew if the engine has begun another epoch since the follower read it."""
        engine, turn = self._member.engine, self._member.engine.turn
        position = self._member.controller.state.followed.get(POSITION)
        kv = engine.get(keys.EPOCH)
        if position is not None and position.epoch != (now := text_of(kv.value) if kv else ""):
            engine.epoch = max(engine.epoch, now)
            engine.turn_away(turn)

    def _renew(self) -> None:
        if self._standing.renew():
            self._reporter.expires = self._credentials.expires()


class Duty:
    """One duty of the fleet, such as `feeds`; call `step` about once a second."""

    def __init__(self, member: Member, role: str) -> None:
        self._member, self._key = member, keys.LEADER + role
        self._lease, self._renewed, self._look_at = 0, 0.0, 0.0
        self.leader = ""

    @property
    def mine(self) -> bool:
        """Whether this node has the duty; False once its lease may have ended."""
        return bool(self._lease) and time.monotonic() - self._renewed < _LEASE_SECONDS

    def step(self) -> None:
        """Keep the duty, or take it over if nobody has it; EngineError without an answer."""
        engine, now = self._member.engine, time.monotonic()
        if not self._member.states:
            if now >= self._look_at:
                self.leader, self._look_at = _named(engine.get(self._key)), now + _LOOK_SECONDS
            return
        if self._lease:
            if now - self._renewed < _RENEW_SECONDS:
                return
            if engine.keep_alive(self._lease):
                self._renewed = now
                return
            self._lease = 0
        kv = engine.get(self._key)
        self.leader = _named(kv)
        if self.leader:
            return
        lease, base = engine.grant(_LEASE_SECONDS), kv.revision if kv else 0
        if engine.swap([Swap(self._key, self._member.name.encode(), base, lease)]).done:
            self._lease, self._renewed, self.leader = lease, now, self._member.name
        else:
            engine.revoke(lease)

    def give_up(self) -> None:
        """Let another node take the duty over at once."""
        lease, self._lease = self._lease, 0
        if lease:
            try:
                self._member.engine.revoke(lease)
            except EngineError:
                return  # the lease ends automatically


def _named(kv: Held | None) -> str:
    """The node that has the duty; "" for a key without a lease, which would never end."""
    if kv is None or not kv.lease:
        return ""
    return (kv.value or b"").decode(errors="replace")[:32] if kv else ""
