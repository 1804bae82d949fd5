# SPDX-License-Identifier: GPL-2.0-or-later
"""A child that ends with the process that started it."""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def die_with(parent: int) -> None:
    """SIGKILL for this process when `parent`, its parent, ends; at once if it has ended already.

    So a killed `xdpctl run` leaves no control plane that blocks the next one. See prctl(2).
    """
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit(f"process {parent}, which started this one, has ended")
