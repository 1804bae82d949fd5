# SPDX-License-Identifier: GPL-2.0-or-later
"""A periodic task continues after any error, and logs the error."""

import logging
import threading
import time
from queue import SimpleQueue

import pytest

from xdpctl.base.periodic import PeriodicTask
from xdpctl.errors import StoreError


@pytest.mark.parametrize(
    ("error", "traced"), [(StoreError("no room"), False), (KeyError("defect"), True)]
)
def test_the_task_continues_after_an_error_and_logs_it_once(
    error: Exception, traced: bool, caplog: pytest.LogCaptureFixture
) -> None:
    steps = SimpleQueue[float]()

    def step(now: float) -> None:
        steps.put(now)
        if steps.qsize() <= 3:
            raise error

    beat = PeriodicTask("test", 0.001, step, "nothing is done")
    with caplog.at_level(logging.ERROR):
        beat.start()
        until = time.monotonic() + 10
        while steps.qsize() < 5 and time.monotonic() < until:
            time.sleep(0.001)
        beat.stop()
    assert beat.stopping
    assert steps.get() < steps.get()
    (said,) = caplog.records
    assert said.getMessage() == f"nothing is done: {error}"
    assert bool(said.exc_info) is traced


def test_the_task_ends_at_once_while_it_waits() -> None:
    began = SimpleQueue[float]()

    def step(now: float) -> None:
        began.put(now)
        raise OSError("full")

    beat = PeriodicTask("test", 0.0, step, "nothing is kept", rest=3600.0)
    beat.start()
    began.get(timeout=5)
    beat.stop()
    assert began.empty()


def test_the_task_steps_when_woken_and_reports_an_error() -> None:
    stepped = threading.Semaphore(0)
    broken = [False]

    def step(_: float) -> None:
        stepped.release()
        if broken[0]:
            raise OSError("the disk is full")

    task = PeriodicTask("woken", 60.0, step, "it does not work")
    task.start()
    assert stepped.acquire(timeout=5)
    assert task.problem == ""
    broken[0] = True
    task.wake()
    assert stepped.acquire(timeout=5)
    task.stop()
    assert task.problem == "the disk is full"
