# SPDX-License-Identifier: GPL-2.0-or-later
"""glibc's heap: return the memory of large lists to the system after use."""

import ctypes

_M_MMAP_THRESHOLD, _LARGE = -3, 4 << 20  # bytes; larger arrays are allocated with mmap
_libc = ctypes.CDLL(None)
_glibc = hasattr(_libc, "malloc_trim")  # musl returns pages automatically


def prepare() -> None:
    """Make free() return the pages of large arrays at once; call it once, at the start."""
    if _glibc:
        _libc.mallopt(_M_MMAP_THRESHOLD, _LARGE)


def trim() -> None:
    """Return free heap memory to the system; takes some milliseconds, without holding the GIL."""
    if _glibc:
        _libc.malloc_trim(0)
