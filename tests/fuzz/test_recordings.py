# SPDX-License-Identifier: GPL-2.0-or-later
"""pcap and pcapng files, and the frames in them."""

import struct
from pathlib import Path

import pytest
from hypothesis import strategies as st

from tests.fuzz.support.inputs import damaged
from tests.fuzz.support.loop import fuzz
from xdpctl.base.net.packets import build, protocol_number, service, source_of, summary
from xdpctl.base.net.pcap_reader import Skipped, packets
from xdpctl.base.net.prefix import Prefix

_FRAME = bytes(12) + b"\x08\x00\x45" + bytes(8) + b"\x11" + bytes(10) + b"\0\x35\0\x36" + bytes(18)
_FRAME6 = (
    bytes(12) + b"\x86\xdd\x60" + bytes(5) + b"\x06\x40" + bytes(32) + b"\0\x50\1\1" + bytes(9)
)
_TAGGED = _FRAME[:12] + b"\x81\0\0\1\x88\xa8\0\2" + _FRAME[12:]
_ODD = (0, 1, 3, 4, 8, 11, 12, 13, 20, 28, 32, 0x7FFFFFFF, 0xFFFFFFFF, 64 << 20, (64 << 20) + 4)
numbers = st.sampled_from(_ODD) | st.integers(0, 100)


def classic(order: str, link: int = 1) -> bytes:
    head = struct.pack(f"{order}IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, link)
    some = (_FRAME, _FRAME6, _TAGGED)
    return head + b"".join(struct.pack(f"{order}IIII", 1, 2, len(f), len(f)) + f for f in some)


def block(order: str, kind: int, body: bytes, size: int | None = None) -> bytes:
    body += bytes(-len(body) % 4)
    told = struct.pack(f"{order}I", 12 + len(body) if size is None else size)
    return struct.pack(f"{order}I", kind) + told + body + told


def blocks(order: str) -> bytes:
    head = block(order, 0x0A0D0D0A, struct.pack(f"{order}IHHq", 0x1A2B3C4D, 1, 0, -1))
    links = b"".join(block(order, 1, struct.pack(f"{order}HHI", n, 0, 0)) for n in (1, 101, 113))
    size = len(_FRAME)
    told = struct.pack(f"{order}IIIII", 0, 0, 0, size, size)
    simple = block(order, 3, struct.pack(f"{order}I", size) + _FRAME)
    return head + links + block(order, 6, told + _FRAME) + simple


@st.composite
def odd_blocks(draw: st.DrawFn) -> bytes:
    """Blocks with arbitrary sizes, interfaces and lengths."""
    order = draw(st.sampled_from("<>"))
    out = blocks(order)
    for _ in range(draw(st.integers(1, 4))):
        kind = draw(st.sampled_from((0x0A0D0D0A, 1, 3, 6, 5, 0, 0xFFFFFFFF)))
        words = draw(st.lists(numbers, max_size=7))
        body = b"".join(struct.pack(f"{order}I", word) for word in words) + draw(st.binary())
        out += block(order, kind, body, draw(st.none() | numbers))
    return out


def _read(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    skipped = Skipped()
    for packet in packets(path, skipped):
        summary(packet.frame)
        service(packet.frame)
        source_of(packet.frame)
        assert len(packet.frame) <= len(data) + 14


@pytest.mark.parametrize("order", "<>")
def test_a_sound_recording_is_read(tmp_path: Path, order: str) -> None:
    for data, count in ((classic(order), 3), (blocks(order), 2)):
        (tmp_path / "x").write_bytes(data)
        assert len(list(packets(tmp_path / "x", Skipped()))) == count


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("link", [1, 101, 113, 276, 12, 0xFFFFFFFF])
def test_a_pcap_is_read_or_refused(tmp_path: Path, order: str, link: int) -> None:
    fuzz(damaged([classic(order, link)]), lambda data: _read(tmp_path / "x", data))


def test_a_pcap_of_any_lengths_is_read_or_refused(tmp_path: Path) -> None:
    def call(given: tuple[list[tuple[int, int]], bytes]) -> None:
        records, data = given
        told = b"".join(struct.pack("<IIII", 0, 0, held, size) + data for held, size in records)
        _read(tmp_path / "x", classic("<") + told)

    fuzz(st.tuples(st.lists(st.tuples(numbers, numbers), max_size=4), st.binary()), call)


def test_a_pcapng_is_read_or_refused(tmp_path: Path) -> None:
    seeds = damaged([blocks("<"), blocks(">"), blocks("<") + blocks(">")])
    fuzz(seeds | odd_blocks() | st.binary(), lambda data: _read(tmp_path / "x", data))


def test_a_frame_is_described_whatever_is_in_it() -> None:
    def call(frame: bytes) -> None:
        assert len(summary(frame)) < 200
        assert len(service(frame)) < 200
        source = source_of(frame)
        assert source is None or str(source)

    fuzz(damaged([_FRAME, _FRAME6, _TAGGED, _TAGGED[:20]]) | st.binary(), call)


def test_a_frame_is_built_or_refused() -> None:
    """Ports, types and flags have their valid width, as callers check."""
    four, six = Prefix(bytes(4), 32), Prefix(bytes(16), 128)
    ends = st.sampled_from((four, six))
    ports, bytes_ = st.integers(0, 65535), st.integers(0, 255)
    sizes = st.none() | st.integers(-5, 70_000)

    def call(given: tuple[Prefix, Prefix, int, int, int, int | None]) -> None:
        source, destination, protocol, port, kind, size = given
        frame = build(source, destination, protocol, port, port, icmp_type=kind, packet_length=size)
        assert source_of(frame) == source

    fuzz(st.tuples(ends, ends, bytes_, ports, bytes_, sizes), call)


def test_a_protocol_is_a_number_or_refused() -> None:
    odd = st.sampled_from(("²", "٣", "9" * 5000, "tcp", "TCP", "", "256", "00", "-1"))
    fuzz(odd | st.text(max_size=9), protocol_number)
