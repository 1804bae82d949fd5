# SPDX-License-Identifier: GPL-2.0-or-later
"""Numbers in detectors' reports: not negative, finite, and not booleans."""

from typing import Any

import pytest

from xdpctl.detectors.checked import number
from xdpctl.errors import RuleError


@pytest.mark.parametrize(("value", "read"), [(0, 0.0), (5, 5.0), (1.5, 1.5), (10**17, 1e17)])
def test_numbers_from_0_on_are_read(value: Any, read: float) -> None:
    assert number({"pps": value}, "pps") == read


def test_a_missing_number_is_0() -> None:
    assert number({}, "pps") == 0.0


@pytest.mark.parametrize("value", [-1, -0.5, float("nan"), float("inf"), 10**18, True, "5", None])
def test_other_values_are_refused_by_name(value: Any) -> None:
    with pytest.raises(RuleError) as caught:
        number({"pps": value}, "pps")
    assert caught.value.field == "pps"
