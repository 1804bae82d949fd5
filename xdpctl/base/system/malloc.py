# SPDX-License-Identifier: GPL-2.0-or-later
"""glibc's heap: what large lists took goes back to the system when they are done with."""

import ctypes

_M_MMAP_THRESHOLD, _LARGE = -3, 4 << 20  # bytes from which an array gets pages of its own
_libc = ctypes.CDLL(None)
_glibc = hasattr(_libc, "malloc_trim")  # musl returns pages by itself


def prepare() -> None:
    """Once, at the start: the pages of large arrays are returned as they are freed."""
    if _glibc:
        _libc.mallopt(_M_MMAP_THRESHOLD, _LARGE)


def trim() -> None:
    """Return what is free; some milliseconds, without holding up Python."""
    if _glibc:
        _libc.malloc_trim(0)
