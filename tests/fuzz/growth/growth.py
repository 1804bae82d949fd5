# SPDX-License-Identifier: GPL-2.0-or-later
"""Measures how a parser's time grows with the size of its input.

A four times larger input may take up to twelve times as long; quadratic growth would be sixteen.
"""

import gc
import time
from contextlib import suppress

import pytest
import typer

from tests.fuzz.growth.adversaries import Case
from tests.fuzz.support.loop import Stuck, little_memory, within
from xdpctl.errors import XdpctlError

_FLOOR, _FACTOR = 0.02, 12.0  # seconds of CPU below which differences are noise; growth
_AGAIN = 3  # measurements of both sizes, one after the other, if the time seems to have grown
_TOTAL = 60.0  # seconds of CPU of all sizes: what takes longer is stuck, on a slow machine too
_STEPS = 5  # number of sizes, each four times the one before; the smallest is quick
_REFUSED = (XdpctlError, typer.BadParameter)


def _seconds(case: Case, size: int) -> float:
    given = case.make(size)
    gc.freeze()  # garbage collections then look only at objects of this case
    try:
        begun = time.process_time()
        with suppress(*_REFUSED):
            case.call(given)
        return time.process_time() - begun
    finally:
        gc.unfreeze()


def _has_grown(before: float, after: float) -> bool:
    return after > _FACTOR * max(before, _FLOOR)


def check(case: Case) -> None:
    """Measure from small to large sizes, so that a slow parser is noticed before it hangs."""
    sizes = [case.most >> 2 * (_STEPS - step) for step in range(1, _STEPS + 1)]
    spent: list[float] = []
    try:
        with little_memory(), within(_TOTAL):
            for size in sizes:
                spent.append(_seconds(case, size))
                if len(spent) > 1:
                    before, pair = sizes[len(spent) - 2], (spent[-2], spent[-1])
                    for _ in range(_AGAIN):
                        if _has_grown(*pair):  # or the machine was slower for the second of them
                            pair = _seconds(case, before), _seconds(case, size)
                    assert not _has_grown(*pair), f"{before} and {size} took {pair} s"
    except Stuck:
        known = dict(zip(sizes, spent, strict=False))
        pytest.fail(f"{case.name}: more than {_TOTAL} s of CPU; {known} s for so many bytes")
