# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether the wall clock is synchronised, as the kernel reports it: adjtimex(2)."""

import ctypes

_UNSYNCHRONISED = 0x40  # STA_UNSYNC
_FAILED = -1


class _Timex(ctypes.Structure):
    """The first fields of struct timex, and space for the others."""

    _fields_ = (
        ("modes", ctypes.c_uint),  # 0: read only
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),  # microseconds
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_long * 32),
    )


_libc = ctypes.CDLL(None)


def error() -> float | None:
    """The largest error of the wall clock in seconds; None if it is not synchronised."""
    timex = _Timex()
    state = _libc.adjtimex(ctypes.byref(timex))
    if state == _FAILED or timex.status & _UNSYNCHRONISED:
        return None
    return float(timex.maxerror) / 1e6
