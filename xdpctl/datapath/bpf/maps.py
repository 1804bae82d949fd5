# SPDX-License-Identifier: GPL-2.0-or-later
"""Maps and pins, by the bpf(2) system call; programs.py has the calls for programs."""

import ctypes
import errno
import mmap
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from threading import Lock

from xdpctl.datapath.bpf.syscall import OBJ_GET_INFO_BY_FD, address_of, bpf, call

_MMAPABLE = 1 << 10
MAP_CREATE, MAP_LOOKUP, MAP_UPDATE, MAP_DELETE = 0, 1, 2, 3
OBJ_PIN, OBJ_GET = 6, 7
_GET_FD_BY_ID = 14
MAP_LOOKUP_BATCH, MAP_UPDATE_BATCH, MAP_DELETE_BATCH = 24, 26, 27

HASH, ARRAY, PROGRAM_ARRAY, PERCPU_ARRAY, LPM_TRIE, RINGBUF = 1, 2, 3, 6, 11, 27

_BATCH = 1024
_STOPPED_SHORT = (errno.E2BIG, errno.ENOSPC, errno.ENOENT)  # a part was done: see the count


def _slices(data: bytes, size: int, count: int) -> list[bytes]:
    return [data[i * size : (i + 1) * size] for i in range(count)]


def _possible_cpus() -> int:
    text = Path("/sys/devices/system/cpu/possible").read_text().strip()
    return int(text.replace(",", "-").rsplit("-", 1)[-1]) + 1


@dataclass(frozen=True, slots=True)
class MapShape:
    """A map's type, sizes and flags; a pinned map is reused only if all of these are equal."""

    type: int
    key_size: int
    value_size: int
    max_entries: int
    flags: int


class Map:
    """A map, accessed through its file descriptor; keys and values are bytes."""

    def __init__(self, fd: int, name: str, shape: MapShape) -> None:
        self.fd = fd
        self.name = name
        self.shape = shape
        self._step = (shape.value_size + 7) // 8 * 8  # from one value of an array to the next
        per_cpu = shape.type == PERCPU_ARRAY
        self.value_bytes = self._step * _possible_cpus() if per_cpu else shape.value_size
        self._lock = Lock()
        self._key = ctypes.create_string_buffer(shape.key_size)
        self._delete_attr = struct.pack("<I4xQ", fd, address_of(self._key))

    @cached_property
    def _value(self) -> "ctypes.Array[ctypes.c_char]":
        """A buffer for a value, made at the first use: most maps need none, and it may be 4 MiB."""
        return ctypes.create_string_buffer(self.value_bytes)

    @cached_property
    def _attr(self) -> bytes:
        return struct.pack("<I4xQQQ", self.fd, address_of(self._key), address_of(self._value), 0)

    def get(self, key: bytes) -> bytes | None:
        """The value of a key, or None; for a per-CPU map the values of all CPUs, 8-byte aligned."""
        with self._lock:
            self._key.raw = key
            try:
                bpf(MAP_LOOKUP, self._attr, f"look up in {self.name}")
            except FileNotFoundError:
                return None
            return self._value.raw

    def put(self, key: bytes, value: bytes) -> None:
        """Insert or replace an entry; OSError with E2BIG or ENOSPC if the map is full."""
        with self._lock:
            self._key.raw, self._value.raw = key, value
            bpf(MAP_UPDATE, self._attr, f"update {self.name}")

    def delete(self, key: bytes) -> bool:
        """Delete a key; return whether it was there."""
        with self._lock:
            self._key.raw = key
            try:
                bpf(MAP_DELETE, self._delete_attr, f"delete from {self.name}")  # noqa: S608  # no SQL
            except FileNotFoundError:
                return False
            return True

    def put_many(self, keys: bytes, values: bytes, count: int) -> int:
        """Put `count` entries in one call; return how many were put before one did not fit."""
        return self._batch(MAP_UPDATE_BATCH, keys, values, count)

    def delete_many(self, keys: bytes, count: int) -> int:
        """Delete `count` keys in one call; return how many were deleted before one was missing."""
        return self._batch(MAP_DELETE_BATCH, keys, b"", count)

    def _batch(self, command: int, keys: bytes, values: bytes, count: int) -> int:
        key_buffer = ctypes.create_string_buffer(keys, len(keys))
        value_buffer = ctypes.create_string_buffer(values, max(len(values), 1))
        attr = struct.pack(
            "<QQQQIIQQ",
            *(0, 0, address_of(key_buffer), address_of(value_buffer)),
            *(count, self.fd, 0, 0),
        )
        _, code, answer = call(command, attr)
        if code and code not in _STOPPED_SHORT:
            raise OSError(code, f"write {count} entries of {self.name}: {os.strerror(code)}")
        return int(struct.unpack_from("<I", answer, 32)[0])

    def batches(self) -> Iterator[list[tuple[bytes, bytes]]]:
        """All entries, in batches; entries added or deleted meanwhile may be missed."""
        cursor = ctypes.create_string_buffer(max(self.shape.key_size, 8))
        count = min(_BATCH, max(self.shape.max_entries, 16))
        keys = ctypes.create_string_buffer(self.shape.key_size * count)
        values = ctypes.create_string_buffer(self.value_bytes * count)
        start, last = 0, False
        while not last:
            attr = struct.pack(
                "<QQQQIIQQ",
                *(start, address_of(cursor), address_of(keys), address_of(values)),
                *(count, self.fd, 0, 0),
            )
            received, last = self._lookup_batch(attr)
            yield list(
                zip(
                    _slices(keys.raw, self.shape.key_size, received),
                    _slices(values.raw, self.value_bytes, received),
                    strict=True,
                )
            )
            start = address_of(cursor)

    def values(self, first: int, count: int) -> bytes:
        """The values of an array from index `first` on, in one call; per CPU as `get` has them."""
        before = struct.pack("<I", (first - 1) % (1 << 32))
        start, cursor = (ctypes.create_string_buffer(before, 8) for _ in range(2))
        keys = ctypes.create_string_buffer(self.shape.key_size * count)
        values = ctypes.create_string_buffer(self.value_bytes * count)
        attr = struct.pack(
            "<QQQQIIQQ",
            *(address_of(start), address_of(cursor), address_of(keys), address_of(values)),
            *(count, self.fd, 0, 0),
        )
        self._lookup_batch(attr)
        return values.raw

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        """All entries; see `batches`."""
        for batch in self.batches():
            yield from batch

    def _lookup_batch(self, attr: bytes) -> tuple[int, bool]:
        _, code, answer = call(MAP_LOOKUP_BATCH, attr)
        if code not in (0, errno.ENOENT):
            raise OSError(code, f"read {self.name}: {os.strerror(code)}")
        return struct.unpack_from("<I", answer, 32)[0], code == errno.ENOENT

    @property
    def mappable(self) -> bool:
        """Whether the map can be mapped into memory (BPF_F_MMAPABLE)."""
        return bool(self.shape.flags & _MMAPABLE)

    def memory(self) -> memoryview:
        """Map an array's values into memory, writable (BPF_F_MMAPABLE)."""
        size = self.shape.max_entries * self._step
        whole = (size + mmap.PAGESIZE - 1) // mmap.PAGESIZE * mmap.PAGESIZE
        return memoryview(mmap.mmap(self.fd, whole))[:size]

    def memory_bytes(self) -> int:
        """Kernel memory in bytes, as the kernel accounts it.

        Kernels before 6.4 do not account ring buffers; for these, the size of the ring.
        """
        text = Path(f"/proc/self/fdinfo/{self.fd}").read_text()
        accounted = int(next(x.split()[1] for x in text.splitlines() if x.startswith("memlock:")))
        return accounted or (self.shape.max_entries if self.shape.type == RINGBUF else 0)

    def close(self) -> None:
        os.close(self.fd)


