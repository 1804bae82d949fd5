# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether a route helped: enforced, ignored, idle, noise, and floods that end by themselves."""

import random
from collections.abc import Callable

import pytest

from xdpctl.upstream.effects import Effect, Effects, Verdict, compare

LIMIT = 2_000_000.0
_random = random.Random(7)
Series = Callable[[int], list[float]]


def about(bits: float, noise: float = 0.05) -> Series:
    """A rate that varies by that share, with a normal distribution."""
    return lambda count: [max(0.0, _random.gauss(bits, noise * bits)) for _ in range(count)]


def pulses(bits: float) -> Series:
    return lambda count: [bits if number // 4 % 2 else 0.0 for number in range(count)]


def judged(before: Series, after: Series, leaves: float = LIMIT, full_for: int = 5) -> Verdict:
    """The verdict after all looks."""
    effect = Effect(0.0, full_for, leaves)
    for seconds in (10, 26, 56):
        if not effect.settled:
            effect.judge(before(20), after(seconds))
    return effect.verdict


@pytest.mark.parametrize(
    ("before", "after", "leaves", "full_for", "said"),
    [
        (about(18e6), about(2e6), LIMIT, 5, "helped by 8"),
        (about(18e6, 0.2), about(2e6, 0.2), LIMIT, 5, "helped by"),
        (about(18e6), about(12e6), LIMIT, 5, "helped by"),
        (pulses(18e6), about(1e6, 0.5), LIMIT, 5, "helped by"),
        (about(18e6), about(18e6), LIMIT, 5, "did nothing"),
        (about(18e6, 0.2), about(18e6, 0.2), LIMIT, 5, "did nothing"),
        (about(18e6), about(20e6), LIMIT, 5, "did nothing"),
        (about(18e6), about(18e6), 0.0, 5, "did nothing"),
        (pulses(18e6), pulses(18e6), LIMIT, 5, "cannot be told: what it takes varies"),
        (about(18e6), about(2e6), LIMIT, 0, "cannot be told: the link was not full"),
        (about(0), about(0), LIMIT, 5, "cannot be told: nothing that it takes arrived"),
        (about(1e3), about(0), LIMIT, 0, "cannot be told: the link was not full"),
        (about(18e6), about(0), LIMIT, 5, "cannot be told: nothing of it arrives any more"),
        (about(18e6), about(0), 0.0, 5, "cannot be told: the flood may have ended"),
        (lambda _: [18e6] * 3, about(2e6), LIMIT, 5, "cannot be told: too little was seen"),
        (about(18e6), lambda _: [], LIMIT, 5, "cannot be told: too little was seen"),
    ],
)
def test_the_verdict(
    before: Series, after: Series, leaves: float, full_for: int, said: str
) -> None:
    assert str(judged(before, after, leaves, full_for)).startswith(said)


def test_noise_is_not_credited_and_enforcement_is_always_seen() -> None:
    for _ in range(200):
        noise = judged(about(18e6, 0.2), about(18e6, 0.2))
        assert not noise.helped
        enforced = judged(about(18e6, 0.2), about(2e6, 0.2))
        assert enforced.helped
        assert enforced.low <= 1 - 2 / 18 + 0.05
        assert enforced.high >= 1 - 2 / 18 - 0.05


def test_traffic_that_gives_way_to_other_traffic_is_not_credited() -> None:
    effect = Effect(0.0, 5, LIMIT)
    effect.judge(about(18e6)(20), about(2e6)(10), "the link is full still")
    assert str(effect.verdict) == "cannot be told: the link is full still"
    nothing = Effect(0.0, 5, LIMIT)
    nothing.judge(about(18e6)(20), about(18e6)(10), "the link is full still")
    assert nothing.verdict.nothing, "that it did nothing can be told"


def test_a_second_look_at_a_drop_is_no_refill() -> None:
    effect = Effect(0.0, 5, 0.0)
    assert not effect.judge(about(18e6)(20), [18e6, 0.0, 0.0, 18e6, 0.0, 0.0])
    assert effect.judge(about(18e6)(20), about(0)(20))
    assert "may have ended" in str(effect.verdict)


def test_other_traffic_that_fills_the_link_later_credits_nothing() -> None:
    effects = Effects()
    effects.begin("a", 5, 0.0, 0.0)
    effects.of["a"].judge(about(18e6)(20), about(0)(10))
    effects.begin("a", 5, 0.0, 100.0)  # full again, of something else
    effects.of["a"].judge([1e3] * 6, [0.0] * 10)
    assert "may have ended" in str(effects.of["a"].verdict)


def test_a_drop_is_credited_once_the_link_has_filled_without_it() -> None:
    effects = Effects()
    effects.begin("a", 5, 0.0, 0.0)
    effects.of["a"].judge(about(18e6)(20), about(0)(10))
    assert "may have ended" in str(effects.of["a"].verdict)
    effects.begin("a", 3, 0.0, 100.0)  # withdrawn, and the link filled
    assert effects.of["a"].due(107.0)
    effects.of["a"].judge(about(18e6)(6), about(0)(10))
    assert str(effects.of["a"].verdict) == "helped by 100% to 100%"
    effects.keep({"b"})
    assert not effects.of


def test_a_provider_that_helps_only_sometimes_is_said() -> None:
    effects = Effects()
    effects.begin("a", 5, LIMIT, 0.0)
    effects.of["a"].judge(about(18e6)(20), about(2e6)(10))
    effects.begin("a", 5, LIMIT, 60.0)
    effects.of["a"].judge(about(18e6)(20), about(18e6)(10))
    assert "at another" in str(effects.of["a"].verdict)


def test_a_few_values_are_no_measurement() -> None:
    assert compare([1.0] * 4, [0.0] * 9, 0.0).why == "too little was seen"
