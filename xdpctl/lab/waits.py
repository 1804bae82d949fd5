# SPDX-License-Identifier: GPL-2.0-or-later
"""Waits for events. The bound is so long that only a hang reaches it."""

import time
from collections.abc import Callable
from typing import TypeVar

from xdpctl.errors import Unreachable
from xdpctl.lab.namespaces import LabError

HANG_SECONDS = 300.0  # a box starts in three seconds, in a hundred on a busy machine
_PAUSE_SECONDS = 0.02
T = TypeVar("T")


def eventually(what: Callable[[], T]) -> T:
    """Ask until the answer is true; return the last one, which is false after HANG_SECONDS."""
    deadline = time.monotonic() + HANG_SECONDS
    while not (answer := what()) and time.monotonic() < deadline:
        time.sleep(_PAUSE_SECONDS)
    return answer


def until(what: Callable[[], T | None], why: str = "") -> T:
    """As `eventually`, of a control plane that may not answer yet; LabError if it never comes."""

    def asked() -> T | None:
        try:
            return what()
        except Unreachable:
            return None

    if answer := eventually(asked):
        return answer
    raise LabError(f"it did not come about in {HANG_SECONDS:g} s: {why or what}")
