# SPDX-License-Identifier: GPL-2.0-or-later
"""The controller's thread: operations that arrive together share one durable write and one plan."""

import logging
import threading
from typing import Any

from xdpctl.control.committer import Committer
from xdpctl.control.expiry import Expiry
from xdpctl.control.jobs import Job, JobQueue
from xdpctl.control.state.draft import Draft
from xdpctl.control.upkeep import Upkeep
from xdpctl.errors import XdpctlError

_NEARLY_FULL = 32_768  # more than one batch can add
log = logging.getLogger("xdpctl.controller")


class Loop:
    """Carries out jobs between `start` and `stop`, and upkeep while there are none.

    `problem` is the error that keeps the controller from working; None if there is none.
    """

    def __init__(
        self, committer: Committer, expiry: Expiry, upkeep: Upkeep, jobs: JobQueue
    ) -> None:
        self._committer, self._expiry, self._upkeep, self._jobs = committer, expiry, upkeep, jobs
        self._thread = threading.Thread(target=self._run, name="controller", daemon=True)
        self._stopping = False
        self.problem: str | None = None

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End the thread after the jobs that it has begun."""
        self._stopping = True
        self._jobs.put(None)
        if self._thread.is_alive():
            self._thread.join()

    @property
    def ended(self) -> bool:
        """Whether it takes no more jobs."""
        return self._stopping and not self._thread.is_alive()

    def _run(self) -> None:
        while not self._stopping:
            jobs = self._jobs.take(self._upkeep.rest())
            if jobs:
                self._serve(jobs)
            try:
                if self._upkeep.step():
                    self.problem = None
            except Exception as error:
                self._troubled(error)

    def _troubled(self, error: Exception) -> None:
        """Remember the error for /readyz; a later round of upkeep checks whether it is over."""
        if not isinstance(error, XdpctlError):
            log.exception("internal error; the operation was not carried out")
        elif self.problem != str(error):
            log.error("%s", error)
        self.problem = str(error) or repr(error)
        self._upkeep.probe = True

    def _serve(self, jobs: list[Job]) -> None:
        served: list[tuple[Job, Any]] = []
        try:
            self._make_room()
            draft = Draft(self._committer.state, self._committer.clock.read())
            for job in jobs:
                try:
                    result = job.run(draft)
                except Exception as error:
                    if not isinstance(error, XdpctlError):
                        log.exception("internal error; the request was not carried out")
                    job.future.set_exception(error)
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
                self._jobs.done(job, result)

    def _make_room(self) -> None:
        """Remove expired rules if the tables are nearly full."""
        if self._committer.state.room < _NEARLY_FULL:
            try:
                self._expiry.now()
            except XdpctlError as error:
                self._troubled(error)
