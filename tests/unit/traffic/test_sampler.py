# SPDX-License-Identifier: GPL-2.0-or-later
"""How the sampler adapts, and what the window keeps."""

import numpy as np

from tests.support.fakes import FakeHeads, FakeServed
from tests.support.packets import to_frame
from xdpctl.abi.constants import Reason
from xdpctl.datapath.heads import NEVER, no_masks
from xdpctl.traffic.classify import heads
from xdpctl.traffic.packets import read
from xdpctl.traffic.sampler import Sampler
from xdpctl.traffic.window import PACKETS_MAX, SECONDS_MAX, Window

FRAME = to_frame("192.0.2.7")


def test_the_observed_share_falls_with_the_load_and_rises_slowly() -> None:
    source = FakeHeads()
    sampler = Sampler(source, FakeServed())
    sampler.step(0.0)
    assert source.masks[Reason.DROPPED] == 0
    assert source.masks[Reason.NONE] == NEVER
    source.waiting.append(heads([FRAME] * 1600, Reason.DROPPED))
    sampler.step(0.1)
    assert source.masks[Reason.DROPPED] == 15
    assert source.masks[Reason.NO_RULE] == 0
    source.waiting.append(heads([FRAME] * 100, Reason.DROPPED, weight=16))
    sampler.step(0.2)
    assert source.masks[Reason.DROPPED] == 15
    for wanted in (7, 3, 1, 0, 0):
        sampler.step(0.3)
        assert source.masks[Reason.DROPPED] == wanted
    source.waiting.append(heads([FRAME], Reason.DROPPED, weight=1 << 31))
    sampler.step(0.4)
    assert source.masks[Reason.DROPPED] == (1 << 20) - 1
    sampler.stop()
    assert source.masks.tolist() == no_masks().tolist()


def test_the_number_of_heads_of_undecided_packets_stays_low() -> None:
    source = FakeHeads()
    sampler = Sampler(source, FakeServed())
    sampler.step(0.0)

    def mask(number: int, weight: int) -> int:
        source.waiting.append(heads([FRAME] * number, weight=weight))
        sampler.step(0.1)
        return int(source.masks[Reason.NO_RULE])

    assert mask(100, 1) == 0
    assert mask(1_200, 1) == 3, "many small strata: four times as many heads as wanted"
    assert mask(250, 4) == 3
    assert mask(100, 4) == 1, "denser by one step"
    assert mask(250, 1_024) == 63, "a flood: 256,000 packets"
    assert mask(200, 1_024) == 63
    assert mask(10, 64) == 31


def test_heads_left_by_an_earlier_process_are_not_counted() -> None:
    source = FakeHeads()
    source.waiting.append(heads([FRAME] * 5))
    source.missing = 7
    sampler = Sampler(source, FakeServed())
    sampler.step(1.0)
    assert not len(sampler.window.last(60).packets)
    source.waiting.append(heads([FRAME] * 2))
    source.missing = 9
    sampler.step(1.1)
    seen = sampler.window.last(60)
    assert (len(seen.packets), seen.missing) == (2, 2)


def test_a_sampler_that_stopped_reading_is_late() -> None:
    sampler = Sampler(FakeHeads(), FakeServed())
    assert sampler.late(0.0)
    sampler.step(10.0)
    assert not sampler.late(14.0)
    assert sampler.late(16.0)


def test_a_window_covers_only_the_time_that_was_observed() -> None:
    window = Window()
    assert window.last(10).seconds == 0.0
    packets = read(heads([FRAME]))
    for step in range(1, 101):
        window.add((step - 1) / 10, step / 10, packets)
    whole = window.last(60)
    assert (len(whole.packets), whole.seconds) == (100, 10.0)
    part = window.last(2)
    assert abs(part.seconds - 2) <= 0.3
    assert len(part.packets) == round(part.seconds * 10)


def test_a_window_is_bounded_in_time_and_in_number() -> None:
    window = Window()
    packets = read(heads([FRAME] * 10))
    for second in range(200):
        window.add(second, second + 1, packets)
    seen = window.last(1000)
    assert seen.begun >= 200 - SECONDS_MAX - 1
    many = np.repeat(packets, PACKETS_MAX // 100)
    for second in range(200, 240):
        window.add(second, second + 1, many)
    assert len(window.last(60).packets) <= PACKETS_MAX + len(many)
    assert len(window.last(1).packets) >= len(many)
