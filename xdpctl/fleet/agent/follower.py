# SPDX-License-Identifier: GPL-2.0-or-later
"""Follows the engine: takes over a snapshot of all intents, and then each change.

Intents are stored together with the engine's revision, in one transaction of this node's store. So
after a restart the agent goes on where it was. Rules that the engine has no more are ended only
after the whole snapshot was read.
"""

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace

from msgspec import structs

from xdpctl.control.state.draft import Draft
from xdpctl.errors import CompactedError, DatapathError, EngineError, XdpctlError
from xdpctl.fleet import keys
from xdpctl.fleet.agent.armed import Arming
from xdpctl.fleet.agent.backlog import pieces
from xdpctl.fleet.agent.fetcher import Fetcher
from xdpctl.fleet.agent.intake import Incoming, Intake, Taken
from xdpctl.fleet.agent.member import Member
from xdpctl.fleet.agent.records import forget_fleet, forget_revisions
from xdpctl.fleet.agent.specials import Specials
from xdpctl.fleet.engine.calls import text_of
from xdpctl.fleet.engine.values import Held, Snapshot
from xdpctl.fleet.intent import VERSION, Intent
from xdpctl.model import tags
from xdpctl.model.rule import automatic
from xdpctl.model.shared import Position, key_of

TOMBSTONE_SECONDS = 7 * 86_400.0  # for which the engine remembers that something was removed
_MOST = 5_000  # intents of a snapshot that are taken over in one transaction
POSITION = "engine"  # the identity of the record of the position
FOUND_MAX, FOUND_BYTES = 50_000, 80 << 10  # rules of one node's detectors, and bytes of one
_REFUSALS_MAX = 8  # refusals of the kernel in one batch that are searched for one by one
# errors that a single intent may cause: the others are taken over without it
_ALONE = (DatapathError, ValueError, TypeError, LookupError, ArithmeticError, AttributeError)
_AGAIN_SECONDS, _SAY_SECONDS = 0.2, 60.0
log = logging.getLogger("xdpctl.fleet")


