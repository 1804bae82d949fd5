# SPDX-License-Identifier: GPL-2.0-or-later
"""Waiting until no packet is still being processed with data read from the tables earlier."""

import ctypes
import errno
import platform
import time

_NUMBERS = {"x86_64": 324, "s390x": 356, "ppc64le": 365}
_NUMBER = _NUMBERS.get(platform.machine(), 283)  # 283: aarch64, riscv64 and all newer ports
_GLOBAL = 1  # MEMBARRIER_CMD_GLOBAL: synchronize_rcu(), see membarrier(2)
_FALLBACK_SECONDS = 0.05  # thousands of times longer than a packet is processed
_libc = ctypes.CDLL(None, use_errno=True)


def wait() -> None:
    """Wait for a grace period of the kernel's RCU, under which XDP programs run; about 10 ms."""
    if _libc.syscall(_NUMBER, _GLOBAL, 0, 0) == 0:
        return
    code = ctypes.get_errno()
    # EINVAL with nohz_full, ENOSYS on old kernels, EPERM under a seccomp filter
    if code not in (errno.EINVAL, errno.ENOSYS, errno.EPERM):
        raise OSError(code, "membarrier")
    time.sleep(_FALLBACK_SECONDS)
