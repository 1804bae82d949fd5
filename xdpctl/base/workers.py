# SPDX-License-Identifier: GPL-2.0-or-later
"""Threads for work that waits for somebody else: so many at once, and no stop waits for them."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from xdpctl.errors import BusyError

T = TypeVar("T")


class WorkerPool:
    """`start` refuses when all hands are busy; `stop` leaves what is under way to itself."""

    def __init__(self, job: str, hands: int) -> None:
        self.job, self.hands = job, hands
        self._lock = threading.Lock()
        self._open: set[Future[Any]] = set()
        self._stopped = False

    def start(self, work: Callable[[], T]) -> "Future[T]":
        """Its outcome; BusyError if nobody is free."""
        future: Future[T] = Future()
        future.set_running_or_notify_cancel()  # from here on nobody can cancel it
        with self._lock:
            if self._stopped:
                raise _stopping()
            if len(self._open) >= self.hands:
                raise BusyError(f"{self.hands} {self.job} are under way; ask again in a minute")
            self._open.add(future)
        # not of a pool: the interpreter would wait for a pool's threads before it ends
        threading.Thread(target=self._do, args=(work, future), name=self.job, daemon=True).start()
        return future

    def stop(self) -> None:
        """Whoever waits for an outcome is told at once."""
        with self._lock:
            self._stopped = True
            waiting, self._open = self._open, set()
        for future in waiting:
            future.set_exception(_stopping())

    def _do(self, work: Callable[[], T], future: "Future[T]") -> None:
        try:
            result = work()
        except BaseException as error:
            if self._ended(future):
                future.set_exception(error)
            return
        if self._ended(future):
            future.set_result(result)

    def _ended(self, future: "Future[T]") -> bool:
        """Whether somebody still waits for it; frees a hand."""
        with self._lock:
            waited = future in self._open
            self._open.discard(future)
            return waited


def _stopping() -> BusyError:
    return BusyError("the control plane is stopping; ask again when it runs")
