"""The bpf(2) system call, as far as we need it: maps, pins, programs, test runs.

Commands, structures and errors: include/uapi/linux/bpf.h and bpf(2). Every failure is the
OSError of its errno, saying what was tried; adapters turn it into our own errors.
"""

import ctypes
import errno
import os
import platform
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

_NUMBERS = {"x86_64": 321, "s390x": 351, "ppc64le": 361}
_NUMBER = _NUMBERS.get(platform.machine(), 280)  # 280: aarch64, riscv64 and every later port
_ATTR_BYTES = 144
_libc = ctypes.CDLL(None, use_errno=True)

MAP_CREATE, MAP_LOOKUP, MAP_UPDATE, MAP_DELETE = 0, 1, 2, 3
PROG_LOAD, OBJ_PIN, OBJ_GET, PROG_TEST_RUN = 5, 6, 7, 10
PROG_GET_FD_BY_ID, OBJ_GET_INFO_BY_FD = 13, 15
MAP_LOOKUP_BATCH, MAP_UPDATE_BATCH, MAP_DELETE_BATCH = 24, 26, 27

HASH, ARRAY, PERCPU_ARRAY, LPM_TRIE = 1, 2, 6, 11
PROG_TYPE_XDP = 6
F_XDP_HAS_FRAGS = 1 << 5
F_TEST_XDP_LIVE_FRAMES = 1 << 1

_BATCH = 1024
_STOPPED_SHORT = (errno.E2BIG, errno.ENOSPC, errno.ENOENT)  # the count tells how far it came
_LOG_BYTES = 1 << 20


def _call(command: int, attr: bytes) -> tuple[int, int, bytes]:
    """The result, the errno, and the attributes as the kernel left them."""
    buffer = ctypes.create_string_buffer(attr.ljust(_ATTR_BYTES, b"\0"), _ATTR_BYTES)
    result = _libc.syscall(_NUMBER, command, buffer, _ATTR_BYTES)
    return result, ctypes.get_errno() if result < 0 else 0, buffer.raw


def _bpf(command: int, attr: bytes, tried: str) -> tuple[int, bytes]:
    result, code, answer = _call(command, attr)
    if code:
        raise OSError(code, f"{tried}: {os.strerror(code)}")
    return result, answer


def _address(buffer: "ctypes.Array[ctypes.c_char]") -> int:
    return ctypes.addressof(buffer)


def _slices(data: bytes, size: int, count: int) -> list[bytes]:
    return [data[i * size : (i + 1) * size] for i in range(count)]


def _possible_cpus() -> int:
    text = Path("/sys/devices/system/cpu/possible").read_text().strip()
    return int(text.replace(",", "-").rsplit("-", 1)[-1]) + 1


@dataclass(frozen=True, slots=True)
class MapShape:
    """What must be equal for a pinned map to be ours."""

    type: int
    key_size: int
    value_size: int
    max_entries: int
    flags: int


