# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs a parser on many inputs, with limits of time and memory."""

import os
import resource
import signal
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.errors import HypothesisWarning
from hypothesis.strategies import SearchStrategy

from xdpctl.errors import XdpctlError

DEFAULT = 1.0
SECONDS = float(os.environ.get("XDPCTL_FUZZ_SECONDS", DEFAULT))
LONG = SECONDS > DEFAULT
# of CPU, which one input may take: a slow machine takes several seconds for the largest
CALL_SECONDS = 20.0
_ROOM = 1 << 30  # bytes of address space beyond what the process has already
_EXAMPLES = 1_500
_SHOWN = 600  # characters of an input that are told
T = TypeVar("T")
Allowed = tuple[type[Exception], ...]
PLANNED: Allowed = (XdpctlError,)


class Stuck(BaseException):
    """A parser takes too long; not an Exception, so that it is not caught and nothing is shrunk."""


class _Shown:
    """An input of which only the beginning is shown."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __repr__(self) -> str:
        try:
            text = repr(self.value)
        except (ValueError, RecursionError) as error:
            return f"<{type(self.value).__name__}: {error}>"
        return text if len(text) < _SHOWN else f"{text[:_SHOWN]}… ({len(text)} characters)"


@st.composite
def _shown(draw: st.DrawFn, inputs: SearchStrategy[Any]) -> _Shown:
    return _Shown(draw(inputs))


def _stuck(_number: int, _frame: FrameType | None) -> None:
    raise Stuck


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Raise Stuck after so many seconds of CPU; does not use the timer of pytest-timeout."""
    before = signal.signal(signal.SIGVTALRM, _stuck)
    # repeatedly, because an exception raised in a callback of the collector is lost
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds, 0.5)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


@contextmanager
def little_memory() -> Iterator[None]:
    """Limit the memory, so that a large allocation raises MemoryError."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    room = pages * resource.getpagesize() + _ROOM
    if hard != resource.RLIM_INFINITY:
        room = min(room, hard)
    resource.setrlimit(resource.RLIMIT_AS, (room, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def fuzz(
    inputs: SearchStrategy[T],
    call: Callable[[T], object],
    allowed: Allowed = (),
    seconds: float = SECONDS,
    enough: Callable[[], bool] = lambda: False,
) -> None:
    """Call a parser on many inputs; fail for a hang, and for exceptions that are not expected.

    It ends after so many seconds, or before if it is `enough`.
    """
    ends, failed = time.monotonic() + seconds, False

    def body(one: _Shown) -> None:
        nonlocal failed
        if not failed and (time.monotonic() > ends or enough()):
            return
        try:
            with within(CALL_SECONDS):
                call(one.value)
        except (*PLANNED, *allowed):
            pass
        except Stuck:
            raise Stuck(f"more than {CALL_SECONDS:g} s of CPU for {one}") from None
        except BaseException:
            failed = True
            raise

    asked = settings(
        max_examples=_EXAMPLES,
        derandomize=not LONG,
        database=None,
        deadline=None,
        phases=(Phase.explicit, Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    run = asked(given(_shown(inputs))(body))
    with little_memory(), warnings.catch_warnings():
        warnings.simplefilter("ignore", HypothesisWarning)  # of large inputs
        run()
        while LONG and time.monotonic() < ends and not enough():
            run()
