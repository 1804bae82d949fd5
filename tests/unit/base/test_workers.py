# SPDX-License-Identifier: GPL-2.0-or-later
"""The worker pool: a limited number of threads, and a stop does not wait for them."""

import threading
from collections.abc import Iterator

import pytest

from xdpctl.base.workers import WorkerPool
from xdpctl.errors import BusyError


@pytest.fixture
def held() -> Iterator[threading.Event]:
    """Work waits for it; let go at the end."""
    made = threading.Event()
    yield made
    made.set()


def test_an_outcome_is_handed_over_whatever_it_is() -> None:
    crew = WorkerPool("tests", 1)
    assert crew.start(lambda: 7).result(10) == 7
    with pytest.raises(ZeroDivisionError):
        crew.start(lambda: 1 // 0).result(10)
    assert crew.start(lambda: 8).result(10) == 8, "and the hand is free again"


def test_beyond_its_hands_work_is_refused_and_not_queued(held: threading.Event) -> None:
    crew, asked = WorkerPool("tests", 2), []
    waiting = [crew.start(lambda: held.wait(10)) for _ in range(2)]
    with pytest.raises(BusyError, match="2 tests are under way"):
        crew.start(lambda: asked.append(1))
    held.set()
    assert [future.result(10) for future in waiting] == [True, True]
    assert asked == []
    crew.start(lambda: asked.append(2)).result(10)
    assert asked == [2]


def test_a_stop_answers_whoever_waits_and_waits_for_nobody(held: threading.Event) -> None:
    crew = WorkerPool("tests", 2)
    waiting = crew.start(lambda: held.wait(10))
    crew.stop()
    with pytest.raises(BusyError, match="stopping"):
        waiting.result(0)
    with pytest.raises(BusyError, match="stopping"):
        crew.start(lambda: 7)
    held.set()  # what comes of it now, nobody asks


def test_nobody_can_cancel_what_has_begun(held: threading.Event) -> None:
    future = WorkerPool("tests", 1).start(lambda: held.wait(10))
    assert not future.cancel()
    held.set()
    assert future.result(10)
