# SPDX-License-Identifier: GPL-2.0-or-later
"""The generator's frames: sources in turn and correct checksums, for both families."""

import struct
from collections.abc import Callable, Iterator

import pytest

from bench import sources
from bench.filters import XDP_DROP
from bench.walks import Walks
from xdpctl.base.net.prefix_arrays import Keys
from xdpctl.datapath.bpf import programs
from xdpctl.lab.flood import Generator, compile_generator, syn_frame, udp_frame

MAC = "020000000001"
COUNT = 7


@pytest.fixture(scope="module")
def generator(_able: None) -> Iterator[Generator]:
    made = Generator(compile_generator())
    yield made
    made.close()


def valid(data: bytes) -> bool:
    """Whether the 16-bit words, checksum included, add up to all ones (RFC 1071)."""
    total: int = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total == 0xFFFF


@pytest.mark.parametrize("frame", [syn_frame, udp_frame])
@pytest.mark.parametrize(
    ("destination", "listed"),
    [("192.0.2.1", sources.exact(COUNT)), ("2001:db8::1", sources.exact6(COUNT))],
    ids=["IPv4", "IPv6"],
)
def test_sources_come_in_turn_with_valid_checksums(
    generator: Generator, frame: Callable[[str, str, int], bytes], destination: str, listed: Keys
) -> None:
    packed = sources.packed(listed)
    size = len(packed) // COUNT
    generator.aim(frame(MAC, destination, 53), packed)
    seen = []
    for _ in range(COUNT):
        sent = programs.run(generator.flood_fd, generator.frame).frame
        first, behind, protocol = (26, 34, sent[23]) if size == 4 else (22, 54, sent[20])
        seen.append(sent[first : first + size])
        assert size == 16 or valid(sent[14:34])
        pseudo = sent[first:behind] + struct.pack(">HH", protocol, len(sent) - behind)
        assert valid(pseudo + sent[behind:])
    assert sorted(seen) == sorted(packed[at : at + size] for at in range(0, len(packed), size))


def test_a_walk_returns_what_the_program_under_test_returns(generator: Generator) -> None:
    generator.aim(udp_frame(MAC, "192.0.2.1", 53), sources.packed(sources.exact(COUNT)))
    walk_fd = Walks(generator).over(generator.bare_fd)
    assert programs.run(walk_fd, generator.frame, 101).value == XDP_DROP
