# SPDX-License-Identifier: GPL-2.0-or-later
"""pcap and pcapng files: byte orders, resolutions, link types of each interface, damaged files."""

import struct
from pathlib import Path

import pytest

from xdpctl.base.net.pcap_reader import ETHERNET, RAW, Packet, Skipped, packets
from xdpctl.errors import RecordingError

FRAME = bytes(12) + b"\x08\x00" + b"\x45" + bytes(45)


def read(path: Path, data: bytes) -> tuple[list[Packet], Skipped]:
    path.write_bytes(data)
    skipped = Skipped()
    return list(packets(path, skipped)), skipped


def classic(order: str, magic: int, link: int, records: list[tuple[bytes, int]]) -> bytes:
    out = struct.pack(f"{order}IHHiIII", magic, 2, 4, 0, 0, 65535, link)
    for data, length in records:
        out += struct.pack(f"{order}IIII", 1, 2, len(data), length) + data
    return out


def block(order: str, kind: int, body: bytes) -> bytes:
    body += bytes(-len(body) % 4)
    size = struct.pack(f"{order}I", 12 + len(body))
    return struct.pack(f"{order}I", kind) + size + body + size


def section(order: str) -> bytes:
    return block(order, 0x0A0D0D0A, struct.pack(f"{order}IHHq", 0x1A2B3C4D, 1, 0, -1))


def interface(order: str, link: int) -> bytes:
    return block(order, 1, struct.pack(f"{order}HHI", link, 0, 0))


def enhanced(order: str, number: int, data: bytes, length: int) -> bytes:
    head = struct.pack(f"{order}IIIII", number, 0, 0, len(data), length)
    return block(order, 6, head + data)


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("magic", [0xA1B2C3D4, 0xA1B23C4D])
def test_pcap_of_either_byte_order_and_resolution(tmp_path: Path, order: str, magic: int) -> None:
    data = classic(order, magic, ETHERNET, [(FRAME, len(FRAME)), (FRAME[:30], 1500)])
    found, skipped = read(tmp_path / "x", data)
    unix_ns = 1_000_000_002 if magic == 0xA1B23C4D else 1_000_002_000
    assert found == [Packet(FRAME, len(FRAME), unix_ns), Packet(FRAME[:30], 1500, unix_ns)]
    assert skipped == Skipped(cut=1)


@pytest.mark.parametrize("order", "<>")
def test_pcapng_with_an_interface_of_each_kind_and_a_second_section(
    tmp_path: Path, order: str
) -> None:
    other = {"<": ">", ">": "<"}[order]
    data = section(order) + interface(order, ETHERNET) + interface(order, RAW)
    data += enhanced(order, 0, FRAME, 60) + block(order, 5, bytes(8))
    data += enhanced(order, 1, FRAME[14:], 46)
    data += block(order, 3, struct.pack(f"{order}I", 20) + FRAME[:20])
    data += section(other) + interface(other, RAW) + enhanced(other, 0, b"\x60" + bytes(39), 40)
    found, skipped = read(tmp_path / "x", data)
    assert found[:2] == [Packet(FRAME, 60), Packet(FRAME, 60)]
    assert found[2] == Packet(FRAME[:20], 20)
    assert found[3].frame[12:15] == b"\x86\xdd\x60"
    assert skipped == Skipped()


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize(
    ("options", "unix_ns"),
    [
        ([], 7_000_000_123_000),  # microseconds, where nothing is said
        ([(9, b"\x09")], 7_000_000_123),
        ([(9, b"\x03")], 7_000_000_123_000_000),
        ([(9, b"\x94")], 7_000_000_123 * 10**9 >> 20),  # of 2^-20 s
        ([(2, b"eth0"), (9, b"\x09"), (14, 5)], 12_000_000_123),
        ([(14, -7), (9, b"\x09")], 123),
        ([(14, -9), (9, b"\x09")], 0),  # before 1970
        ([(9, b"\x7f")], 0),
        ([(0, b""), (9, b"\x09")], 7_000_000_123_000),  # after the end
        ([(9, b"\x09\x09")], 7_000_000_123_000),  # of a wrong size
    ],
)
def test_times_are_in_the_units_of_their_interface(
    tmp_path: Path, order: str, options: list[tuple[int, bytes | int]], unix_ns: int
) -> None:
    body = struct.pack(f"{order}HHI", ETHERNET, 0, 0)
    for code, value in options:
        data = struct.pack(f"{order}q", value) if isinstance(value, int) else value
        body += struct.pack(f"{order}HH", code, len(data)) + data + bytes(-len(data) % 4)
    count = 7_000_000_123
    head = struct.pack(f"{order}IIIII", 0, count >> 32, count & 0xFFFFFFFF, len(FRAME), 60)
    data = section(order) + block(order, 1, body) + block(order, 6, head + FRAME)
    simple = block(order, 3, struct.pack(f"{order}I", len(FRAME)) + FRAME)
    found, _ = read(tmp_path / "x", data + simple)
    assert [packet.unix_ns for packet in found] == [unix_ns, 0]


def test_frames_without_ip_are_counted_and_left_out(tmp_path: Path) -> None:
    found, skipped = read(tmp_path / "x", classic("<", 0xA1B2C3D4, RAW, [(b"", 0), (b"\x90", 1)]))
    assert not found
    assert skipped.links == 2


@pytest.mark.parametrize("end", [1, 10, 17, 40])
def test_the_whole_packets_of_a_truncated_file_are_read(tmp_path: Path, end: int) -> None:
    whole = classic("<", 0xA1B2C3D4, ETHERNET, [(FRAME, 60)] * 2)
    found, skipped = read(tmp_path / "x", whole[:-end])
    assert len(found) == 1
    assert skipped.tail


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xd4\xc3",
        b"root:x:0:0:root:/root:/bin/bash\n" * 4,
        struct.pack("<I", 0xA1B2C3D4) + bytes(8),
        classic("<", 0xA1B2C3D4, ETHERNET, []) + struct.pack("<IIII", 0, 0, 1 << 31, 60),
        section("<") + struct.pack("<II", 6, 13) + bytes(20),
        section("<") + enhanced("<", 0, FRAME, 60),
    ],
)
def test_damaged_files_and_other_formats_are_refused(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(RecordingError, match=r"x (is|ends)"):
        read(tmp_path / "x", data)


def test_a_missing_file_is_reported(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="No such file"):
        list(packets(tmp_path / "none", Skipped()))
