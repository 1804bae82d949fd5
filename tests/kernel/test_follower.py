# SPDX-License-Identifier: GPL-2.0-or-later
"""Reading a ring beside its consumer: each record once, and overwritten records are reported."""

from collections.abc import Iterator

import numpy as np
import pytest

from tests.kernel.conftest import Filter, one_cpu
from tests.support.packets import to_frame
from xdpctl.abi.arrays import HEAD
from xdpctl.abi.constants import Reason
from xdpctl.datapath.bpf import maps
from xdpctl.datapath.bpf.ringbuf import Follower
from xdpctl.datapath.heads import no_masks


@pytest.fixture
def filtered(emptied: Filter) -> Iterator[Filter]:
    masks = no_masks()
    masks[Reason.NO_RULE] = 0
    emptied.datapath.heads.read()
    emptied.datapath.heads.observe(masks)
    with one_cpu():
        yield emptied
    emptied.datapath.heads.observe(no_masks())


@pytest.fixture
def follower(filtered: Filter) -> Iterator[Follower]:
    ring = maps.open_map(filtered.loader.pins.map("heads"))
    yield Follower(ring.fd, ring.shape.max_entries, HEAD)
    ring.close()


def send(filtered: Filter, packets: int, first: int = 0) -> None:
    for number in range(first, first + packets):
        filtered.run(to_frame(f"198.51.{100 + number // 250}.{1 + number % 250}"))


def test_both_readers_of_the_ring_get_every_record(filtered: Filter, follower: Follower) -> None:
    for turn in range(5):
        send(filtered, 40, 40 * turn)
        assert follower.waiting == 40
        followed = follower.read_all()
        consumed = filtered.datapath.heads.read()
        assert np.array_equal(followed, consumed)
        assert follower.waiting == 0
        assert len(follower.read_all()) == 0


def test_the_follower_may_read_after_the_consumer(filtered: Filter, follower: Follower) -> None:
    send(filtered, 40)
    consumed = filtered.datapath.heads.read()
    assert np.array_equal(follower.read_all(), consumed)


def test_the_follower_skips_records_from_before_its_start(filtered: Filter) -> None:
    send(filtered, 10)
    ring = maps.open_map(filtered.loader.pins.map("heads"))
    late = Follower(ring.fd, ring.shape.max_entries, HEAD)
    assert late.waiting == 0
    ring.close()


def test_overwritten_records_are_left_out_and_reported(
    filtered: Filter, follower: Follower
) -> None:
    ring = maps.open_map(filtered.loader.pins.map("heads"))
    room = ring.shape.max_entries // (HEAD.itemsize + 8)
    ring.close()
    sent = 0
    while sent < room + 500:
        send(filtered, 50, sent)
        filtered.datapath.heads.read()  # a new epoch: later, fewer packets are copied
        sent += 50
    found = follower.read_all()
    assert follower.overrun == 1
    assert 0.9 * room < len(found) <= room
    assert set(found["reason"].tolist()) == {Reason.NO_RULE}
    assert set(found["family"].tolist()) == {4}
    assert follower.waiting == 0
