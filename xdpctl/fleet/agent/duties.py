# SPDX-License-Identifier: GPL-2.0-or-later
"""What one node does for all: the one that has the lease. If it dies, another takes over."""

import time

from xdpctl.errors import EngineError
from xdpctl.fleet import keys
from xdpctl.fleet.agent.member import Member
from xdpctl.fleet.engine.values import Held, Swap

_LEASE_SECONDS, _RENEW_SECONDS = 10.0, 3.0


class Duty:
    """One duty of the fleet, such as `feeds`; `step` about once a second."""

    def __init__(self, member: Member, role: str) -> None:
        self._member, self._key = member, keys.LEADER + role
        self._lease, self._renewed = 0, 0.0
        self.leader = ""

    @property
    def mine(self) -> bool:
        """Whether this node has the duty; not after its lease may have ended."""
        return bool(self._lease) and time.monotonic() - self._renewed < _LEASE_SECONDS

    def step(self) -> None:
        """Keep the duty, or take it over if nobody has it; EngineError if it is not known."""
        engine, now = self._member.engine, time.monotonic()
        if not self._member.states:
            held = engine.get(self._key)
            self.leader = _named(held)
            return
        if self._lease:
            if now - self._renewed < _RENEW_SECONDS:
                return
            if engine.keep_alive(self._lease):
                self._renewed = now
                return
            self._lease = 0
        held = engine.get(self._key)
        self.leader = _named(held)
        if self.leader:
            return
        lease, base = engine.grant(_LEASE_SECONDS), held.revision if held else 0
        if engine.swap([Swap(self._key, self._member.name.encode(), base, lease)]).done:
            self._lease, self._renewed, self.leader = lease, now, self._member.name
        else:
            engine.revoke(lease)

    def give_up(self) -> None:
        """Let another node take it over at once."""
        lease, self._lease = self._lease, 0
        if lease:
            try:
                self._member.engine.revoke(lease)
            except EngineError:
                return  # it ends by itself


def _named(held: Held | None) -> str:
    """Who has the duty: a key without a lease would be for ever, and is nobody's."""
    if held is None or not held.lease:
        return ""
    return (held.value or b"").decode(errors="replace")[:32] if held else ""
