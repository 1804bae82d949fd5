# SPDX-License-Identifier: GPL-2.0-or-later
"""Which nodes a change is for, and where it is in force."""

import asyncio
import time
from collections.abc import Collection

from xdpctl.errors import EngineError
from xdpctl.fleet.agent.member import Member
from xdpctl.fleet.agent.reporter import Reporter
from xdpctl.fleet.agent.sender import Sender
from xdpctl.fleet.answer import Where, where
from xdpctl.fleet.intent import in_scope
from xdpctl.model.wait import Wait

_ALL_SECONDS, _POLL_SECONDS = 2.0, 0.01


class Whereabouts:
    """Asks what this node has sent, and what the others say of themselves."""

    def __init__(self, member: Member, reporter: Reporter, sender: Sender) -> None:
        self._member, self._reporter, self._sender = member, reporter, sender

    def covers(self, scope: str) -> bool:
        """Whether a scope has this node."""
        return in_scope(scope, self._member.name, self._member.settings.groups)

    def named(self, scope: str) -> bool:
        """Whether a scope has any node of the fleet; also if this one has not seen others yet."""
        cards = self._reporter.nodes.by_name.values()
        return (
            not cards
            or self.covers(scope)
            or any(in_scope(scope, seen.name, seen.card.groups) for seen in cards)
        )

    def where(self, revision: int, named: Collection[str] = (), scope: str = "") -> Where:
        """Where intents of a scope are in force that the engine has at a revision."""
        seen = self._reporter.nodes.by_name.values()
        return where(revision, named, seen, self._member.settings, self.looked(), scope)

    def wait(self, change: int, named: Collection[str], wait: Wait) -> Where:
        """The same as `waited`, for a thread that has nothing else to do."""
        return asyncio.run(self.waited(change, named, wait))

    async def waited(
        self, change: int, named: Collection[str], wait: Wait, scope: str = ""
    ) -> Where:
        """Where a change is, when it is where `wait` says, or after some seconds.

        `change` was made on this node, and touched the intents `named`. ConflictError if another
        node stated otherwise, and the engine had that first.
        """
        if wait is Wait.LOCAL or self._member.contact.isolated:
            return self.where(self.revision(named), named, scope)
        sent = asyncio.shield(asyncio.wrap_future(self._sender.when_sent(change)))
        try:
            revision = await asyncio.wait_for(sent, _ALL_SECONDS)
        except TimeoutError:
            return self.where(0, named, scope)
        deadline = time.monotonic() + _ALL_SECONDS
        while True:
            found = self.where(revision, named, scope)
            enough = wait is Wait.MAJORITY or not revision or not found.behind
            if enough or time.monotonic() > deadline:
                return found
            await asyncio.sleep(_POLL_SECONDS)
            try:
                await asyncio.to_thread(self._reporter.look, _POLL_SECONDS)
            except EngineError as error:
                self._member.hear(error)
                return found

    def revision(self, named: Collection[str]) -> int:
        """The engine's revision of all these intents; 0 if one of them waits to be sent."""
        state = self._member.controller.state
        if any(key in state.unsent for key in named):
            return 0
        known = [state.shared[key].revision for key in named if key in state.shared]
        return max(known, default=0)

    def looked(self) -> float:
        """When the nodes were last looked at (monotonic); now, if this node is cut off."""
        cut = self._member.contact.isolated
        return time.monotonic() if cut else self._reporter.nodes.looked