class Map:
    """A map by its file descriptor; keys and values are bytes."""

    def __init__(self, fd: int, name: str, shape: MapShape) -> None:
        self.fd = fd
        self.name = name
        self.shape = shape
        per_cpu = shape.type == PERCPU_ARRAY
        self.value_bytes = (
            (shape.value_size + 7) // 8 * 8 * _possible_cpus() if per_cpu else shape.value_size
        )
        self._lock = Lock()
        self._key = ctypes.create_string_buffer(shape.key_size)
        self._value = ctypes.create_string_buffer(self.value_bytes)
        self._attr = struct.pack("<I4xQQQ", fd, _address(self._key), _address(self._value), 0)
        self._delete_attr = struct.pack("<I4xQ", fd, _address(self._key))

    def get(self, key: bytes) -> bytes | None:
        """The value (of a per-CPU map: all CPUs' values, 8-byte aligned), or None."""
        with self._lock:
            self._key.raw = key
            try:
                _bpf(MAP_LOOKUP, self._attr, f"look up in {self.name}")
            except FileNotFoundError:
                return None
            return self._value.raw

    def put(self, key: bytes, value: bytes) -> None:
        """Insert or replace; E2BIG or ENOSPC when full."""
        with self._lock:
            self._key.raw, self._value.raw = key, value
            _bpf(MAP_UPDATE, self._attr, f"update {self.name}")

    def delete(self, key: bytes) -> bool:
        """Whether the key was there."""
        with self._lock:
            self._key.raw = key
            try:
                _bpf(MAP_DELETE, self._delete_attr, f"delete from {self.name}")
            except FileNotFoundError:
                return False
            return True

    def put_many(self, keys: bytes, values: bytes, count: int) -> int:
        """One batch; how many were put before the first that did not fit."""
        return self._batch(MAP_UPDATE_BATCH, keys, values, count)

    def delete_many(self, keys: bytes, count: int) -> int:
        """One batch; how many were deleted before the first that was not there."""
        return self._batch(MAP_DELETE_BATCH, keys, b"", count)

    def _batch(self, command: int, keys: bytes, values: bytes, count: int) -> int:
        key_buffer = ctypes.create_string_buffer(keys, len(keys))
        value_buffer = ctypes.create_string_buffer(values, max(len(values), 1))
        attr = struct.pack(
            "<QQQQIIQQ",
            *(0, 0, _address(key_buffer), _address(value_buffer)),
            *(count, self.fd, 0, 0),
        )
        _, code, answer = _call(command, attr)
        if code and code not in _STOPPED_SHORT:
            raise OSError(code, f"write {count} entries of {self.name}: {os.strerror(code)}")
        return int(struct.unpack_from("<I", answer, 32)[0])

    def batches(self) -> Iterator[list[tuple[bytes, bytes]]]:
        """Every entry, a batch at a time; what comes or goes meanwhile may not be seen."""
        cursor = ctypes.create_string_buffer(max(self.shape.key_size, 8))
        count = min(_BATCH, max(self.shape.max_entries, 16))
        keys = ctypes.create_string_buffer(self.shape.key_size * count)
        values = ctypes.create_string_buffer(self.value_bytes * count)
        start, last = 0, False
        while not last:
            attr = struct.pack(
                "<QQQQIIQQ",
                *(start, _address(cursor), _address(keys), _address(values)),
                *(count, self.fd, 0, 0),
            )
            got, last = self._lookup_batch(attr)
            yield list(
                zip(
                    _slices(keys.raw, self.shape.key_size, got),
                    _slices(values.raw, self.value_bytes, got),
                    strict=True,
                )
            )
            start = _address(cursor)

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        """Every entry."""
        for batch in self.batches():
            yield from batch

    def _lookup_batch(self, attr: bytes) -> tuple[int, bool]:
        _, code, answer = _call(MAP_LOOKUP_BATCH, attr)
        if code not in (0, errno.ENOENT):
            raise OSError(code, f"read {self.name}: {os.strerror(code)}")
        return struct.unpack_from("<I", answer, 32)[0], code == errno.ENOENT

    def close(self) -> None:
        os.close(self.fd)


def create_map(name: str, shape: MapShape) -> Map:
    """A new map; EPERM without CAP_BPF, E2BIG or ENOMEM beyond what the kernel gives."""
    attr = struct.pack(
        "<IIIIIII16s",
        *(shape.type, shape.key_size, shape.value_size, shape.max_entries, shape.flags),
        *(0, 0, name.encode()[:15]),
    )
    fd, _ = _bpf(MAP_CREATE, attr, f"create map {name}")
    return Map(fd, name, shape)


def pin(fd: int, path: Path) -> None:
    """Make a map or program outlive us under a bpffs path."""
    text = ctypes.create_string_buffer(os.fsencode(path))
    _bpf(OBJ_PIN, struct.pack("<QI", _address(text), fd), f"pin {path}")


def open_pin(path: Path) -> int:
    """The descriptor of what is pinned at `path`."""
    text = ctypes.create_string_buffer(os.fsencode(path))
    return _bpf(OBJ_GET, struct.pack("<QI", _address(text), 0), f"open {path}")[0]


def open_map(path: Path) -> Map:
    """A pinned map with the shape the kernel reports."""
    fd = open_pin(path)
    return Map(fd, path.name, map_shape(fd))


def _info(fd: int, size: int, what: str) -> bytes:
    buffer = ctypes.create_string_buffer(size)
    attr = struct.pack("<IIQ", fd, size, _address(buffer))
    _bpf(OBJ_GET_INFO_BY_FD, attr, f"read {what} info")
    return buffer.raw


