# SPDX-License-Identifier: GPL-2.0-or-later
"""Waiting until no packet is still on its way through what it found in the tables before."""

import ctypes
import errno
import platform
import time

_NUMBERS = {"x86_64": 324, "s390x": 356, "ppc64le": 365}
_NUMBER = _NUMBERS.get(platform.machine(), 283)  # 283: aarch64, riscv64 and every later port
_GLOBAL = 1  # MEMBARRIER_CMD_GLOBAL: synchronize_rcu(), see membarrier(2)
_FALLBACK_SECONDS = 0.05  # thousands of times what a packet takes
_libc = ctypes.CDLL(None, use_errno=True)


def wait() -> None:
    """A grace period of the kernel's RCU, under which every XDP program runs; some 10 ms."""
    if _libc.syscall(_NUMBER, _GLOBAL, 0, 0) == 0:
        return
    code = ctypes.get_errno()
    if code not in (errno.EINVAL, errno.ENOSYS, errno.EPERM):  # nohz_full, old, filtered
        raise OSError(code, "membarrier")
    time.sleep(_FALLBACK_SECONDS)
