# SPDX-License-Identifier: GPL-2.0-or-later
"""The XDP program of another tool behind the filter, which gets what the filter lets through.

Its place is in the program array of the filter's stages, so it is found by the attached program, by
whichever process looks.
"""

import errno
import os
import struct
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import product

from xdpctl.abi.constants import Stage
from xdpctl.datapath.bpf import maps, programs
from xdpctl.datapath.bpf.maps import Map, MapShape
from xdpctl.datapath.bpf.programs import F_XDP_HAS_FRAGS, Kin, ProgramInfo
from xdpctl.datapath.loader import netlink
from xdpctl.datapath.loader.netlink import AttachRefused, Link
from xdpctl.errors import AttachError

_NEXT = Stage.NEXT.to_bytes(4, "little")
_XDP = 37  # BPF_XDP, with which libbpf loads programs
_KINS = [Kin(flags, kind) for flags, kind in product((F_XDP_HAS_FRAGS, 0), (0, _XDP))]
_ONE = MapShape(maps.PROGRAM_ARRAY, 4, 4, 1, 0)
_DISPATCHER = (
    "it is a dispatcher, which the kernel does not let run behind another program. Unload what it "
    "runs (xdp-loader unload --all), and load that with LIBXDP_SKIP_DISPATCHER=1 in the environment"
)


@contextmanager
def opened(program_id: int) -> Iterator[int]:
    """Open a program by its id for a block; AttachError if it has been unloaded meanwhile."""
    try:
        fd = programs.open_by_id(program_id)
    except OSError as error:
        raise AttachError(f"the attached program was replaced meanwhile: {error}") from error
    try:
        yield fd
    finally:
        os.close(fd)


def follower(info: ProgramInfo) -> int:
    """The id of the program behind a filter's program; 0 if there is none."""
    for identity in info.map_ids:
        try:
            array = maps.open_map_by_id(identity)
        except FileNotFoundError:  # the program was unloaded meanwhile
            continue
        with closing(array):
            if array.shape.type == maps.PROGRAM_ARRAY and array.shape.max_entries > Stage.NEXT:
                return int.from_bytes(array.get(_NEXT) or b"", "little")
    return 0


def put(stages: Map, program_fd: int) -> None:
    """Put a program behind the one with these stages, which is of its kin."""
    try:
        stages.put(_NEXT, program_fd.to_bytes(4, "little"))
    except OSError as error:
        raise AttachError(f"it cannot run behind the filter: {error.strerror}") from error


def remove(stages: Map) -> None:
    """Let no program be behind the one with these stages."""
    stages.delete(_NEXT)


def kin_of(program_fd: int) -> Kin:
    """How a program must be loaded to tail-call this one; AttachError if none can."""
    for kin in _KINS:
        with closing(maps.create_map("kin", _ONE)) as array:
            caller = programs.load("kin", _tail_call(array.fd), kin)
            try:
                array.put(bytes(4), program_fd.to_bytes(4, "little"))
                return kin
            except OSError as error:
                if error.errno == errno.EBUSY:
                    raise AttachError(_DISPATCHER) from error
                if error.errno != errno.EINVAL:
                    raise AttachError(f"it cannot run behind the filter: {error}") from error
            finally:
                os.close(caller)
    raise AttachError("it is of a kind that cannot run behind another program")


def _tail_call(array_fd: int) -> bytes:
    """A program that calls the first one of an array, or passes the packet."""
    instructions = (
        (0x18, 0x12, array_fd),  # r2 = the array
        (0, 0, 0),
        (0xB7, 3, 0),  # r3 = 0
        (0x85, 0, 12),  # bpf_tail_call
        (0xB7, 0, 2),  # r0 = XDP_PASS
        (0x95, 0, 0),
    )
    return b"".join(struct.pack("<BBhi", code, of, 0, value) for code, of, value in instructions)


def take_off(link: Link, program_fd: int) -> None:
    """Detach a filter's program; the one behind it takes its place."""
    identity = follower(programs.info(program_fd))
    if not identity:
        netlink.detach(link, program_fd)
        return
    with opened(identity) as theirs:
        netlink.attach(link, theirs, link.xdp_mode or "native", expected_fd=program_fd)


def put_before(link: Link, program_fd: int, theirs: int, mode: str) -> None:
    """Attach the filter's program in the place of another tool's.

    AttachError if that is attached in a way that only its owner can undo.
    """
    try:
        netlink.attach(link, program_fd, mode, expected_fd=theirs)
    except AttachRefused as error:
        if not error.taken:
            raise
        raise AttachError(
            f"the program on {link.name} is held by a BPF link, so that only the tool which "
            "attached it can detach it. Stop that tool, or let it leave this interface alone"
        ) from error
