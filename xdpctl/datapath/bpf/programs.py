# SPDX-License-Identifier: GPL-2.0-or-later
"""The bpf(2) system call for programs: information, loading, attaching (tcx), running one."""

import ctypes
import errno
import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from xdpctl.datapath.bpf.syscall import (
    ATTR_BYTES,
    NUMBER,
    OBJ_GET_INFO_BY_FD,
    address_of,
    bpf,
    libc,
)

PROG_LOAD, PROG_TEST_RUN, PROG_GET_FD_BY_ID = 5, 10, 13
XDP, SCHED_CLS = 6, 3  # types of programs
F_XDP_HAS_FRAGS = 1 << 5
F_TEST_XDP_LIVE_FRAMES = 1 << 1
_LOGS_BYTES = (1 << 20, 1 << 26)  # of the verifier's log: at first, and if its end is not there
_LOG_ENDS = b"\nprocessed "  # how its last line begins
_LOG_LINES, _LOG_TAIL = 12, 1 << 14  # what an error has of it: lines, bytes
_VERIFIED = 216  # offset of verified_insns in struct bpf_prog_info
_SIGNALS = 10  # attempts that a signal may interrupt before load() fails
FRAME_MAX = 3000  # bytes; a page, less the headroom and tailroom that the kernel reserves
FRAME_MIN = 14
_SK_BUFF = 192  # bytes of struct __sk_buff
_SK_BUFF_FIELDS = {"ingress_ifindex": 36, "ifindex": 40, "gso_segs": 164, "gso_size": 176}
_ATTACH, _DETACH, _QUERY = 8, 9, 16
_EGRESS = 47  # BPF_TCX_EGRESS
_REPLACE, _BEFORE = 1 << 2, 1 << 3
_MOST = 64  # programs of an interface, as in the kernel


class Kin(NamedTuple):
    """What programs must have in common to tail-call each other, beside their type.

    `flags` are those of loading that count (since Linux 5.18), `attach_type` since Linux 6.18.
    """

    flags: int = F_XDP_HAS_FRAGS
    attach_type: int = 0


@dataclass(frozen=True, slots=True)
class ProgramInfo:
    """The identity of a loaded program, and the ids of its maps."""

    id: int
    tag: str
    name: str
    map_ids: tuple[int, ...]


def info(fd: int) -> ProgramInfo:
    """The id, tag, name and map ids of a loaded program (struct bpf_prog_info)."""
    ids = ctypes.create_string_buffer(4 * 64)
    request = bytearray(232)
    struct.pack_into("<IQ", request, 52, 64, address_of(ids))
    buffer = ctypes.create_string_buffer(bytes(request), len(request))
    attr = struct.pack("<IIQ", fd, len(request), address_of(buffer))
    bpf(OBJ_GET_INFO_BY_FD, attr, "read program info")
    raw = buffer.raw
    (identity,) = struct.unpack_from("<I", raw, 4)
    (count,) = struct.unpack_from("<I", raw, 52)
    name = raw[64:80].split(b"\0")[0].decode(errors="replace")
    return ProgramInfo(
        identity, raw[8:16].hex(), name, struct.unpack_from(f"<{min(count, 64)}I", ids.raw)
    )


def walked(fd: int) -> int:
    """The number of instructions that the verifier processed (Linux 5.16)."""
    buffer = ctypes.create_string_buffer(232)
    attr = struct.pack("<IIQ", fd, len(buffer), address_of(buffer))
    bpf(OBJ_GET_INFO_BY_FD, attr, "read program info")
    return int(struct.unpack_from("<I", buffer.raw, _VERIFIED)[0])


def open_by_id(identity: int) -> int:
    """Open a program by its id, which needs root; its descriptor."""
    return bpf(PROG_GET_FD_BY_ID, struct.pack("<II", identity, 0), f"open program {identity}")[0]