def create_map(name: str, shape: MapShape) -> Map:
    """Create a map; OSError with EPERM without CAP_BPF, E2BIG or ENOMEM if it is too large."""
    attr = struct.pack(
        "<IIIIIII16s",
        *(shape.type, shape.key_size, shape.value_size, shape.max_entries, shape.flags),
        *(0, 0, name.encode()[:15]),
    )
    fd, _ = bpf(MAP_CREATE, attr, f"create map {name}")
    return Map(fd, name, shape)


def pin(fd: int, path: Path) -> None:
    """Pin a map or program at a path on a bpffs, so that it outlives this process."""
    text = ctypes.create_string_buffer(os.fsencode(path))
    bpf(OBJ_PIN, struct.pack("<QI", address_of(text), fd), f"pin {path}")


def open_pin(path: Path) -> int:
    """Open the map or program that is pinned at `path`; its descriptor."""
    text = ctypes.create_string_buffer(os.fsencode(path))
    return bpf(OBJ_GET, struct.pack("<QI", address_of(text), 0), f"open {path}")[0]


def open_map(path: Path) -> Map:
    """Open a pinned map, with the shape that the kernel reports."""
    fd = open_pin(path)
    return Map(fd, path.name, map_shape(fd))


def open_map_by_id(identity: int) -> Map:
    """Open a map by its id, which needs root."""
    fd, _ = bpf(_GET_FD_BY_ID, struct.pack("<II", identity, 0), f"open map {identity}")
    name = _info(fd, 88, "map")[24:40].split(b"\0")[0].decode(errors="replace")
    return Map(fd, name, map_shape(fd))


def _info(fd: int, size: int, what: str) -> bytes:
    buffer = ctypes.create_string_buffer(size)
    attr = struct.pack("<IIQ", fd, size, address_of(buffer))
    bpf(OBJ_GET_INFO_BY_FD, attr, f"read {what} info")
    return buffer.raw


def map_shape(fd: int) -> MapShape:
    """The shape of an open map, as the kernel reports it."""
    kind, _, key, value, entries, flags = struct.unpack_from("<6I", _info(fd, 88, "map"))
    return MapShape(kind, key, value, entries, flags)


def map_id(fd: int) -> int:
    """The kernel's id of an open map."""
    return int(struct.unpack_from("<I", _info(fd, 88, "map"), 4)[0])


def map_id_at(path: Path) -> int:
    """The kernel's id of the map that is pinned at `path`."""
    fd = open_pin(path)
    try:
        return map_id(fd)
    finally:
        os.close(fd)
