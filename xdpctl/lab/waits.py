# SPDX-License-Identifier: GPL-2.0-or-later
"""Waits for events. The time limit is so long that only a hang reaches it."""

import time
from collections.abc import Callable
from typing import TypeVar

from xdpctl.errors import Unreachable
from xdpctl.lab.namespaces import LabError

HANG_SECONDS = 300.0  # a box starts in 3 s, on a busy machine in 100 s
_PAUSE_SECONDS = 0.02
T = TypeVar("T")


def eventually(what: Callable[[], T]) -> T:
    """Call `what` until it returns a true value, or for HANG_SECONDS; return the last value."""
    deadline = time.monotonic() + HANG_SECONDS
    while not (answer := what()) and time.monotonic() < deadline:
        time.sleep(_PAUSE_SECONDS)
    return answer


def until(what: Callable[[], T | None], why: str = "") -> T:
    """As `eventually`, but `what` may raise Unreachable; LabError if no value becomes true."""

    def answer_or_none() -> T | None:
        try:
            return what()
        except Unreachable:
            return None

    if answer := eventually(answer_or_none):
        return answer
    raise LabError(f"this did not happen within {HANG_SECONDS:g} s: {why or what}")