def load(name: str, instructions: bytes, kin: Kin = Kin(), kind: int = XDP) -> int:  # noqa: B008  # immutable
    """Verify and load a program; return its descriptor.

    If the verifier rejects it, the OSError has the last lines of the verifier's log.
    """
    code = ctypes.create_string_buffer(instructions, len(instructions))
    licence = ctypes.create_string_buffer(b"GPL")

    def attempt(log: ctypes.Array[ctypes.c_char] | None = None) -> int:
        where = (1, len(log), address_of(log)) if log is not None else (0, 0, 0)
        attr = struct.pack(
            "<IIQQIIQII16sII",
            *(kind, len(instructions) // 8, address_of(code), address_of(licence)),
            *where,
            *(0, kin.flags, name.encode()[:15], 0, kin.attach_type),
        )
        return bpf(PROG_LOAD, attr, f"load program {name}")[0]

    for _ in range(_SIGNALS):
        try:
            return attempt()
        except OSError as error:
            first = error
            if error.errno != errno.EAGAIN:  # EAGAIN: a signal interrupted the verifier
                break
    told = b""
    for size in _LOGS_BYTES:  # before Linux 6.4 the end of a log that is too long is cut off
        log = ctypes.create_string_buffer(size)
        try:
            return attempt(log)
        except OSError:  # perhaps because the log is too long; the first error has the reason
            told = log.value[-_LOG_TAIL:]
        if _LOG_ENDS in told:
            break
    tail = "\n".join(told.decode(errors="replace").splitlines()[-_LOG_LINES:])
    raise OSError(first.errno, f"{first.strerror}\n{tail}") from None


@dataclass(frozen=True, slots=True)
class RunResult:
    """The result of BPF_PROG_TEST_RUN; `duration_ns` is the time of one repetition."""

    value: int
    duration_ns: int
    frame: bytes


def run(
    fd: int,
    frame: bytes,
    repeat: int = 1,
    flags: int = 0,
    batch: int = 0,
    skb: Mapping[str, int] | None = None,
) -> RunResult:
    """Run a program on a frame of at least 14 bytes (BPF_PROG_TEST_RUN).

    `skb` has fields of struct __sk_buff, for a program at TC. An interface in it must exist in the
    current network namespace.
    """
    data_in = ctypes.create_string_buffer(frame, len(frame))
    live = bool(flags & F_TEST_XDP_LIVE_FRAMES)
    room = 0 if live else len(frame) + 256
    data_out = ctypes.create_string_buffer(max(room, 1))
    context = ctypes.create_string_buffer(_SK_BUFF)
    for name, value in (skb or {}).items():
        struct.pack_into("<I", context, _SK_BUFF_FIELDS[name], value)
    given = address_of(context) if skb else 0
    attr = struct.pack(
        "<IIIIQQIIIIQQIII",
        *(fd, 0, len(frame), room, address_of(data_in), 0 if live else address_of(data_out)),
        *(repeat, 0, len(context) if given else 0, 0, given, 0),
        *(flags, 0, batch),
    )
    _, out = bpf(PROG_TEST_RUN, attr, "run program")
    value, _, size = struct.unpack_from("<3I", out, 4)
    (duration,) = struct.unpack_from("<I", out, 36)
    return RunResult(value, duration, data_out.raw[: min(size, room)])


class Runner:
    """Runs one program on many frames, with little overhead per frame."""

    def __init__(self, fd: int) -> None:
        self._frame = ctypes.create_string_buffer(FRAME_MAX)
        attr = struct.pack("<IIIIQQI", fd, 0, 0, 0, address_of(self._frame), 0, 1)
        self._attr = ctypes.create_string_buffer(attr.ljust(ATTR_BYTES, b"\0"), ATTR_BYTES)
        # prog_fd, retval, data_size_in, data_size_out, ...
        self._words = memoryview(self._attr).cast("B").cast("I")
        self._arguments = (
            ctypes.c_long(NUMBER),
            ctypes.c_int(PROG_TEST_RUN),
            ctypes.byref(self._attr),
            ctypes.c_int(ATTR_BYTES),
        )

    def run(self, frame: bytes) -> int:
        """The program's return value for a frame; only the first FRAME_MAX bytes are passed."""
        size = min(len(frame), FRAME_MAX)
        ctypes.memmove(self._frame, frame, size)
        self._words[2], self._words[3] = size, 0  # the kernel has overwritten them
        if libc.syscall(*self._arguments) < 0:
            code = ctypes.get_errno()
            raise OSError(code, f"run program: {os.strerror(code)}")
        return self._words[1]


def attached(ifindex: int) -> list[int]:
    """The ids of the programs in their order; OSError with EINVAL before Linux 6.6."""
    ids = ctypes.create_string_buffer(4 * _MOST)
    attr = struct.pack("<IIIIQI", ifindex, _EGRESS, 0, 0, address_of(ids), _MOST)
    _, answer = bpf(_QUERY, attr, "list the programs at TC egress")
    (count,) = struct.unpack_from("<I", answer, 24)
    return list(struct.unpack_from(f"<{min(count, _MOST)}I", ids.raw))


def attach(ifindex: int, program_fd: int, instead_of: int | None = None) -> None:
    """Attach a program before all others, or in the place of `instead_of`, a descriptor."""
    flags = _BEFORE if instead_of is None else _REPLACE
    attr = struct.pack("<IIIII", ifindex, program_fd, _EGRESS, flags, instead_of or 0)
    bpf(_ATTACH, attr, "attach a program at TC egress")


def detach(ifindex: int, program_fd: int) -> None:
    bpf(_DETACH, struct.pack("<IIII", ifindex, program_fd, _EGRESS, 0), "detach a program")
