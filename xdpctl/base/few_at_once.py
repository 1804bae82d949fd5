# SPDX-License-Identifier: GPL-2.0-or-later
"""Work that takes long, a few pieces at a time, so that other threads and requests go on."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from xdpctl.errors import BusyError

T = TypeVar("T")


class FewAtOnce:
    """Runs work in `hands` threads of its own; BusyError if more than `waiting` pieces wait."""

    def __init__(self, job: str, hands: int, waiting: int) -> None:
        self._job, self._most = job, hands + waiting
        self._under_way = 0
        self._threads = ThreadPoolExecutor(hands, job)

    async def run(self, work: Callable[[], T]) -> T:
        """The result of the work; call it in one event loop only."""
        if self._under_way >= self._most:
            raise BusyError(f"{self._most} {self._job} are under way; ask again in a few seconds")
        self._under_way += 1
        future = self._threads.submit(work)
        future.add_done_callback(lambda _: self._done())
        return await asyncio.wrap_future(future)

    def _done(self) -> None:
        self._under_way -= 1

    def stop(self) -> None:
        """Take no more work; what waits is not done."""
        self._threads.shutdown(wait=False, cancel_futures=True)
