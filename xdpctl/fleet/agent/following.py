# SPDX-License-Identifier: GPL-2.0-or-later
"""Follows the engine: takes over what it has, from a snapshot and then change by change.

What has been taken over is written together with the revision, in one transaction of this node's
store. So after a restart the agent goes on where it was. Rules that the engine has no more are
ended only when the whole snapshot was read.
"""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace

from msgspec import structs

from xdpctl.control.state.draft import Draft
from xdpctl.errors import CompactedError, DatapathError, EngineError, XdpctlError
from xdpctl.fleet import keys
from xdpctl.fleet.agent.arming import Arming
from xdpctl.fleet.agent.batches import MOST, together
from xdpctl.fleet.agent.fetching import Fetcher
from xdpctl.fleet.agent.member import Member
from xdpctl.fleet.agent.records import AnyRule
from xdpctl.fleet.agent.specials import Specials
from xdpctl.fleet.agent.taking import Incoming, Taken, Taker
from xdpctl.fleet.engine.values import Held, Snapshot
from xdpctl.fleet.intent import VERSION, Intent
from xdpctl.model import tags
from xdpctl.model.sharing import Position, key_of
from xdpctl.model.signature import automatic

TOMBSTONE_SECONDS = 7 * 86_400.0  # for which the engine remembers that something was removed
POSITION = "engine"  # the identity of the record of the position
_AGAIN_SECONDS, _SAY_SECONDS = 0.2, 60.0
log = logging.getLogger("xdpctl.fleet")


