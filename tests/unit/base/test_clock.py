# SPDX-License-Identifier: GPL-2.0-or-later
"""The clock's error is read from the kernel at intervals, not at every reading."""

import time

import pytest

from xdpctl.base.clock import Clock
from xdpctl.base.system import adjtimex


def test_the_clock_error_is_read_again_after_ten_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    errors = iter([0.1, 0.2, 0.3])
    at = [0]
    monkeypatch.setattr(adjtimex, "error", lambda: next(errors))
    monkeypatch.setattr(time, "monotonic_ns", lambda: at[0])
    clock = Clock()
    seen = []
    for seconds in (1, 10, 11, 20, 21, 22):
        at[0] = seconds * 1_000_000_000
        seen.append(clock.read().error)
    assert seen == [0.1, 0.1, 0.2, 0.2, 0.2, 0.3]
