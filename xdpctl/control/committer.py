# SPDX-License-Identifier: GPL-2.0-or-later
"""Keeps store, state and kernel in step: a commit is made durable, then applied, or else undone.

Only what the store's watch returns is applied to the kernel, so the start after a crash runs the
same code as every change. Use it from one thread only.
"""

import logging
from collections.abc import Mapping, Sequence

from xdpctl.base.clock import Clock, Now
from xdpctl.base.net.prefix import Prefix
from xdpctl.control.ingest import Ingested, learn
from xdpctl.control.match_sync import MatchSync
from xdpctl.control.monitor_slots import MonitorSlots
from xdpctl.control.recovery import Recovered, keep, lost, recover
from xdpctl.control.state.draft import Draft, Written
from xdpctl.control.state.state import State
from xdpctl.control.store.audit import Chain, Event
from xdpctl.control.store.port import ChangeStep, Cursor, KeyChange, Reset, Store, Synced
from xdpctl.datapath.image import Listing, Plan, Target, is_shared, same
from xdpctl.datapath.plan import differences, replace_set, transition
from xdpctl.datapath.port import Datapath
from xdpctl.datapath.readback import read
from xdpctl.errors import DatapathError, StoreError, XdpctlError
from xdpctl.model.protection import Protection
from xdpctl.model.source_set import NOTHING

log = logging.getLogger("xdpctl.controller")


