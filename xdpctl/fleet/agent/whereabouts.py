# SPDX-License-Identifier: GPL-2.0-or-later
"""Which nodes a change is meant for, and on which it is in force."""

import asyncio
import time
from collections.abc import Collection
from contextlib import suppress

from xdpctl.fleet.agent.member import Member
from xdpctl.fleet.agent.reading import Reading
from xdpctl.fleet.agent.reporter import Reporter
from xdpctl.fleet.agent.sender import Sender
from xdpctl.fleet.answer import Where, where
from xdpctl.fleet.intent import in_scope
from xdpctl.model.wait import Wait

_ALL_SECONDS = 2.0


class Whereabouts:
    """Compares what this node has sent with the reports of the other nodes."""

    def __init__(self, member: Member, reporter: Reporter, sender: Sender) -> None:
        self._member, self._reporter, self._sender = member, reporter, sender
        self._reading = Reading(member, reporter)

    def covers(self, scope: str) -> bool:
        """Whether a scope includes this node."""
        return in_scope(scope, self._member.name, self._member.settings.groups)

    def named(self, scope: str) -> bool:
        """Whether a scope includes any node of the fleet; True while no node is known."""
        cards = self._reporter.nodes.by_name.values()
        return (
            not cards
            or self.covers(scope)
            or any(in_scope(scope, node.name, node.card.groups) for node in cards)
        )

    def where(self, revision: int, intents: Collection[str] = (), scope: str = "") -> Where:
        """Where intents of a scope, which the engine has at a revision, are in force."""
        nodes = self._reporter.nodes.by_name.values()
        return where(revision, intents, nodes, self._member.settings, self.looked(), scope)

    def wait(self, change: int, intents: Collection[str], wait: Wait) -> Where:
        """The same as `waited`, for a thread without an event loop."""
        return asyncio.run(self.waited(change, intents, wait))

    async def waited(
        self, change: int, intents: Collection[str], wait: Wait, scope: str = ""
    ) -> Where:
        """Wait until a change is in force as `wait` asks, or for some seconds; return where it is.

        `change` was made on this node, and touched `intents`. ConflictError if the engine had a
        different change of another node first.
        """
        if wait is Wait.LOCAL or self._member.contact.isolated:
            return self.where(self.revision(intents), intents, scope)
        if wait is Wait.MAJORITY:
            return self.where(await self._sent(change, intents), intents, scope)
        with self._reading.changes() as changed:
            revision = await self._sent(change, intents)
            deadline = time.monotonic() + _ALL_SECONDS
            while True:
                changed.clear()
                answer = self.where(revision, intents, scope)
                left = deadline - time.monotonic()
                if not (revision and answer.behind and left > 0) or self._reading.problem:
                    return answer
                with suppress(TimeoutError):
                    await asyncio.wait_for(changed.wait(), left)

    async def _sent(self, change: int, intents: Collection[str]) -> int:
        """The engine's revision of a change, 0 if it has none after some seconds."""
        sent = asyncio.shield(asyncio.wrap_future(self._sender.when_sent(change)))
        try:
            revision = await asyncio.wait_for(sent, _ALL_SECONDS)
        except TimeoutError:
            return 0
        return revision or self.revision(intents)  # a change that changed nothing is not sent

    def revision(self, intents: Collection[str]) -> int:
        """The engine's revision of all these intents; 0 if one of them waits to be sent."""
        state = self._member.controller.state
        if any(key in state.unsent for key in intents):
            return 0
        revisions = [state.shared[key].revision for key in intents if key in state.shared]
        return max(revisions, default=0)

    def looked(self) -> float:
        """When the nodes' reports were last read (monotonic); now, if this node is cut off."""
        cut = self._member.contact.isolated
        return time.monotonic() if cut else self._reporter.nodes.looked
