# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs long work, a few pieces at a time, so that other threads and requests go on."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock
from typing import TypeVar

from xdpctl.errors import BusyError

T = TypeVar("T")
_STOPPING = "the control plane is stopping; retry when it has restarted"


class FewAtOnce:
    """Runs work in a pool of `hands` threads; BusyError if more than `waiting` pieces wait."""

    def __init__(self, job: str, hands: int, waiting: int) -> None:
        self._job, self._most = job, hands + waiting
        self._under_way = 0
        self._stopped = False
        self._lock = Lock()
        self._threads = ThreadPoolExecutor(hands, job)

    async def run(self, work: Callable[[], T]) -> T:
        """The result of the work; BusyError if too much work waits, or after `stop`."""
        future = self._started(work)
        future.add_done_callback(self._done)
        try:
            return await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            if self._stopped:
                raise BusyError(_STOPPING) from None
            raise

    def _started(self, work: Callable[[], T]) -> "Future[T]":
        with self._lock:
            if self._stopped:
                raise BusyError(_STOPPING)
            if self._under_way >= self._most:
                raise BusyError(f"{self._most} {self._job} are under way; ask again in a moment")
            self._under_way += 1
            return self._threads.submit(work)

    def _done(self, _: "Future[T]") -> None:
        with self._lock:
            self._under_way -= 1

    def stop(self) -> None:
        """Take no more work, and cancel the work that waits."""
        with self._lock:
            self._stopped = True
        self._threads.shutdown(wait=False, cancel_futures=True)
