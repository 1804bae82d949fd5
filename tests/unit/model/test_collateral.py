# SPDX-License-Identifier: GPL-2.0-or-later
"""The share of people among what a rule hits, with an interval that holds at every look."""

import random

import pytest

from xdpctl.model.collateral import Collateral, interval

LOOKS, A_LOOK = 60, 10


def test_the_true_share_is_inside_the_interval_at_every_look() -> None:
    """200 mixtures of 0 to 100 % people, looked at 60 times: at most 5 % are ever outside."""
    rng, outside = random.Random(5), 0
    for number in range(200):
        truth, people, sources, ever = number / 199, 0, 0, False
        for _ in range(LOOKS):
            people += sum(rng.random() < truth for _ in range(A_LOOK))
            sources += A_LOOK
            low, high = interval(people, sources)
            ever |= not low <= truth <= high
        outside += ever
    assert outside <= 10


@pytest.mark.parametrize(
    ("people", "sources", "low", "high"),
    [(0, 0, 0.0, 1.0), (0, 100, 0.0, 0.073), (3, 3, 0.232, 1.0), (5, 100, 0.0066, 0.160)],
)
def test_the_interval_is_right_at_its_extremes(
    people: int, sources: int, low: float, high: float
) -> None:
    assert interval(people, sources) == pytest.approx((low, high), abs=0.001)


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (
            Collateral(people=3, sources=40, low=0.005, high=0.28),
            "0.5 % to 28 % of the TCP sources that it hits are people (3 of 40 that were tried)",
        ),
        (
            Collateral(repeats=True),
            "it cannot be measured: the flood repeats its flows, so newcomers may be lost among "
            "them",
        ),
    ],
)
def test_the_text_says_what_is_known(found: Collateral, said: str) -> None:
    assert str(found) == said
