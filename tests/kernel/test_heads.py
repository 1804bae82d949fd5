# SPDX-License-Identifier: GPL-2.0-or-later
"""Heads by the loaded program: which packets are observed, their weights, and losses."""

import random
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.kernel.conftest import Filter, one_cpu
from tests.support.packets import address, ethernet, ipv4, to_frame, udp
from xdpctl.abi.constants import Reason, SlotNumber
from xdpctl.abi.sizes import HEADS_ALL_LOG2, HEADS_SEEN_MAX
from xdpctl.base.net.prefix import parse_prefix
from xdpctl.control.capture import CaptureAsk, Captures, choose
from xdpctl.datapath.heads import NEVER, no_masks
from xdpctl.traffic.dimensions import dimension
from xdpctl.traffic.sampler import Sampler
from xdpctl.traffic.top import top

DROPPED, PASSED = "192.0.2.7", "198.51.100.9"


@pytest.fixture
def filtered(emptied: Filter) -> Iterator[Filter]:
    emptied.hold("drop 192.0.2.0/24")
    emptied.datapath.heads.read()
    with one_cpu():
        yield emptied
    emptied.datapath.heads.observe(no_masks())


def observe(filtered: Filter, every: int, *reasons: Reason) -> None:
    masks = no_masks()
    masks[list(reasons)] = every - 1
    filtered.datapath.heads.observe(masks)


def test_a_head_begins_at_the_ip_header_and_says_who_decided(filtered: Filter) -> None:
    observe(filtered, 1, Reason.DROPPED, Reason.NO_RULE)
    six = to_frame("2001:db8::7")
    frames = [to_frame(DROPPED), to_frame(PASSED), six[:12] + b"\x81\0\0\7" + six[12:]]
    for frame in frames:
        filtered.run(frame)
    found = filtered.datapath.heads.read()
    assert found["reason"].tolist() == [Reason.DROPPED, Reason.NO_RULE, Reason.NO_RULE]
    assert found["family"].tolist() == [4, 4, 6]
    assert found["weight"].tolist() == [1, 1, 1]
    assert found["length"].tolist() == [len(frame) for frame in frames]
    assert found["vlan"].tolist() == [4096, 4096, 7]
    assert found["ethertype"].tolist() == [0x0800, 0x0800, 0x86DD]
    slot = filtered.image.entries[parse_prefix("192.0.2.0/24")]
    assert found["slot"].tolist() == [slot, SlotNumber.NONE, SlotNumber.NONE]
    for head, frame, offset in zip(found, frames, (14, 14, 18), strict=True):
        held = min(len(frame) - offset, 128)
        assert head["bytes_held"] == held
        assert head["bytes"].tobytes()[:held] == frame[offset : offset + held]


def test_packets_that_are_not_ip_or_end_early_have_heads_too(filtered: Filter) -> None:
    observe(filtered, 1, Reason.LINK, Reason.TRUNCATED)
    for frame in (bytes(12) + b"\x08\x06" + b"arp" * 10, to_frame(PASSED)[:30]):
        filtered.run(frame)
    found = filtered.datapath.heads.read()
    assert found["reason"].tolist() == [Reason.LINK, Reason.TRUNCATED]
    assert found["family"].tolist() == [0, 0]
    assert found[0]["bytes"].tobytes().startswith(b"arp" * 10)


def test_a_head_sampled_one_in_n_has_weight_n(filtered: Filter) -> None:
    observe(filtered, 16, Reason.DROPPED)
    for frame in (to_frame(DROPPED), to_frame(PASSED)):
        filtered.run(frame, 16_000)
    found = filtered.datapath.heads.read()
    assert len(found) == pytest.approx(1_000, rel=0.2)
    assert set(found["weight"].tolist()) == {16}
    filtered.datapath.heads.observe(no_masks())
    filtered.run(to_frame(DROPPED), 1_000)
    assert not len(filtered.datapath.heads.read())


def test_within_an_epoch_heads_become_rarer_and_their_weights_grow(filtered: Filter) -> None:
    observe(filtered, 1, Reason.DROPPED)
    packets = 1 << HEADS_ALL_LOG2 + 4
    filtered.run(to_frame(DROPPED), packets)
    found = filtered.datapath.heads.read()
    weights = Counter(found["weight"].tolist())
    assert weights[1] == 1 << HEADS_ALL_LOG2
    assert max(weights) == 16
    assert int(found["weight"].sum()) == pytest.approx(packets, rel=0.01)
    filtered.run(to_frame(DROPPED), 100)
    again = filtered.datapath.heads.read()
    assert again["weight"].tolist() == [1] * 100, "reading began a new epoch"


def test_heads_are_no_longer_copied_if_nobody_reads_them(filtered: Filter) -> None:
    observe(filtered, 1, Reason.DROPPED)
    filtered.run(to_frame(DROPPED), HEADS_SEEN_MAX)
    lost = filtered.datapath.heads.lost()
    assert filtered.run(to_frame(DROPPED), 500) == "drop"
    assert filtered.datapath.heads.lost() - lost == 500
    filtered.datapath.heads.read()


def test_captures_and_heads_do_not_disturb_each_other(filtered: Filter) -> None:
    observe(filtered, 64, Reason.DROPPED)
    capturing = Captures(filtered.datapath).begin(CaptureAsk(choose("drop"), every=4))
    batches = capturing.batches()
    next(batches)
    filtered.run(to_frame(DROPPED), 6_400)
    assert len(next(batches)) == pytest.approx(1_600, rel=0.15)
    heads = filtered.datapath.heads.read()
    assert int(heads["weight"].sum()) == pytest.approx(6_400, rel=0.15)
    batches.close()
    filtered.run(to_frame(DROPPED), 64_000)
    weights = filtered.datapath.heads.read()["weight"].tolist()
    assert set(weights) == {64}
    assert len(weights) == pytest.approx(1_000, rel=0.2)
    assert not list(filtered.datapath.captures())
    assert int(filtered.datapath._control["observed"][Reason.SPOOFED]) == NEVER


def _composition(number: int) -> dict[int, float]:
    """Random shares of some source ports."""
    parts = random.Random(number).choices(range(1, 60), k=2 + number % 5)
    return {
        port: part / sum(parts)
        for port, part in zip((53, 123, 389, 1900, 11211, 19), parts, strict=False)
    }


@pytest.mark.parametrize("number", range(10))
def test_top_lists_find_the_shares_of_synthetic_traffic(filtered: Filter, number: int) -> None:
    """At 20,000 packets a second, some of them dropped, in pulses if the number is odd."""
    shares, rng = _composition(number), random.Random(number)
    sampler = Sampler(filtered.datapath.heads, filtered.datapath.served)
    drops = number % 3 == 0
    for epoch in range(51):
        quiet = number % 2 and epoch // 10 % 2
        for port, share in () if quiet else shares.items():
            source = address("192.0.2.7" if drops else f"203.0.113.{rng.randrange(256)}")
            frame = ethernet(0x0800, ipv4(source, address("198.51.100.7"), udp(port, 4000)))
            filtered.run(frame, round(2000 * share))
        sampler.step(epoch / 10)
    seen = sampler.window.last(5)
    found = top(seen.packets, seen.seconds, dimension("source_port"))
    sampler.stop()
    for row in found.rows:
        assert abs(row.share - shares[int(row.value)]) < 0.03
    assert {int(row.value) for row in found.rows} == shares.keys()
    sent = 20_000 * (0.6 if number % 2 else 1.0)
    assert found.packets == pytest.approx(sent, rel=0.1)
    assert str(found.rows[0].match).startswith("dst 198.51.100.7 proto udp src-port")
