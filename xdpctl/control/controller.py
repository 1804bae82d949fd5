# SPDX-License-Identifier: GPL-2.0-or-later
"""The controller: carries out operations, and reports what the kernel and the store have."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from itertools import count
from typing import Any, TypeVar

from xdpctl.abi.constants import Side
from xdpctl.abi.structs import Hits
from xdpctl.base.clock import Clock
from xdpctl.base.net.prefix import Prefix
from xdpctl.control.committer import Committer
from xdpctl.control.expiry import Expiry, Ledger, NoLedger
from xdpctl.control.guards import shelter
from xdpctl.control.jobs import Guard, Job, JobQueue
from xdpctl.control.loop import Loop
from xdpctl.control.match_sync import word_of
from xdpctl.control.rule_hits import rule_hits, rule_statistics
from xdpctl.control.sides import bring
from xdpctl.control.state.changes import Change
from xdpctl.control.state.draft import Draft
from xdpctl.control.state.shared import Sharing
from xdpctl.control.state.state import State
from xdpctl.control.store.audit import Event, Sign
from xdpctl.control.store.port import Store
from xdpctl.control.upkeep import Upkeep
from xdpctl.datapath.image import Image
from xdpctl.datapath.monitor_statistics import MonitorStatistics
from xdpctl.datapath.port import Datapath
from xdpctl.errors import XdpctlError
from xdpctl.model.capacity import Capacity
from xdpctl.model.identity import Caller
from xdpctl.model.protection import Protection
from xdpctl.model.quota import Quota
from xdpctl.model.rule import OPERATOR, Rule
from xdpctl.model.shared import Canary, Scope

T = TypeVar("T")


class Controller:
    """Call `start`, `submit` operations, call `stop`. Any thread may read `state`.

    `sharing` is set in a fleet. `guard`, if it is set, checks the changes that people make.
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
        self.sharing: Sharing | None = None
        self.guard: Guard | None = None
        entries = capacity or Capacity().entries
        self.state = State(Image(datapath.capacity), quotas, entries, protection)
        self.state.modules = datapath.modules
        self._committer = Committer(store, datapath, self.state, clock)
        expiry = Expiry(self._committer, ledger or NoLedger())
        self.jobs = JobQueue()
        self._loop = Loop(self._committer, expiry, Upkeep(self._committer, expiry, sign), self.jobs)
        self._numbers = count(store.last_change() + 1)

    def start(self) -> None:
        """Bring the kernel to the state in the store, then start the thread."""
        self._committer.resync()
        self._committer.recover()
        before = self._committer.in_kernel()
        self._committer.follow()
        self._committer.note_gone(*before)
        rules = {"rules": len(self.state.rules), "sets": len(self.state.sets)}
        self._committer.record(Event("xdpctl", "control.start", "", rules))
        self._loop.start()

    def stop(self) -> None:
        """End the thread; operations that were not started fail with XdpctlError."""
        self._loop.stop()
        self.jobs.refuse_all()

    @property
    def problem(self) -> str | None:
        """The error that keeps the controller from working, for /readyz; None if there is none."""
        return self._loop.problem

    def submit(
        self,
        operation: Callable[[Draft], T],
        change: Change | None = None,
        scope: Scope = "",
        dry_run: bool = False,
    ) -> "Future[T]":
        """Queue an operation; the future has its result once it is durable and in the kernel.

        `change` says who asks for it. A `dry_run` is checked, and then discarded. In a fleet, the
        change is shared with the nodes of `scope` ("": all nodes; None: it stays on this node; a
        canary: this node tries it first).
        LockoutError if it would cut off the caller or a logged-in user. UnconfirmedError if it
        would cut off most connections, unless it is meant.
        """
        canary = scope if isinstance(scope, Canary) else None
        sharing = None if scope is None or canary else self.sharing
        guarded = change is not None and not change.meant
        return self._put(
            Job(
                operation,
                Future(),
                change=change,
                sharing=sharing,
                scope=scope if isinstance(scope, str) else "",
                canary=canary,
                guard=self.guard if guarded else None,
                dry_run=dry_run,
            )
        )

    def change_by(
        self, caller: Caller, meant: bool = False, undoes: int = 0, confirms: str = ""
    ) -> Change:
        """A new change that this caller makes.

        A detector's change cannot be undone, since its rules end by events. Its settings say how
        many connections it may cut off.
        """
        if caller.origin != OPERATOR:
            return Change(0, caller, meant=True, confirms=confirms)
        return Change(next(self._numbers), caller, meant, undoes, confirms)

    def _put(self, job: Job) -> "Future[Any]":
        self.jobs.put(job)
        if self._loop.ended:
            self.jobs.refuse_all()
        return job.future

    def responds(self, seconds: float) -> bool:
        """Whether the controller's thread starts a job within this time."""
        job = Job(lambda _: True, Future(), alone=True)
        try:
            return bool(self._put(job).result(seconds))
        except TimeoutError:
            job.future.cancel()
            return False
        except XdpctlError:  # the controller is stopping, or has a problem, which `problem` reports
            return True

    def store_problems(self) -> list[str]:
        """Problems with the contents of the store, one line each."""
        problems = [str(self._committer.recovered)] if self._committer.recovered else []
        if unreadable := list(self.state.unreadable.values()):
            problems.append(
                f"{len(unreadable)} records cannot be read and were skipped; what the kernel has "
                f"of them stays in force: {unreadable[0]}; remove or add them again"
            )
        return problems

    def hits(self, rule: Rule) -> Hits:
        """The packets and bytes that a rule has hit so far."""
        return self.hits_of([rule])[0]

    def hits_of(self, rules: Sequence[Rule]) -> list[Hits]:
        """The packets and bytes that each of these rules has hit so far, read together."""
        return rule_hits(self.state, self.datapath, rules)

    def statistics(self, rule: Rule) -> MonitorStatistics | None:
        """Statistics of what a rule in monitor mode would have hit; None if none are kept."""
        return rule_statistics(self.state, self.datapath, rule)

    def in_force(self, rule: Rule) -> bool:
        """Whether the kernel applies the rule as it is recorded."""
        return self.state.image.slots[rule.slot] == word_of(rule)

    def set_protection(self, protection: Protection) -> "Future[None]":
        """Protect exactly these prefixes from now on."""

        def operation(draft: Draft) -> None:
            before, people = self.state.protection, self.state.people(draft.now.ns)
            if before == protection:
                return
            let_in = [address for address in people if shelter.cut_off(draft, address) is None]
            self._committer.protect(protection)
            shelter.keep_in(draft, let_in, draft.now.ns, "it is no longer protected")
            came = {str(p): why for p, why in protection.why.items() if p not in before.why}
            gone = [str(p) for p in before.why if p not in protection.why]
            draft.note("xdpctl", "protection.change", "", came=came, gone=gone)

        return self.submit(operation)

    def set_sides(self, sides: Mapping[Prefix, Side]) -> "Future[None]":
        """Set on which side of the outside interfaces each source prefix can be."""

        def operation(_: Draft) -> None:
            bring(self.datapath, sides)
            self.state.sides = dict(sides)

        return self._put(Job(operation, Future(), alone=True))

    def set_logins(self, logins: Iterable[Prefix]) -> None:
        """Set the source addresses of users who are logged in by ssh on this host."""
        self.state.logins = tuple(logins)

    def set_bypass(self, on: bool, actor: str) -> "Future[bool]":
        """Switch bypass on or off at once, without the store.

        The future says whether the audit record was written.
        """
        self.datapath.set_bypass(on)

        def operation(draft: Draft) -> bool:
            if not on:  # somebody may have logged in meanwhile
                people = self.state.people(draft.now.ns)
                shelter.keep_in(draft, people, draft.now.ns, "bypass has ended")
            return self._committer.record(Event(actor, "bypass.on" if on else "bypass.off", "", {}))

        return self._put(Job(operation, Future(), alone=True))