class Committer:
    """Commits drafts to the store and to the kernel.

    `stale` counts the entries removed since the filter bits were last repainted. `unsettled`
    says that the kernel refused something, so upkeep has to reconcile all tables.
    """

    def __init__(self, store: Store, datapath: Datapath, state: State, clock: Clock) -> None:
        self.store = store
        self.datapath = datapath
        self.state = state
        self.clock = clock
        self.match_sync = MatchSync(datapath, state, self._execute)
        self.stale = 0
        self.unsettled = False
        self._monitor_slots = MonitorSlots(datapath, state)
        self.chain = Chain(store.last_audit())
        self._cursor: Cursor | None = None
        self._ours: Written = {}
        self.recovered: Recovered | None = None
        self._matches_changed = True  # the kernel's rules on matches may differ from the state's

    def commit(self, draft: Draft) -> None:
        """Store a draft with its audit records, then apply it; if the kernel refuses, undo it.

        The functions in the draft's `afterwards` are called once it is stored, unless it
        was undone.
        """
        if draft.empty:
            return
        inverse, changes = draft.inverse(), draft.changes()
        self._write(changes, draft.events, draft.now, draft.steps)
        self._ours = draft.written(changes)
        undone = False
        try:
            self.follow()
        except DatapathError as error:
            log.error("undoing a change that the kernel refused: %s", error)
            event = Event(
                "xdpctl",
                "rule.undo",
                "",
                {
                    "rules": len(inverse.rules.staged),
                    "sets": len(inverse.sets.staged),
                    "why": str(error),
                },
            )
            self._write(inverse.changes(), [event], draft.now)
            undone = True
            self.store.forget_last_steps(len(draft.steps))
            self.follow()
            raise
        finally:
            self._ours = {}
            for call in () if undone else draft.afterwards:
                call()

    def _write(
        self,
        changes: Mapping[str, bytes | None],
        events: list[Event],
        now: Now,
        steps: Sequence[ChangeStep] = (),
    ) -> None:
        records = self.chain.append(events, now.unix)
        self.store.write(changes, records, steps)
        self.chain.commit(records)

    def record(self, event: Event) -> bool:
        """Write an audit record and return whether that worked; a StoreError is only logged."""
        try:
            self._write({}, [event], self.clock.read())
        except StoreError as error:
            log.error("not audited: %s: %s", event, error)
            return False
        return True

    def follow(self) -> None:
        """Read the new records of the store into the state, and apply them to the kernel."""
        now, reset = self.clock.read(), False
        learned = Ingested()
        before = self.state.listings()
        cursor = self._cursor
        for event in self.store.watch(cursor):
            match event:
                case KeyChange():
                    self._learn(event, now, learned)
                case Reset():
                    reset = True
                    self.state.forget()
                case Synced():
                    cursor = event.cursor
        self._cursor = cursor
        self._matches_changed |= learned.matches
        if reset:
            keep(self.state)
            self.reconcile(now)
            return
        changed = {source: self.state.target(source, now.ns) for source in learned.sources}
        # a rule that moves to the matches leaves the table of sources once it is in the matches
        moved = {source for source in changed if self.state.moved(source)}
        self.apply(
            {source: target for source, target in changed.items() if source not in moved}, now
        )
        self._replace_sets(before, self.state.listings())
        if self._matches_changed:
            self._sync_matches(now)
        if moved:
            self.apply(dict.fromkeys(moved), now)
        self._monitor_slots.bring()

    def _learn(self, change: KeyChange, now: Now, learned: Ingested) -> None:
        """Take a record over; one that cannot be read is logged, remembered and skipped."""
        try:
            learn(self.state, change, now, self._ours, learned)
            self.state.unreadable.pop(change.key, None)
        except StoreError as error:
            log.error("skipped a record of the store: %s", error)
            self.state.unreadable[change.key] = str(error)

    def recover(self) -> None:
        """If the store is empty but the kernel still filters, import what the kernel holds."""
        armed = bool(self.datapath.matches.armed)
        if not self.store.pristine() or not lost(self.state.image, armed):
            return
        draft, self.recovered = recover(self.state, self.clock.read(), armed)
        log.error("%s", self.recovered)
        self.match_sync.paused = armed
        self._write(draft.changes(), draft.events, draft.now)

    def in_kernel(self) -> tuple[frozenset[Prefix], int]:
        """The sources of the rules in the kernel, and the number of sets in it."""
        image = self.state.image
        rules = (prefix for prefix, slot in image.entries.items() if not is_shared(slot))
        return frozenset(rules), len(image.sets)

    def note_gone(self, rules: frozenset[Prefix], sets: int) -> None:
        """Warn if the kernel held rules or sets that the store has no record of.

        This happens if a removal was stored but not yet applied, or if the store has lost its
        last changes.
        """
        gone, fewer = len(rules - self.state.rules.keys()), max(0, sets - len(self.state.sets))
        if gone or fewer:
            log.warning(
                "the store has no record of %d rules and %d sets that were in the kernel; they are "
                "no longer in force. If nobody removed them, the store has lost changes",
                gone,
                fewer,
            )
            self.record(Event("xdpctl", "store.behind", "", {"rules": gone, "sets": fewer}))

    def _sync_matches(self, now: Now) -> bool:
        """Bring the kernel's rules on matches to the state's; return whether anything differed."""
        self._matches_changed = True
        differed = self.match_sync.reconcile(now.ns)
        self._matches_changed = False
        return differed

    def apply(self, changes: Mapping[Prefix, Target | None], now: Now) -> None:
        """Set the kernel's entries to the given targets; None removes an entry."""
        image = self.state.image
        real = {p: target for p, target in changes.items() if image.value(p) != target}
        self._execute(transition(image, real, now.ns))

    def _execute(self, plan: Plan) -> None:
        try:
            self.datapath.apply(plan)
        except DatapathError:
            self.unsettled = True
            self.resync()
            raise
        self.state.image.commit(plan)
        self.stale += plan.removals

    def _replace_sets(self, current: Mapping[int, Listing], wanted: Mapping[int, Listing]) -> int:
        """Apply new and changed sets, then remove the others; return how many differed."""
        changed = [slot for slot in wanted if not same(current.get(slot), wanted[slot])]
        gone = [slot for slot in current if slot not in wanted]
        for slot in changed + gone:
            self._execute(replace_set(self.state.image, slot, wanted.get(slot)))
        return len(changed) + len(gone)

    def reconcile(self, now: Now) -> list[str]:
        """Bring all kernel tables to the desired state; return descriptions of what differed."""
        self.unsettled = True
        image = self.state.image
        differing = differences(self.state.desired(now.ns), image)
        self.apply(differing, now)
        wanted = self.state.listings()
        current = {
            slot: Listing(image.slots[slot], image.sets.get(slot, NOTHING))
            for slot in {*image.sets, *wanted}
        }
        sets = self._replace_sets(current, wanted)
        matches_differed = self._sync_matches(now)
        self._monitor_slots.bring()
        self.unsettled = False
        return [
            *map(str, differing),
            *[f"{sets} sets"][: bool(sets)],
            *["matches"][:matches_differed],
        ]

    def protect(self, protection: Protection) -> None:
        """Replace the protected prefixes; restores the previous ones if the kernel refuses."""
        before, self.state.protection = self.state.protection, protection
        try:
            self.reconcile(self.clock.read())
        except XdpctlError:
            self.state.protection = before
            raise

    def resync(self) -> list[str]:
        """Read the kernel's tables anew; return the entries removed because they had no slot."""
        self.state.image, dropped = read(self.datapath.source, self.datapath.capacity)
        return [str(prefix) for prefix in dropped]
