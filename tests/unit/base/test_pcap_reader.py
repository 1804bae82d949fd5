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
    assert found == [Packet(FRAME, len(FRAME)), Packet(FRAME[:30], 1500)]
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


def test_what_is_no_ip_of_its_link_is_counted_and_left_out(tmp_path: Path) -> None:
    found, skipped = read(tmp_path / "x", classic("<", 0xA1B2C3D4, RAW, [(b"", 0), (b"\x90", 1)]))
    assert not found
    assert skipped.links == 2


@pytest.mark.parametrize("end", [1, 10, 17, 40])
def test_a_file_that_was_cut_off_keeps_what_is_whole(tmp_path: Path, end: int) -> None:
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
def test_what_is_no_recording_or_a_damaged_one_is_refused(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(RecordingError, match=r"x (is|ends)"):
        read(tmp_path / "x", data)


def test_no_such_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="No such file"):
        list(packets(tmp_path / "none", Skipped()))
