# SPDX-License-Identifier: GPL-2.0-or-later
"""Long-running work: a few jobs at a time, a few that wait, and the stop."""

import asyncio
import threading

import pytest

from xdpctl.base.few_at_once import FewAtOnce
from xdpctl.errors import BusyError


def test_one_job_too_many_is_refused_and_places_are_freed() -> None:
    few, go = FewAtOnce("looks", 1, 1), threading.Event()

    async def run() -> None:
        two = [asyncio.create_task(few.run(lambda: go.wait(5))) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(BusyError, match="2 looks are under way"):
            await few.run(lambda: True)
        go.set()
        assert await asyncio.gather(*two) == [True, True]
        assert await few.run(lambda: 7) == 7

    asyncio.run(run())
    few.stop()


def test_waiting_jobs_are_answered_after_the_stop() -> None:
    few, go = FewAtOnce("looks", 1, 5), threading.Event()

    async def run() -> None:
        running, waiting = (asyncio.create_task(few.run(lambda: go.wait(5))) for _ in range(2))
        await asyncio.sleep(0.05)
        few.stop()
        with pytest.raises(BusyError, match="stopping"):
            await waiting
        with pytest.raises(BusyError, match="stopping"):
            await few.run(lambda: True)
        go.set()
        assert await running

    asyncio.run(run())
