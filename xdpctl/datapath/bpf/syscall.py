# SPDX-License-Identifier: GPL-2.0-or-later
"""The bpf(2) system call.

Commands, structures and errors: include/uapi/linux/bpf.h and bpf(2). A failure raises the OSError
of its errno, with a text that says what was tried; callers convert it to errors of this package.
"""

import ctypes
import os
import platform

_NUMBERS = {"x86_64": 321, "s390x": 351, "ppc64le": 361}
NUMBER = _NUMBERS.get(platform.machine(), 280)  # 280: aarch64, riscv64 and all newer ports
ATTR_BYTES = 144
libc = ctypes.CDLL(None, use_errno=True)

OBJ_GET_INFO_BY_FD = 15


def call(command: int, attr: bytes) -> tuple[int, int, bytes]:
    """Make the system call; return its result, the errno, and the attributes afterwards."""
    buffer = ctypes.create_string_buffer(attr.ljust(ATTR_BYTES, b"\0"), ATTR_BYTES)
    result = libc.syscall(NUMBER, command, buffer, ATTR_BYTES)
    return result, ctypes.get_errno() if result < 0 else 0, buffer.raw


def bpf(command: int, attr: bytes, tried: str) -> tuple[int, bytes]:
    """Make the system call; return its result, and the attributes as the kernel left them.

    OSError with `tried`, a description of the operation, if it fails.
    """
    result, code, answer = call(command, attr)
    if code:
        raise OSError(code, f"{tried}: {os.strerror(code)}")
    return result, answer


def address_of(buffer: "ctypes.Array[ctypes.c_char]") -> int:
    """The address of a buffer, as an integer for the attributes of bpf(2)."""
    return ctypes.addressof(buffer)
