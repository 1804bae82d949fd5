# SPDX-License-Identifier: GPL-2.0-or-later
"""Threads for blocking work: a limited number at once, and the shutdown does not wait for them."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from xdpctl.errors import BusyError

T = TypeVar("T")


class WorkerPool:
    """Runs up to `hands` tasks at once. `start` refuses more; `stop` does not wait for them."""

    def __init__(self, job: str, hands: int) -> None:
        self.job, self.hands = job, hands
        self._lock = threading.Lock()
        self._open: set[Future[Any]] = set()
        self._stopped = False

    def start(self, work: Callable[[], T]) -> "Future[T]":
        """Run `work` in a thread; BusyError if `hands` tasks are running, or after `stop`."""
        future: Future[T] = Future()
        future.set_running_or_notify_cancel()  # from now on, the future cannot be cancelled
        with self._lock:
            if self._stopped:
                raise _stopping()
            if len(self._open) >= self.hands:
                raise BusyError(f"{self.hands} {self.job} are under way; ask again in a minute")
            self._open.add(future)
        # no ThreadPoolExecutor: the interpreter would wait for its threads before it exits
        threading.Thread(target=self._do, args=(work, future), name=self.job, daemon=True).start()
        return future

    def stop(self) -> None:
        """Fail all futures that are not done with BusyError; their threads run on."""
        with self._lock:
            self._stopped = True
            waiting, self._open = self._open, set()
        for future in waiting:
            future.set_exception(_stopping())

    def _do(self, work: Callable[[], T], future: "Future[T]") -> None:
        try:
            result = work()
        except BaseException as error:
            if self._finish(future):
                future.set_exception(error)
            return
        if self._finish(future):
            future.set_result(result)

    def _finish(self, future: "Future[T]") -> bool:
        """Free the task's place; return whether its future still needs a result."""
        with self._lock:
            waited = future in self._open
            self._open.discard(future)
            return waited


def _stopping() -> BusyError:
    return BusyError("the control plane is stopping; ask again when it runs")
