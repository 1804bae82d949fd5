"""Keeps rules, store and kernel in agreement: one thread decides, stores, then applies.

Operations that arrive together share one durable write and one plan. What a write changed
comes back through the store's watch, and only what comes back reaches the kernel, so a crash
between the two is repaired by the same code at the next start.
"""

import logging
import queue
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, TypeVar

from xdpctl.audit import Chain, Event
from xdpctl.clock import Clock, Now
from xdpctl.datapath import Datapath
from xdpctl.errors import CapacityError, DatapathError, StoreError, XdpctlError
from xdpctl.plan import Image, Target, differences, transition
from xdpctl.policy import Protection, Quota
from xdpctl.prefix import Prefix
from xdpctl.records import RULES, TOKENS, decode, source_of
from xdpctl.state import Draft, State
from xdpctl.store import Change, Cursor, Reset, Store, Synced
from xdpctl.tokens import Token
from xdpctl.upkeep import Upkeep
from xdpctl.wire import Hits

_BATCH_MAX = 256
_IDLE_SECONDS = 0.02
T = TypeVar("T")
log = logging.getLogger("xdpctl.controller")


@dataclass(slots=True)
class _Job:
    operation: Callable[[Draft], Any]
    future: Future[Any]
    retried: bool = False


class Controller:
    """Start it, submit operations, stop it. Reading `state` is safe from any thread."""

    def __init__(
        self,
        store: Store,
        datapath: Datapath,
        quotas: Mapping[str, Quota],
        protection: Protection,
        clock: Clock,
    ) -> None:
        self.store = store
        self.datapath = datapath
        self.clock = clock
        self.problem: str | None = None
        self.state = State(Image(datapath.capacity), quotas, protection)
        self._chain = Chain(store.last_audit())
        self._cursor: Cursor | None = None
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._upkeep = Upkeep(self)
        self._thread = threading.Thread(target=self._run, name="controller", daemon=True)
        self._stopping = False

    def start(self) -> None:
        """Bring the kernel to what the store says, then serve."""
        self.resync()
        self.follow()
        self.record(Event("xdpctl", "control.start", "", {"rules": len(self.state.rules)}))
        self._thread.start()

    def stop(self) -> None:
        self._stopping = True
        self._jobs.put(None)
        if self._thread.is_alive():
            self._thread.join()

    def submit(self, operation: Callable[[Draft], T]) -> "Future[T]":
        """Done when the result is durable and in the kernel, or failed with the error."""
        future: Future[T] = Future()
        self._jobs.put(_Job(operation, future))
        return future

    def hits(self, source: Prefix) -> Hits:
        """What the rule on `source` has hit so far."""
        slot = self.state.image.entries.get(source)
        return self.datapath.hits([slot])[0] if slot else Hits(0, 0)

    # The rest runs in the controller's own thread.

    def _run(self) -> None:
        while not self._stopping:
            jobs = self._collect()
            if jobs:
                self._serve(jobs)
            try:
                self._upkeep.step()
            except XdpctlError as error:
                self._troubled(error)
            except Exception as error:
                log.exception("upkeep failed; trying again")
                self.problem = f"a defect in upkeep: {error!r}"

    def _troubled(self, error: XdpctlError) -> None:
        """Remember for /readyz; a later round of upkeep finds out whether it is over."""
        if self.problem != str(error):
            log.error("%s", error)
        self.problem = str(error)

    def _collect(self) -> list[_Job]:
        jobs = []
        try:
            job = self._jobs.get(timeout=_IDLE_SECONDS)
            while job is not None:
                if job.retried or job.future.set_running_or_notify_cancel():
                    jobs.append(job)
                if len(jobs) == _BATCH_MAX:
                    break
                job = self._jobs.get_nowait()
        except queue.Empty:
            pass
        return jobs

    def _serve(self, jobs: list[_Job]) -> None:
        draft = Draft(self.state, self.clock.read())
        served: list[tuple[_Job, Any]] = []
        try:
            for job in jobs:
                try:
                    served.append((job, job.operation(draft)))
                except CapacityError as error:
                    self._retry(job, error)
                except XdpctlError as error:
                    job.future.set_exception(error)
            self.commit(draft)
        except Exception as error:
            if isinstance(error, XdpctlError):
                self._troubled(error)
            else:
                log.exception("an operation failed; nothing of its batch was made")
            for job in jobs:
                if not (job.retried or job.future.done()):
                    job.future.set_exception(error)
            return
        for job, result in served:
            job.future.set_result(result)

    def _retry(self, job: _Job, error: CapacityError) -> None:
        """Expired rules still hold room until they are swept."""
        if job.retried or not self._upkeep.sweep_now():
            job.future.set_exception(error)
        else:
            job.retried = True
            self._jobs.put(job)

    def commit(self, draft: Draft) -> None:
        """Store a draft with its audit records, then apply it; if the kernel refuses, undo it."""
        if not draft:
            return
        way_back = draft.before()
        records = self._chain.append(draft.events, draft.now.unix)
        self.store.write(draft.changes(), records)
        self._chain.commit(records)
        try:
            self.follow()
        except DatapathError as error:
            log.error("undoing a change that the kernel refused: %s", error)
            undone = Event("xdpctl", "rule.undo", "", {"rules": len(way_back), "why": str(error)})
            records = self._chain.append([undone], draft.now.unix)
            self.store.write(way_back, records)
            self._chain.commit(records)
            self.resync()
            self.follow()
            raise

    def record(self, event: Event) -> bool:
        """An audit record that must not hold up what it tells of; whether it was kept."""
        records = self._chain.append([event], self.clock.read().unix)
        try:
            self.store.write({}, records)
        except StoreError as error:
            log.error("not audited: %s: %s", event, error)
            return False
        self._chain.commit(records)
        return True

    def follow(self) -> None:
        """Learn what the store has that we have not seen, and bring the kernel to it."""
        now, reset = self.clock.read(), False
        changed: set[Prefix] = set()
        cursor = self._cursor
        for event in self.store.watch(cursor):
            match event:
                case Reset():
                    reset = True
                    self.state.rules.clear()
                    self.state.origins.clear()
                    self.state.tokens.clear()
                case Change():
                    self._learn(event, now, changed)
                case Synced():
                    cursor = event.cursor
        self._cursor = cursor
        if reset:
            self.apply(differences(self.state.desired(now.ns), self.state.image), now)
        else:
            self.apply({source: self.state.target(source, now.ns) for source in changed}, now)

    def _learn(self, change: Change, now: Now, changed: set[Prefix]) -> None:
        if change.key.startswith(RULES):
            source = source_of(change.key)
            try:
                rule = decode(change.value, change.revision, now) if change.value else None
            except (ValueError, XdpctlError) as error:
                raise StoreError(f"the record {change.key} is unreadable: {error}") from error
            self.state.learn(source, rule)
            changed.add(source)
        elif change.key.startswith(TOKENS):
            name = change.key.removeprefix(TOKENS)
            kept = {d: t for d, t in self.state.tokens.items() if t.name != name}
            if change.value:
                token = Token.unpack(change.value)
                kept[token.digest] = token
            self.state.tokens = kept

    def apply(self, changes: Mapping[Prefix, Target | None], now: Now) -> int:
        """Make the kernel's entries lead where `changes` say; how many differed."""
        image = self.state.image
        real = {p: target for p, target in changes.items() if image.value(p) != target}
        plan = transition(image, real, now.ns)
        try:
            self.datapath.apply(plan)
        except DatapathError:
            self.resync()
            raise
        image.commit(plan)
        self._upkeep.freed(len(plan.freed))
        return len(real)

    def resync(self) -> None:
        """Read what the kernel really holds."""
        entries = {prefix: slot for batch in self.datapath.scan() for prefix, slot in batch}
        highest = max(entries.values(), default=1)
        slots = self.datapath.slots(0, highest + 1)
        self.state.image = Image.adopt(self.datapath.capacity, entries, slots)

    def set_protection(self, protection: Protection) -> "Future[None]":
        """Protect these prefixes from now on, and no others."""

        def operation(draft: Draft) -> None:
            before = self.state.protection
            if before == protection:
                return
            self.state.protection = protection
            now = self.clock.read()
            self.apply(differences(self.state.desired(now.ns), self.state.image), now)
            came = {str(p): why for p, why in protection.why.items() if p not in before.why}
            gone = [str(p) for p in before.why if p not in protection.why]
            draft.note("xdpctl", "protection.change", "", came=came, gone=gone)

        return self.submit(operation)

    def set_bypass(self, on: bool, actor: str) -> "Future[bool]":
        """The red button works even when the store does not; whether it was audited."""

        def operation(_: Draft) -> bool:
            self.datapath.set_bypass(on)
            return self.record(Event(actor, "bypass.on" if on else "bypass.off", "", {}))

        return self.submit(operation)
