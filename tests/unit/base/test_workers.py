# SPDX-License-Identifier: GPL-2.0-or-later
"""The worker pool: a limited number of threads, and a stop does not wait for them."""

import threading
from collections.abc import Iterator

import pytest

from xdpctl.base.workers import WorkerPool
from xdpctl.errors import BusyError


@pytest.fixture
def held() -> Iterator[threading.Event]:
    """An event that work waits for; it is set at the end."""
    made = threading.Event()
    yield made
    made.set()


def test_results_and_errors_are_passed_to_the_caller() -> None:
    crew = WorkerPool("tests", 1)
    assert crew.start(lambda: 7).result(10) == 7
    with pytest.raises(ZeroDivisionError):
        crew.start(lambda: 1 // 0).result(10)
    assert crew.start(lambda: 8).result(10) == 8, "the thread is free again"


def test_work_beyond_the_number_of_threads_is_refused_not_queued(held: threading.Event) -> None:
    crew, asked = WorkerPool("tests", 2), []
    waiting = [crew.start(lambda: held.wait(10)) for _ in range(2)]
    with pytest.raises(BusyError, match="2 tests are under way"):
        crew.start(lambda: asked.append(1))
    held.set()
    assert [future.result(10) for future in waiting] == [True, True]
    assert asked == []
    crew.start(lambda: asked.append(2)).result(10)
    assert asked == [2]


def test_a_stop_answers_waiting_callers_and_does_not_wait_for_threads(
    held: threading.Event,
) -> None:
    crew = WorkerPool("tests", 2)
    waiting = crew.start(lambda: held.wait(10))
    crew.stop()
    with pytest.raises(BusyError, match="stopping"):
        waiting.result(0)
    with pytest.raises(BusyError, match="stopping"):
        crew.start(lambda: 7)
    held.set()  # nobody waits for its result any more


def test_running_work_cannot_be_cancelled(held: threading.Event) -> None:
    future = WorkerPool("tests", 1).start(lambda: held.wait(10))
    assert not future.cancel()
    held.set()
    assert future.result(10)
