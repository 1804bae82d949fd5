# SPDX-License-Identifier: GPL-2.0-or-later
"""Ending a child process together with the process that started it."""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def die_with(parent: int) -> None:
    """Send this process SIGKILL when its parent process ends; exit now if it has already ended.

    So a killed `xdpctl run` leaves no control plane that would block the next start. See prctl(2).
    """
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit(f"process {parent}, which started this one, has ended")
