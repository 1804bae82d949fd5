# SPDX-License-Identifier: GPL-2.0-or-later
"""Captures by the loaded program: which packets are captured, which bytes of them, and losses."""

from collections import Counter
from collections.abc import Iterator

import pytest

from tests.kernel.conftest import Filter, one_cpu
from tests.support import packets
from tests.support.packets import to_frame
from xdpctl.abi.constants import Reason, SlotNumber
from xdpctl.abi.sizes import CAPTURE_BYTES
from xdpctl.abi.structs import Capture
from xdpctl.base.net.prefix import parse_prefix
from xdpctl.control.capture import CaptureAsk, Captures, choose
from xdpctl.datapath.heads import no_masks
from xdpctl.errors import BusyError, RuleError

DROPPED, PASSED = "192.0.2.7", "198.51.100.9"


@pytest.fixture
def filtered(emptied: Filter) -> Iterator[Filter]:
    emptied.hold("drop 192.0.2.0/24; drop 203.0.113.7")
    yield emptied
    emptied.datapath.capture(no_masks(), SlotNumber.NONE)


def captured(filtered: Filter, ask: CaptureAsk, *frames: bytes) -> tuple[list[Capture], int]:
    """The captures of these frames, and the number of lost ones."""
    capturing = Captures(filtered.datapath).begin(ask)
    batches = capturing.batches()
    found = next(batches)
    for frame in frames:
        filtered.run(frame)
    found += next(batches)
    lost = capturing.lost
    batches.close()
    return found, lost


def test_a_dropped_packet_is_captured_with_its_reason_rule_and_bytes(filtered: Filter) -> None:
    frames = [to_frame(DROPPED), to_frame(PASSED), packets.to_frame("203.0.113.7")]
    found, lost = captured(filtered, CaptureAsk(choose("drop"), every=1), *frames)
    assert lost == 0
    assert [(c.reason, c.length) for c in found] == [(Reason.DROPPED, len(frames[0]))] * 2
    assert found[0].head[: len(frames[0])] == frames[0]
    entries = filtered.image.entries
    slots = [entries[parse_prefix(p)] for p in ("192.0.2.0/24", "203.0.113.7")]
    assert [c.slot for c in found] == slots
    assert found[0].time_ns <= found[1].time_ns


def test_a_capture_may_be_limited_to_one_rule_or_one_verdict(filtered: Filter) -> None:
    slot = filtered.image.entries[parse_prefix("203.0.113.7")]
    frames = [to_frame(DROPPED), to_frame("203.0.113.7"), to_frame(PASSED)] * 5
    found, _ = captured(filtered, CaptureAsk(choose("drop"), every=1, slot=slot), *frames)
    assert [c.slot for c in found] == [slot] * 5
    found, _ = captured(filtered, CaptureAsk(choose("pass"), every=1), *frames)
    assert Counter(c.reason for c in found) == {Reason.NO_RULE: 5}
    assert {c.slot for c in found} == {SlotNumber.NONE}


def test_one_packet_in_n_is_captured(filtered: Filter) -> None:
    ask = CaptureAsk(choose("all"), every=16)
    with one_cpu():
        found, _ = captured(filtered, ask, *[to_frame(DROPPED)] * 8_000)
    assert len(found) == pytest.approx(8_000 / 16, rel=0.25)


def test_sources_that_take_turns_are_all_captured(filtered: Filter) -> None:
    """If each 16th packet were captured, only 25 of the sources would be seen."""
    frames = [to_frame(f"192.0.2.{number}") for number in range(200)] * 40
    with one_cpu():
        found, _ = captured(filtered, CaptureAsk(choose("all"), every=16), *frames)
    assert len(found) == pytest.approx(8_000 / 16, rel=0.2)
    assert len({capture.head[26:30] for capture in found}) > 150


def test_only_the_beginning_of_a_long_packet_is_captured(filtered: Filter) -> None:
    frame = to_frame(DROPPED) + bytes(1000)
    ((found,), _) = captured(filtered, CaptureAsk(choose("drop"), every=1), frame)
    assert found.length == len(frame)
    assert found.head == frame[:CAPTURE_BYTES]


def test_captures_without_room_are_counted_and_the_verdict_stays(filtered: Filter) -> None:
    frame = to_frame(DROPPED)
    ask = CaptureAsk(choose("drop"), every=1)
    capturing = Captures(filtered.datapath).begin(ask)
    batches = capturing.batches()
    next(batches)
    assert {filtered.run(frame, 9_000), filtered.run(frame)} == {"drop"}
    found = next(batches)
    lost = capturing.lost
    batches.close()
    assert len(found) + lost == 9_001
    assert lost > 0


def test_each_of_several_captures_gets_what_it_asked_for(filtered: Filter) -> None:
    captures = Captures(filtered.datapath)
    slot = filtered.image.entries[parse_prefix("203.0.113.7")]
    asks = (
        CaptureAsk(choose("drop"), every=1),
        CaptureAsk(choose("drop"), every=1, slot=slot),
        CaptureAsk(choose("no_rule"), every=4),
    )
    running = [captures.begin(ask).batches() for ask in asks]
    for each in running:
        next(each)
    for frame in (to_frame(DROPPED), to_frame("203.0.113.7"), to_frame(PASSED)):
        filtered.run(frame, 800)
    every, one, few = (next(each) for each in running)
    assert len(every) == 1_600
    assert {capture.slot for capture in one} == {slot}
    assert len(one) == 800
    assert {capture.reason for capture in few} == {Reason.NO_RULE}
    assert len(few) == pytest.approx(200, rel=0.35)
    running[0].close()
    filtered.run(to_frame(DROPPED), 64)
    assert next(running[1]) == []
    for each in running[1:]:
        each.close()
    filtered.run(to_frame(DROPPED))
    assert not list(filtered.datapath.captures()), "no capture is active any more"


def test_a_dense_capture_of_one_reason_leaves_the_others_thin(filtered: Filter) -> None:
    captures = Captures(filtered.datapath)
    dense = captures.begin(CaptureAsk(choose("spoofed"), every=1)).batches()
    thin = captures.begin(CaptureAsk(choose("pass"), every=1 << 16)).batches()
    next(dense), next(thin)
    filtered.run(to_frame(PASSED), 20_000)
    assert len(list(filtered.datapath.captures())) < 20
    for each in (dense, thin):
        each.close()


def test_too_many_captures_at_a_time_are_refused(filtered: Filter) -> None:
    captures = Captures(filtered.datapath)
    running = [captures.begin(CaptureAsk(choose("drop"))).batches() for _ in range(16)]
    for each in running:
        next(each)
    with pytest.raises(BusyError, match="16 captures"):
        next(captures.begin(CaptureAsk(choose("drop"))).batches())
    for each in running:
        each.close()
    again = captures.begin(CaptureAsk(choose("drop"), seconds=0.001)).batches()
    assert [len(batch) for batch in again][-1] == 0


@pytest.mark.parametrize("every", [0, 3, 1 << 21])
def test_a_rate_that_is_not_a_power_of_two_is_refused(every: int) -> None:
    with pytest.raises(RuleError, match="one packet in"):
        CaptureAsk(choose("drop"), every=every)
    with pytest.raises(RuleError, match="not a verdict"):
        choose("droped")