def map_shape(fd: int) -> MapShape:
    kind, _, key, value, entries, flags = struct.unpack_from("<6I", _info(fd, 88, "map"))
    return MapShape(kind, key, value, entries, flags)


def map_id(fd: int) -> int:
    return int(struct.unpack_from("<I", _info(fd, 88, "map"), 4)[0])


@dataclass(frozen=True, slots=True)
class ProgramInfo:
    """What tells one loaded program from another."""

    id: int
    tag: str
    name: str
    map_ids: tuple[int, ...]


def program_info(fd: int) -> ProgramInfo:
    """Name, tag and the ids of the maps it uses (struct bpf_prog_info)."""
    ids = ctypes.create_string_buffer(4 * 64)
    info = bytearray(232)
    struct.pack_into("<IQ", info, 52, 64, 0)
    struct.pack_into("<Q", info, 56, _address(ids))
    buffer = ctypes.create_string_buffer(bytes(info), len(info))
    attr = struct.pack("<IIQ", fd, len(info), _address(buffer))
    _bpf(OBJ_GET_INFO_BY_FD, attr, "read program info")
    raw = buffer.raw
    (identity,) = struct.unpack_from("<I", raw, 4)
    (count,) = struct.unpack_from("<I", raw, 52)
    name = raw[64:80].split(b"\0")[0].decode(errors="replace")
    return ProgramInfo(
        identity, raw[8:16].hex(), name, struct.unpack_from(f"<{min(count, 64)}I", ids.raw)
    )


def open_program(identity: int) -> int:
    """The descriptor of a program by its id; root only."""
    return _bpf(PROG_GET_FD_BY_ID, struct.pack("<II", identity, 0), f"open program {identity}")[0]


def load_program(name: str, instructions: bytes, flags: int = F_XDP_HAS_FRAGS) -> int:
    """Verify and load an XDP program; the error carries the end of the verifier's log."""
    code = ctypes.create_string_buffer(instructions, len(instructions))
    licence = ctypes.create_string_buffer(b"GPL")
    log = ctypes.create_string_buffer(_LOG_BYTES)

    def attempt(level: int) -> int:
        attr = struct.pack(
            "<IIQQIIQII16sI",
            *(PROG_TYPE_XDP, len(instructions) // 8, _address(code), _address(licence)),
            *(level, _LOG_BYTES if level else 0, _address(log) if level else 0),
            *(0, flags, name.encode()[:15], 0),
        )
        return _bpf(PROG_LOAD, attr, f"load program {name}")[0]

    try:
        return attempt(0)
    except OSError:
        try:
            return attempt(1)
        except OSError as error:
            tail = "\n".join(log.value.decode(errors="replace").splitlines()[-12:])
            raise OSError(error.errno, f"{error.strerror}\n{tail}") from None


@dataclass(frozen=True, slots=True)
class RunResult:
    """What BPF_PROG_TEST_RUN answered; `duration_ns` is per repeat."""

    value: int
    duration_ns: int
    frame: bytes


def run_program(
    fd: int, frame: bytes, repeat: int = 1, flags: int = 0, ifindex: int = 0, batch: int = 0
) -> RunResult:
    """Run a program on a frame (at least 14 bytes). `ifindex` needs that device here."""
    given = ctypes.create_string_buffer(frame, len(frame))
    live = bool(flags & F_TEST_XDP_LIVE_FRAMES)
    room = 0 if live else len(frame) + 256
    back = ctypes.create_string_buffer(max(room, 1))
    # struct xdp_md: data, data_end, data_meta, ingress_ifindex, rx_queue_index, egress_ifindex
    context = ctypes.create_string_buffer(struct.pack("<6I", 0, len(frame), 0, ifindex, 0, 0), 24)
    attr = struct.pack(
        "<IIIIQQIIIIQQIII",
        *(fd, 0, len(frame), room, _address(given), 0 if live else _address(back)),
        *(repeat, 0, 24 if ifindex else 0, 0, _address(context) if ifindex else 0, 0),
        *(flags, 0, batch),
    )
    _, out = _bpf(PROG_TEST_RUN, attr, "run program")
    value, _, size = struct.unpack_from("<3I", out, 4)
    (duration,) = struct.unpack_from("<I", out, 36)
    return RunResult(value, duration, back.raw[: min(size, room)])