class Follower:
    """Follows the engine from `run` until the member is stopping.

    `removed` is called with the key of each removal: a detector's rule may have ended with it.
    """

    def __init__(self, member: Member, specials: Specials, removed: Callable[[str], None]) -> None:
        self._member, self._specials, self._removed = member, specials, removed
        self.fetcher = Fetcher(member)
        me, hits = member.settings, member.controller.hits
        self._taker = Intake(me.name, me.groups, hits, member.states)
        self._arming = Arming(me.name, me.arm, hits)
        self._again = False  # whether a snapshot is needed

    def run(self) -> None:
        """Follow the engine; after an error, note it and try again."""
        member, said_at = self._member, 0.0
        self._again |= POSITION not in member.controller.state.followed
        while not member.stopping.is_set():
            try:
                self._follow()
            except CompactedError:
                self._again = True
                continue
            except XdpctlError as error:
                if isinstance(error, EngineError):
                    member.hear(error)
                if time.monotonic() >= said_at and not member.stopping.is_set():
                    log.warning("the fleet is not followed: %s", error)
                    said_at = time.monotonic() + _SAY_SECONDS
            except Exception:
                log.exception("internal error while following the fleet; it is tried again")
            member.stopping.wait(_AGAIN_SECONDS)

    def read_anew(self) -> None:
        """Take over a snapshot of all intents, before anything else is followed."""
        self._again = True

    def _follow(self) -> None:
        engine = self._member.engine
        head = engine.snapshot(keys.FLEET)
        texts = {kv.key: text_of(kv.value) for kv in head.held}
        position = self._member.controller.state.followed.get(POSITION)
        cluster, fleet = f"{head.cluster:x}", texts.get(keys.FLEET, "")
        now = Position(cluster, 0, 0.0, fleet, texts.get(keys.EPOCH, ""))
        if position and position.fleet != fleet:
            log.warning("this node is in another fleet now: it keeps what it had as its own")
            self._member.do(forget_fleet)
            position = None
        if position and (position.another(now) or position.revision > head.revision):
            log.warning("the engine was restored: this node states anew what the engine lacks")
            self._member.do(forget_revisions)
            self._again = True
        if self._again or position is None:
            self._again = False
            try:
                self._read(self._snapshot(), position, now)
            except BaseException:
                self._again = True
                raise
        self._member.applied = self._member.controller.state.followed[POSITION].revision
        self._member.moved.set()
        after = self._member.applied
        with closing(pieces(engine.watch(keys.SHARED, after), after)) as parts:
            for part in parts:
                self._take(part.changes, self._reached(now, part.revision))
                self._member.reach_ahead(kv.revision for kv in part.changes)

    def _snapshot(self) -> Snapshot:
        """All intents, with at most FOUND_MAX rules of each node's detectors."""
        kvs: list[Held] = []
        last, counted = Snapshot([], 0, 0), Counter[str]()
        for last in self._member.engine.pages(keys.SHARED):
            for kv in last.held:
                place = keys.place(kv.key)
                if place and place.node:
                    counted[place.node] += 1
                    if counted[place.node] > FOUND_MAX or len(kv.value or b"") > FOUND_BYTES:
                        continue
                kvs.append(kv)
        return last._replace(held=kvs)

    def _reached(self, now: Position, revision: int) -> Position:
        return structs.replace(now, revision=revision, at=self._now())

    def _read(self, snapshot: Snapshot, position: Position | None, now: Position) -> None:
        """Take over a snapshot, and then end what is not in it."""
        kvs = snapshot.held
        for first in range(0, len(kvs), _MOST):
            self._take(kvs[first : first + _MOST], None)
        names = {kv.key for kv in kvs}
        away = self._now() - position.at if position else 0.0
        forgotten = away > TOMBSTONE_SECONDS and position is not None
        same = position is not None and not position.another(now)
        vanished = [
            replace(incoming, lost=not same, own=forgotten and not same)
            for incoming in self._gone(names, snapshot.revision, forgotten and same)
        ]
        self.incoming(vanished, self._reached(now, snapshot.revision))

    def _gone(self, names: set[str], revision: int, removed: bool) -> Iterator[Incoming]:
        """The intents and rules that this node has from the fleet, and the snapshot lacks."""
        state = self._member.controller.state
        for key, shared in list(state.shared.items()):
            if shared.stands and keys.intent(key) not in names:
                intent = Intent(VERSION, "fleet", "", self._now(), removed=True)
                yield Incoming(key, revision, intent if removed else None)
        rules = state.all_rules()
        for rule in rules:
            for tag in tags.armed(rule.tags) if automatic(rule) else ():
                node, key = tag.removeprefix(tags.ARMED), key_of(rule)
                if keys.found(node, key) not in names:
                    yield Incoming(key, revision, None, node=node)

    def _take(self, kvs: Sequence[Held], position: Position | None) -> None:
        self.incoming(self._placed(kvs), position)

    def take(self, kvs: Sequence[Held], again: bool = False) -> None:
        """Take over what another thread read from the engine; `again`: after an earlier refusal."""
        batch = self._placed(kvs)
        self.incoming([replace(incoming, again=again) for incoming in batch])

    def _placed(self, kvs: Sequence[Held]) -> list[Incoming]:
        """The intents of some keys; keys that are no intents are left out."""
        placed = ((kv, keys.place(kv.key)) for kv in kvs)
        return [self.fetcher.incoming(kv, place) for kv, place in placed if place]

    def incoming(self, batch: Sequence[Incoming], position: Position | None = None) -> None:
        """Take intents over, without those that cannot be."""
        try:
            self._apply(batch, position)
        except _ALONE as error:
            if not isinstance(error, DatapathError):
                log.exception("an intent of the fleet cannot be taken over; the others are")
            self._in_parts(batch, str(error)[:200])
            self._apply((), position)

    def _in_parts(self, batch: Sequence[Incoming], why: str) -> None:
        """Halve a batch until the intents that the kernel refuses are found, and apply the others.

        After some refusals the table counts as full: this node refuses the rest without a try, and
        tries it later.
        """
        parts, refused = [batch], 0
        while parts:
            part = parts.pop()
            if len(part) == 1 or refused >= _REFUSALS_MAX:
                self._refuse(part, why)
                refused += 1
                continue
            half = len(part) // 2
            for piece in (part[half:], part[:half]):
                try:
                    self._apply(piece, None)
                except _ALONE as error:
                    why = str(error)[:200]
                    parts.append(piece)

    def _refuse(self, part: Sequence[Incoming], why: str) -> None:
        """Store the refusal of intents; leave out the intents if even that fails."""
        try:
            self._apply([replace(incoming, problem=why) for incoming in part], None)
        except _ALONE:
            log.exception("%d intents of the fleet are left out, from %s", len(part), part[0].key)
            self._member.refuse({incoming.key: why for incoming in part})

    def _apply(self, batch: Sequence[Incoming], position: Position | None) -> None:
        """Take intents over in one transaction; after an error of `_ALONE`, none is taken over."""
        member = self._member

        def operation(draft: Draft) -> tuple[Taken, Taken]:
            stated = self._taker.take(draft, [incoming for incoming in batch if not incoming.node])
            detected = self._arming.take(draft, [incoming for incoming in batch if incoming.node])
            if position:
                draft.followed[POSITION] = position
            return stated, detected

        stated, detected = member.do(operation)
        for change, why in stated.conflicts.items():
            member.give_way(change, why)
        for change, revision in stated.reached.items():
            member.reach(change, revision)
        for key in self._judged_anew(batch, stated):
            member.refused.pop(key, None)
        member.refuse(stated.refused | detected.refused)
        for incoming in batch:
            if incoming.intent is not None and incoming.intent.removed:
                self._removed(incoming.key)
        self._specials.take(stated.special)
        if position:
            member.applied = position.revision
        member.moved.set()
        member.stated.set()  # an unsent intent may have a new base

    @staticmethod
    def _judged_anew(batch: Sequence[Incoming], stated: Taken) -> Iterator[str]:
        """The intents whose earlier refusal is over."""
        for incoming in batch:
            if incoming.node or not incoming.again:
                yield f"{incoming.node}: {incoming.key}" if incoming.node else incoming.key
        yield from stated.applied

    def _now(self) -> float:
        return self._member.controller.clock.read().unix
