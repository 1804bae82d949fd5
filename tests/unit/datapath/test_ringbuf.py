# SPDX-License-Identifier: GPL-2.0-or-later
"""A ring buffer's memory as the kernel writes it, in a plain file."""

import mmap
import os
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from xdpctl.datapath.bpf.ringbuf import Ring

SIZE = mmap.PAGESIZE
BUSY, DISCARD = 1 << 31, 1 << 30


class Image:
    """Consumer page, producer page, and the data twice, as the kernel maps it."""

    def __init__(self, path: Path) -> None:
        path.write_bytes(bytes(2 * mmap.PAGESIZE + 2 * SIZE))
        self.fd = os.open(path, os.O_RDWR)
        self._file = mmap.mmap(self.fd, 0)
        self.produced = 0

    def _word(self, page: int) -> memoryview:
        return memoryview(self._file)[page * mmap.PAGESIZE :][:8].cast("Q")

    @property
    def consumed(self) -> int:
        return self._word(0)[0]

    def skip(self, position: int) -> None:
        """Advance the buffer as if this much had been written and read."""
        self._word(0)[0] = self.produced = position

    def put(self, data: bytes, flags: int = 0) -> int:
        """Write a record; return its position."""
        at = self.produced
        record = struct.pack("<II", len(data) | flags, 0) + data
        for number, byte in enumerate(record):
            place = (at + number) % SIZE
            self._file[2 * mmap.PAGESIZE + place] = byte
            self._file[2 * mmap.PAGESIZE + SIZE + place] = byte
        self.produced += (len(record) + 7) // 8 * 8
        self._word(1)[0] = self.produced
        return at

    def finish(self, at: int, length: int, flags: int = 0) -> None:
        """Mark the record at this position as no longer busy."""
        place = 2 * mmap.PAGESIZE + at % SIZE
        for base in (place, place + SIZE):
            self._file[base : base + 4] = struct.pack("<I", length | flags)


@pytest.fixture
def image(tmp_path: Path) -> Iterator[Image]:
    made = Image(tmp_path / "ring")
    yield made
    os.close(made.fd)


def test_records_come_oldest_first_and_only_once(image: Image) -> None:
    ring = Ring(image.fd, SIZE)
    assert list(ring.read()) == []
    for text in (b"one", b"", b"twenty-three"):
        image.put(text)
    assert list(ring.read()) == [b"one", b"", b"twenty-three"]
    assert image.consumed == image.produced
    assert list(ring.read()) == []
    image.put(b"more")
    assert list(ring.read()) == [b"more"]


def test_a_record_across_the_end_of_the_buffer_is_whole(image: Image) -> None:
    ring = Ring(image.fd, SIZE)
    image.skip(3 * SIZE - 16)
    text = bytes(range(24))
    image.put(text)
    image.put(b"next")
    assert list(ring.read()) == [text, b"next"]
    assert image.consumed == 3 * SIZE - 16 + 32 + 16


def test_a_busy_record_delays_those_after_it(image: Image) -> None:
    ring = Ring(image.fd, SIZE)
    image.put(b"one")
    at = image.put(b"two", BUSY)
    image.put(b"three")
    assert list(ring.read()) == [b"one"]
    assert image.consumed == at
    image.finish(at, 3)
    assert list(ring.read()) == [b"two", b"three"]


def test_a_discarded_record_is_skipped(image: Image) -> None:
    ring = Ring(image.fd, SIZE)
    image.put(b"no", DISCARD)
    at = image.put(b"perhaps", BUSY)
    image.put(b"yes")
    image.finish(at, 7, DISCARD)
    assert list(ring.read()) == [b"yes"]
    assert image.consumed == image.produced


def test_unread_records_come_again(image: Image) -> None:
    ring = Ring(image.fd, SIZE)
    image.put(b"one")
    image.put(b"two")
    assert next(ring.read()) == b"one"
    assert list(ring.read()) == [b"one", b"two"]


def test_reading_continues_through_many_rounds(image: Image) -> None:
    ring = Ring(image.fd, SIZE)
    for number in range(1000):
        text = b"x" * (number % 61)
        image.put(text)
        assert list(ring.read()) == [text]
    assert image.consumed > 5 * SIZE
