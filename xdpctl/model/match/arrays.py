# SPDX-License-Identifier: GPL-2.0-or-later
"""Which of many values a component of a match allows. Pure."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from xdpctl.model.match.bits import Bits
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
