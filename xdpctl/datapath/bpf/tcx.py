# SPDX-License-Identifier: GPL-2.0-or-later
"""The bpf(2) system call for programs at TC egress by tcx (Linux 6.6).

A program that is attached without a link stays until it is detached or the interface disappears.
"""

import ctypes
import struct

from xdpctl.datapath.bpf.syscall import address_of, bpf

_ATTACH, _DETACH, _QUERY = 8, 9, 16
_EGRESS = 47  # BPF_TCX_EGRESS
_REPLACE, _BEFORE = 1 << 2, 1 << 3
_MOST = 64  # programs of an interface, as in the kernel


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
