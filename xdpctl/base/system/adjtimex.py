# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether the wall clock is kept by NTP, as the kernel knows: adjtimex(2)."""

import ctypes

_UNSYNCHRONISED = 0x40  # STA_UNSYNC
_FAILED = -1


class _Timex(ctypes.Structure):
    """The first fields of struct timex, with room for the others."""

    _fields_ = (
        ("modes", ctypes.c_uint),  # 0: only ask
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),  # microseconds
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_long * 32),
    )


_libc = ctypes.CDLL(None)


def error() -> float | None:
    """Seconds by which the wall clock is off at most; None if nothing synchronises it."""
    found = _Timex()
    state = _libc.adjtimex(ctypes.byref(found))
    if state == _FAILED or found.status & _UNSYNCHRONISED:
        return None
    return float(found.maxerror) / 1e6
