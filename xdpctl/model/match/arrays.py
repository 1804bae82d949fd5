# SPDX-License-Identifier: GPL-2.0-or-later
"""Which of many values a component of a match allows. Pure."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from xdpctl.model.match.bits import Bits
from xdpctl.model.match.payload import Payload
from xdpctl.model.match.ranges import Ranges


def within(ranges: Ranges, values: NDArray[Any]) -> NDArray[np.bool_]:
    """Which values are in one of the ranges."""
    first, last = np.array(ranges).T
    # the place of the last range that does not begin after the value
    place = np.searchsorted(first, values, "right") - 1
    return np.asarray((place >= 0) & (values <= last[place]))


def passing(tests: Bits, values: NDArray[Any]) -> NDArray[np.bool_]:
    """Which values pass one of the groups of tests; a value below 0 passes none."""
    chosen = np.zeros(len(values), bool)
    for group in tests:
        passed = values >= 0
        for test in group:
            passed &= (values & test.mask == test.mask) != test.negated
        chosen |= passed
    return chosen


def carrying(
    payload: Payload, starts: NDArray[np.uint8], sizes: NDArray[np.uint8], cut: NDArray[np.uint8]
) -> NDArray[np.bool_]:
    """Which payloads, of which the first bytes are given as rows, have all windows.

    One that is cut short may have any bytes behind its end, so it has what a window asks for.
    """
    behind = np.arange(starts.shape[1]) >= sizes[:, np.newaxis]
    chosen = np.ones(len(sizes), bool)
    for window in payload:
        mask = np.frombuffer(window.mask, np.uint8)
        here = slice(window.at, window.end)
        same = (starts[:, here] & mask) == np.frombuffer(window.value, np.uint8)
        unknown = behind[:, here]
        fits = (~same | unknown).any(1) if window.differs else (same | unknown).all(1)
        chosen &= fits & ((sizes >= window.end) | (cut != 0))
    return chosen
