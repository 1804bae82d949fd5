# SPDX-License-Identifier: GPL-2.0-or-later
"""One thread decides: operations that arrive together share one durable write and one plan."""

import logging
import queue
import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, TypeVar

from xdpctl.abi.monitor_statistics import MonitorStatistics
from xdpctl.abi.structs import Hits, Side, SlotNumber
from xdpctl.base.clock import Clock
from xdpctl.base.net.prefix import Prefix
from xdpctl.control.committer import Committer
from xdpctl.control.signature_sync import word_of
from xdpctl.control.state.draft import Draft
from xdpctl.control.state.state import State
from xdpctl.control.store.audit import Event, Sign
from xdpctl.control.store.store import Store
from xdpctl.control.upkeep import Ledger, NoLedger, Upkeep
from xdpctl.datapath.plan import Image
from xdpctl.datapath.port import Datapath
from xdpctl.errors import XdpctlError
from xdpctl.model.capacity import Capacity
from xdpctl.model.protection import Protection
from xdpctl.model.quota import Quota
from xdpctl.model.rule import Mode, Rule
from xdpctl.model.signature import Signature

_BATCH_MAX = 256
_NEARLY_FULL = 32_768  # more than one batch can add
_IDLE_SECONDS = 0.02
_STOPPING = "the control plane is stopping; ask again when it runs"
T = TypeVar("T")
log = logging.getLogger("xdpctl.controller")


@dataclass(slots=True, eq=False)
class _Job:
    operation: Callable[[Draft], Any]
    future: Future[Any]
    alone: bool = False  # done when the operation is, whatever becomes of its batch


