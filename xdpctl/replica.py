"""Store, state and kernel in step: what is committed is durable, then applied, or undone.

Only what comes back from the store's watch reaches the kernel, so the start after a crash runs
the same code as every change. Used from one thread.
"""

import logging
from collections.abc import Mapping

from xdpctl.audit import Chain, Event
from xdpctl.clock import Clock, Now
from xdpctl.datapath import Datapath
from xdpctl.errors import DatapathError, StoreError, XdpctlError
from xdpctl.model import Rule
from xdpctl.plan import Image, Target, differences, transition
from xdpctl.policy import Protection
from xdpctl.prefix import Prefix
from xdpctl.records import RULES, TOKENS, decode, source_of
from xdpctl.state import Draft, State
from xdpctl.store import Change, Cursor, Reset, Store, Synced
from xdpctl.tokens import Token
from xdpctl.wire import Hits, SlotNumber

log = logging.getLogger("xdpctl.controller")


class Replica:
    """`stale` counts entries that went since the front was last repainted; `unsettled`: the kernel
    refused something, so a round of upkeep has to bring everything to where it should be.
    """

    def __init__(self, store: Store, datapath: Datapath, state: State, clock: Clock) -> None:
        self.store = store
        self.datapath = datapath
        self.state = state
        self.clock = clock
        self.stale = 0
        self.unsettled = False
        self._chain = Chain(store.last_audit())
        self._cursor: Cursor | None = None
        self._ours: dict[str, tuple[bytes | None, Prefix, Rule | None]] = {}

    def commit(self, draft: Draft) -> None:
        """Store a draft with its audit records, then apply it; if the kernel refuses, undo it."""
        if not draft:
            return
        back, changes = draft.way_back(), draft.changes()
        self._write(changes, draft.events, draft.now)
        sources = zip(changes, draft.rules.items(), strict=False)
        self._ours = {key: (changes[key], source, rule) for key, (source, rule) in sources}
        try:
            self.follow()
        except DatapathError as error:
            log.error("undoing a change that the kernel refused: %s", error)
            undone = Event("xdpctl", "rule.undo", "", {"rules": len(back.rules), "why": str(error)})
            self._write(back.changes(), [undone], draft.now)
            self.follow()
            raise
        finally:
            self._ours = {}

    def _write(self, changes: Mapping[str, bytes | None], events: list[Event], now: Now) -> None:
        records = self._chain.append(events, now.unix)
        self.store.write(changes, records)
        self._chain.commit(records)

    def record(self, event: Event) -> bool:
        """An audit record that must not hold up what it tells of; whether it was kept."""
        try:
            self._write({}, [event], self.clock.read())
        except StoreError as error:
            log.error("not audited: %s: %s", event, error)
            return False
        return True

    def follow(self) -> None:
        """Learn what the store has that we have not seen, and bring the kernel to it."""
        now, reset = self.clock.read(), False
        changed: set[Prefix] = set()
        cursor = self._cursor
        for event in self.store.watch(cursor):
            match event:
                case Change():
                    self._learn(event, now, changed)
                case Reset():
                    reset = True
                    self.state.forget()
                case Synced():
                    cursor = event.cursor
        self._cursor = cursor
        if reset:
            self.settle(now)
        else:
            self.apply({source: self.state.target(source, now.ns) for source in changed}, now)

    def _learn(self, change: Change, now: Now, changed: set[Prefix]) -> None:
        if change.key.startswith(RULES):
            source, rule = self._read(change, now)
            self.state.learn(source, rule)
            changed.add(source)
        elif change.key.startswith(TOKENS):
            token = Token.unpack(change.value) if change.value else None
            self.state.learn_token(change.key.removeprefix(TOKENS), token)

    def _read(self, change: Change, now: Now) -> tuple[Prefix, Rule | None]:
        """The rule of a change; what we have just written ourselves is not parsed again."""
        ours = self._ours.get(change.key)
        if ours and ours[0] == change.value:
            return ours[1:]
        try:
            source = source_of(change.key)
            if change.value is None:
                return source, None
            return source, decode(source, change.value, now)
        except (ValueError, XdpctlError) as error:
            raise StoreError(f"the record {change.key} is unreadable: {error}") from error

    def apply(self, changes: Mapping[Prefix, Target | None], now: Now) -> None:
        """Make the kernel's entries lead where `changes` say."""
        image = self.state.image
        real = {p: target for p, target in changes.items() if image.value(p) != target}
        plan = transition(image, real, now.ns)
        try:
            self.datapath.apply(plan)
        except DatapathError:
            self.unsettled = True
            self.resync()
            raise
        image.commit(plan)
        self.stale += sum(slot is None for slot in plan.entries.values())

    def settle(self, now: Now) -> dict[Prefix, Target | None]:
        """Bring everything to where it should be; what differed."""
        self.unsettled = True
        differing = differences(self.state.desired(now.ns), self.state.image)
        self.apply(differing, now)
        self.unsettled = False
        return differing

    def protect(self, protection: Protection) -> None:
        """Let these prefixes be the protected ones; as before if the kernel refuses."""
        before, self.state.protection = self.state.protection, protection
        try:
            self.settle(self.clock.read())
        except XdpctlError:
            self.state.protection = before
            raise

    def resync(self) -> None:
        """Read what the kernel really holds."""
        entries = {prefix: slot for batch in self.datapath.scan() for prefix, slot in batch}
        highest = max((SlotNumber.PROTECTED, *entries.values()))
        slots = self.datapath.slots(0, highest + 1)
        self.state.image = Image.adopt(self.datapath.capacity, entries, slots)

    def hits(self, source: Prefix) -> Hits:
        """What the rule on `source` has hit so far."""
        slot = self.state.image.entries.get(source, SlotNumber.NONE)
        return self.datapath.hits([slot])[0] if slot >= SlotNumber.FIRST else Hits(0, 0)
