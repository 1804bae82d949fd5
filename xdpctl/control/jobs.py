# SPDX-License-Identifier: GPL-2.0-or-later
"""The jobs of the controller's thread, in the order of the requests."""

import queue
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from xdpctl.base.histogram import Histogram
from xdpctl.control.guards import lockout
from xdpctl.control.state import shared
from xdpctl.control.state.changes import Change, record
from xdpctl.control.state.draft import Draft
from xdpctl.control.state.shared import Sharing, Statement
from xdpctl.errors import XdpctlError
from xdpctl.model.shared import Canary

_BATCH_MAX = 256
_WAITS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)  # seconds
_STOPPING = "the control plane is stopping; retry when it has restarted"
Guard = Callable[[Draft], None]  # raises if a branch must not be merged


@dataclass(slots=True, eq=False)
class Job:
    """An operation on a draft, and the future of whoever asked for it.

    `guard` refuses what only the caller can confirm. A `dry_run` is not merged.
    """

    operation: Callable[[Draft], Any]
    future: Future[Any]
    alone: bool = False  # finished when the operation is, even if the commit of its batch fails
    change: Change | None = None
    sharing: Sharing | None = None  # None: the change stays on this node
    scope: str = ""
    canary: Canary | None = None  # this node tries the change first
    guard: Guard | None = None
    dry_run: bool = False
    asked_at: float = field(default_factory=time.monotonic)

    def run(self, draft: Draft) -> Any:
        """The operation's result; nothing of it is in the draft if a guard refuses it.

        The records that a person's change touches are kept, so that it can be undone.
        """
        part = draft.branch()
        if self.canary:
            result = self._tried(part, self.canary)
        elif self.sharing:
            result = self._shared(part, self.sharing)
        else:
            result = self._run(part)
        if self.change:
            lockout.check(part, self.change.caller, self.change.confirms)
        else:
            lockout.check(part, None)
        if self.guard:
            self.guard(part)
        if not self.dry_run:
            part.merge()
        return result

    def _run(self, draft: Draft) -> Any:
        result = self.operation(draft)
        if self.change and self.change.number:
            record(draft, self.change)
        return result

    def _tried(self, draft: Draft, canary: Canary) -> Any:
        """Run the operation for this node alone, and note that it tries the change."""
        result = self._run(draft)
        number, by = (self.change.number, self.change.caller.name) if self.change else (0, "")
        shared.note_rollout(draft, canary, number, by)
        return result

    def _shared(self, draft: Draft, fleet: Sharing) -> Any:
        """Run the operation, and note what the fleet has to know."""
        elsewhere = bool(self.scope) and not fleet.covers(self.scope)
        changed = draft.branch() if elsewhere else draft
        result = self._run(changed)
        number = self.change.number if self.change else 0
        statement = Statement(self.scope, number, person=number > 0)
        by = self.change.caller.name if self.change else "xdpctl"
        if not self.change and changed.events:
            by = changed.events[0].actor
        if elsewhere:
            draft.events += changed.events
            shared.note_elsewhere(draft, changed, statement, by, fleet)
        else:
            shared.note(draft, statement, by, fleet)
        return result


class JobQueue:
    """Jobs from any thread; one thread takes them in batches.

    `waits` has the seconds from the request to the answer of jobs that succeeded.
    """

    def __init__(self) -> None:
        self.waits = Histogram(_WAITS)
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()

    def put(self, job: Job | None) -> None:
        """Append a job; None wakes the thread that takes jobs."""
        self._jobs.put(job)

    def __len__(self) -> int:
        return self._jobs.qsize()

    def take(self, seconds: float) -> list[Job]:
        """The next jobs, at most a batch; an empty list if no job comes within this time.

        A job whose caller has left is dropped.
        """
        jobs: list[Job] = []
        try:
            job = self._jobs.get(timeout=seconds)
            while job is not None:
                if job.future.set_running_or_notify_cancel():
                    jobs.append(job)
                if len(jobs) >= _BATCH_MAX:
                    break
                job = self._jobs.get_nowait()
        except queue.Empty:
            pass
        return jobs

    def done(self, job: Job, result: Any) -> None:
        """Answer a job that succeeded."""
        self.waits.observe(time.monotonic() - job.asked_at)
        job.future.set_result(result)

    def refuse_all(self) -> None:
        """Fail every job that nobody has taken: the controller stops."""
        try:
            while True:
                job = self._jobs.get_nowait()
                if job and job.future.set_running_or_notify_cancel():
                    job.future.set_exception(XdpctlError(_STOPPING))
        except queue.Empty:
            return