class Follower:
    """Follows the engine from `run` until the member is stopping.

    `removed` is called with the key of each removal: a detector's rule may have ended with it.
    """

    def __init__(self, member: Member, specials: Specials, removed: Callable[[str], None]) -> None:
        self._member, self._specials, self._removed = member, specials, removed
        self._fetcher = Fetcher(member)
        settings, hits = member.settings, member.controller.hits
        self._taker = Taker(settings.name, settings.groups, hits)
        self._arming = Arming(settings.name, settings.arm, hits)
        self._again = True  # a snapshot is needed

    def run(self) -> None:
        """Follow; what goes wrong is noted, and tried again."""
        member, said_at = self._member, 0.0
        self._again = POSITION not in member.controller.state.followed
        while not member.stopping.is_set():
            try:
                self._follow()
            except CompactedError:
                self._again = True
                continue
            except XdpctlError as error:
                if isinstance(error, EngineError):
                    member.hear(error)
                now = time.monotonic()
                if now >= said_at and not member.stopping.is_set():
                    log.warning("the fleet is not followed: %s", error)
                    said_at = now + _SAY_SECONDS
            except Exception:
                log.exception("internal error while following the fleet; it is tried again")
            member.stopping.wait(_AGAIN_SECONDS)

    def _follow(self) -> None:
        engine = self._member.engine
        head = engine.snapshot(keys.FLEET)
        position = self._member.controller.state.followed.get(POSITION)
        cluster, fleet = f"{head.cluster:x}", _fleet_id(head)
        if position and position.fleet != fleet:
            log.warning("this node is in another fleet now: what it had is its own")
            self._member.do(forget_fleet)
            position = None
        if position and (position.cluster != cluster or position.revision > head.revision):
            log.warning("the fleet's engine was restored or replaced: what is missing is restated")
            self._member.do(_forget_revisions)
            self._again = True
        if self._again or position is None:
            self._read(engine.snapshot(keys.SHARED), position, fleet)
            self._again = False
        self._member.applied = self._member.controller.state.followed[POSITION].revision
        self._member.moved.set()
        changes: list[Held] = []
        with closing(together(engine.watch(keys.SHARED, self._member.applied))) as batches:
            for batch in batches:
                changes += batch.changes
                if batch.whole:
                    self._take(changes, Position(cluster, batch.revision, self._now(), fleet))
                    changes = []

    def _read(self, snapshot: Snapshot, position: Position | None, fleet: str) -> None:
        """Take over a snapshot, and then end what is not in it."""
        cluster, held = f"{snapshot.cluster:x}", snapshot.held
        for first in range(0, len(held), MOST):
            self._take(held[first : first + MOST], None)
        names = {each.key for each in held}
        away = self._now() - position.at if position else 0.0
        forgotten = away > TOMBSTONE_SECONDS and position is not None
        same = position is not None and position.cluster == cluster
        gone = list(self._gone(names, snapshot.revision, forgotten and same))
        reached = Position(cluster, snapshot.revision, self._now(), fleet)
        self._incoming(gone, reached)

    def _gone(self, names: set[str], revision: int, removed: bool) -> Iterator[Incoming]:
        """What this node has of the fleet, and the snapshot has not."""
        state = self._member.controller.state
        for key, shared in list(state.shared.items()):
            if shared.stands and keys.intent(key) not in names:
                intent = Intent(VERSION, "fleet", "", self._now(), removed=True)
                yield Incoming(key, revision, intent if removed else None)
        rules: list[AnyRule] = [*list(state.rules.values()), *list(state.signatures.values())]
        for rule in rules:
            for tag in tags.armed(rule.tags) if automatic(rule) else ():
                node, key = tag.removeprefix(tags.ARMED), key_of(rule)
                if keys.found(node, key) not in names:
                    yield Incoming(key, revision, None, node=node)

    def _take(self, held: Sequence[Held], position: Position | None) -> None:
        self._incoming(self._placed(held), position)

    def take(self, held: Sequence[Held], again: bool = False) -> None:
        """Take over what another thread has found in the engine; `again`: what was refused."""
        incoming = self._placed(held)
        self._incoming([replace(one, again=True) for one in incoming] if again else incoming, None)

    def _placed(self, held: Sequence[Held]) -> list[Incoming]:
        """What is to be taken over of some keys; others are left alone."""
        placed = ((each, keys.place(each.key)) for each in held)
        return [self._fetcher.incoming(each, place) for each, place in placed if place]

    def _incoming(self, incoming: Sequence[Incoming], position: Position | None) -> None:
        member = self._member

        def operation(draft: Draft) -> tuple[Taken, Taken]:
            stated = self._taker.take(draft, [one for one in incoming if not one.node])
            found = self._arming.take(draft, [one for one in incoming if one.node])
            if position:
                draft.followed[POSITION] = position
            return stated, found

        try:
            stated, found = member.do(operation)
        except DatapathError as error:  # the kernel refused one of them: take the others
            self._one_by_one(incoming, position, error)
            return
        for change, why in stated.conflicts.items():
            member.give_way(change, why)
        for change, revision in stated.reached.items():
            member.reach(change, revision)
        if member.refused:
            for one in incoming:
                if not one.again:
                    member.refused.pop(f"{one.node}: {one.key}" if one.node else one.key, None)
            for key in stated.applied:
                member.refused.pop(key, None)
        member.refused |= stated.refused | found.refused
        for one in incoming:
            if one.intent is not None and one.intent.removed:
                self._removed(one.key)
        self._specials.take(stated.special)
        if position:
            member.applied = position.revision
        member.moved.set()
        member.stated.set()  # something that is to be sent may have a new base

    def _one_by_one(
        self, incoming: Sequence[Incoming], position: Position | None, error: DatapathError
    ) -> None:
        """Take over halves of what the kernel refused; what it refuses alone stays as it is."""
        if len(incoming) == 1:
            refused = replace(incoming[0], problem=str(error))
            self._incoming([refused], position)
            return
        half = len(incoming) // 2
        self._incoming(incoming[:half], None)
        self._incoming(incoming[half:], position)

    def _now(self) -> float:
        return self._member.controller.clock.read().unix


def _fleet_id(head: Snapshot) -> str:
    """The id of the fleet, by the key of that name; "" if it was never written."""
    named = (each.value for each in head.held if each.key == keys.FLEET)
    return (next(named, None) or b"").decode(errors="replace")[:64]


def forget_fleet(draft: Draft) -> int:
    """Make everything this node's own; how many intents it had of the fleet."""
    number = 0
    for field in ("shared", "unsent", "followed"):
        for key in getattr(draft.state, field):
            getattr(draft, field)[key] = None
            number += field == "shared"
    return number


def _forget_revisions(draft: Draft) -> None:
    """Revisions of another cluster say nothing: everything is compared anew."""
    for key, shared in draft.state.shared.items():
        draft.shared[key] = structs.replace(shared, revision=0)
    for key, unsent in draft.state.unsent.items():
        draft.unsent[key] = structs.replace(unsent, base=0)
    draft.note("fleet", "fleet.engine", "", intents=len(draft.state.shared))
