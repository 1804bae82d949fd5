# SPDX-License-Identifier: GPL-2.0-or-later
"""Ending a process that this one has started."""

import subprocess


def end_process(process: "subprocess.Popen[bytes]", seconds: float) -> None:
    """Terminate a process, and kill it if it has not ended after so many seconds; wait for it."""
    process.terminate()
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
