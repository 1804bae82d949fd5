# SPDX-License-Identifier: GPL-2.0-or-later
"""How processes end that this one has started."""

import ctypes
import os
import signal
import subprocess
import sys

_PR_SET_PDEATHSIG = 1


def die_with(parent: int) -> None:
    """Send this process SIGKILL when its parent process ends; exit now if it has already ended.

    So a killed `xdpctl run` leaves no control plane that would block the next start. See prctl(2).
    """
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit(f"process {parent}, which started this one, has ended")


def end_process(process: "subprocess.Popen[bytes]", seconds: float) -> None:
    """Terminate a process, and kill it if it has not ended after so many seconds; wait for it."""
    process.terminate()
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