class Controller:
    """Start it, submit operations, stop it. Reading `state` is safe from any thread.

    `problem` is what keeps it from doing its work now, for /readyz; None when all is well.
    """

    def __init__(
        self,
        store: Store,
        datapath: Datapath,
        quotas: Mapping[str, Quota],
        protection: Protection,
        clock: Clock,
        capacity: Mapping[int, int] | None = None,
        sign: Sign = lambda _: {},
        ledger: Ledger | None = None,
    ) -> None:
        self.store = store
        self.datapath = datapath
        self.clock = clock
        self.problem: str | None = None
        self.state = State(
            Image(datapath.capacity), quotas, capacity or Capacity().entries, protection
        )
        self._committer = Committer(store, datapath, self.state, clock)
        self._upkeep = Upkeep(self._committer, sign, ledger or NoLedger())
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="controller", daemon=True)
        self._stopping = False

    def start(self) -> None:
        """Bring the kernel to what the store says, then serve."""
        self._committer.resync()
        self._committer.recover()
        before = self._committer.in_kernel()
        self._committer.follow()
        self._committer.note_gone(*before)
        rules = {"rules": len(self.state.rules), "sets": len(self.state.sets)}
        self._committer.record(Event("xdpctl", "control.start", "", rules))
        self._thread.start()

    def stop(self) -> None:
        """End the thread; what was asked for and not yet taken up is refused."""
        self._stopping = True
        self._jobs.put(None)
        if self._thread.is_alive():
            self._thread.join()
        self._refuse_rest()

    def _refuse_rest(self) -> None:
        try:
            while True:
                job = self._jobs.get_nowait()
                if job and job.future.set_running_or_notify_cancel():
                    job.future.set_exception(XdpctlError(_STOPPING))
        except queue.Empty:
            return

    def submit(self, operation: Callable[[Draft], T]) -> "Future[T]":
        """RuleRecord when the result is durable and in the kernel, or failed with the error."""
        return self._put(_Job(operation, Future()))

    def _put(self, job: _Job) -> "Future[Any]":
        self._jobs.put(job)
        if self._stopping and not self._thread.is_alive():
            self._refuse_rest()
        return job.future

    def responds(self, seconds: float) -> bool:
        """Whether the deciding thread takes up what it is asked, within so many seconds."""
        job = _Job(lambda _: True, Future(), alone=True)
        try:
            return bool(self._put(job).result(seconds))
        except TimeoutError:
            job.future.cancel()
            return False
        except XdpctlError:  # it stops, or is in trouble, which it says itself
            return True

    def store_problems(self) -> list[str]:
        """What is wrong with what the store holds."""
        found = [str(self._committer.recovered)] if self._committer.recovered else []
        aside = list(self.state.unreadable.values())
        if aside:
            found.append(
                f"{len(aside)} records were set aside; what the kernel has of them stays: "
                f"{aside[0]}; remove or add them again"
            )
        return found

    def hits(self, rule: Rule | Signature) -> Hits:
        """What it has hit so far."""
        if isinstance(rule, Signature):
            return self.datapath.hits([rule.slot])[0]
        return self._committer.hits(rule.source)

    def statistics(self, rule: Rule | Signature) -> MonitorStatistics | None:
        """What a rule in monitor mode would have hit; None if nobody looked."""
        if rule.mode is not Mode.MONITOR:
            return None
        if isinstance(rule, Signature):
            return self.datapath.statistics(rule.slot)
        return self.datapath.statistics(self.state.image.entries.get(rule.source, SlotNumber.NONE))

    def in_force(self, held: Signature) -> bool:
        """Whether the kernel has it."""
        return self.state.image.slots[held.slot] == word_of(held)

    def set_protection(self, protection: Protection) -> "Future[None]":
        """Protect these prefixes from now on, and no others."""
        first: list[Protection] = []  # an operation may be tried again

        def operation(draft: Draft) -> None:
            first.append(self.state.protection)
            before = first[0]
            if before == protection:
                return
            if self.state.protection != protection:
                self._committer.protect(protection)
            came = {str(p): why for p, why in protection.why.items() if p not in before.why}
            gone = [str(p) for p in before.why if p not in protection.why]
            draft.note("xdpctl", "protection.change", "", came=came, gone=gone)

        return self.submit(operation)

    def set_sides(self, sides: Mapping[Prefix, Side]) -> "Future[None]":
        """From now on these are the sides of outside interfaces on which sources can be."""

        def operation(_: Draft) -> None:
            self.state.sides = dict(sides)
            self.datapath.sides.bring(self.state.sides)

        return self._put(_Job(operation, Future(), alone=True))

    def set_sessions(self, sessions: Iterable[Prefix]) -> None:
        """Who is logged in on this host by ssh."""
        self.state.sessions = tuple(sessions)

    def set_bypass(self, on: bool, actor: str) -> "Future[bool]":
        """The red button waits for nobody, and needs no store; whether it was audited."""
        self.datapath.set_bypass(on)

        def operation(_: Draft) -> bool:
            return self._committer.record(Event(actor, "bypass.on" if on else "bypass.off", "", {}))

        return self._put(_Job(operation, Future(), alone=True))

    # The rest runs in the controller's own thread.

    def _run(self) -> None:
        while not self._stopping:
            jobs = self._collect()
            if jobs:
                self._serve(jobs)
            try:
                if self._upkeep.step():
                    self.problem = None
            except Exception as error:
                self._troubled(error)

    def _troubled(self, error: Exception) -> None:
        """Remember for /readyz; a later round of upkeep finds out whether it is over."""
        if not isinstance(error, XdpctlError):
            log.exception("a defect; what it was to do was not done")
        elif self.problem != str(error):
            log.error("%s", error)
        self.problem = str(error) or repr(error)
        self._upkeep.probe = True

    def _collect(self) -> list[_Job]:
        jobs: list[_Job] = []
        try:
            job = self._jobs.get(timeout=_IDLE_SECONDS)
            while job is not None and len(jobs) < _BATCH_MAX:
                if job.future.set_running_or_notify_cancel():  # no, if its caller left
                    jobs.append(job)
                job = self._jobs.get_nowait()
            if job is not None:
                self._jobs.put(job)
        except queue.Empty:
            pass
        return jobs

    def _serve(self, jobs: list[_Job]) -> None:
        served: list[tuple[_Job, Any]] = []
        try:
            self._make_room()
            draft = Draft(self.state, self.clock.read())
            for job in jobs:
                try:
                    result = job.operation(draft)
                except XdpctlError as error:
                    job.future.set_exception(error)
                except Exception as error:  # it may have left half of its change in the draft
                    log.exception("a defect; what was asked for was not done")
                    job.future.set_exception(error)
                    self._serve([other for other in jobs if not other.future.done()])
                    return
                else:
                    if job.alone:
                        job.future.set_result(result)
                    served.append((job, result))
            self._committer.commit(draft)
        except Exception as error:
            self._troubled(error)
            for job in jobs:
                if not job.future.done():
                    job.future.set_exception(error)
            return
        for job, result in served:
            if not job.alone:
                job.future.set_result(result)

    def _make_room(self) -> None:
        """Expired rules hold room until they are swept."""
        if self.state.room < _NEARLY_FULL:
            try:
                self._upkeep.sweep_now()
            except XdpctlError as error:
                self._troubled(error)
