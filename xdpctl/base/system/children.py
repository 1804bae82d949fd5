# SPDX-License-Identifier: GPL-2.0-or-later
"""Child processes: Python started as root, and how a process ended."""

import ctypes
import os
import select
import signal
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from xdpctl.base.system import code_view

_PR_SET_PDEATHSIG = 1
_CODE = (
    "import runpy, sys; sys.path[:0] = {places!r}; "
    "runpy.run_module({module!r}, run_name='__main__', alter_sys=True)"
)


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


def end_other(process: int, seconds: float) -> None:
    """The same for a process, by its id, that is no child of this one."""
    try:
        handle = os.pidfd_open(process)
    except ProcessLookupError:
        return
    try:
        for number in (signal.SIGTERM, signal.SIGKILL):
            signal.pidfd_send_signal(handle, number)
            if select.select([handle], [], [], seconds)[0]:
                return
    finally:
        os.close(handle)


def python(module: str, *arguments: str) -> list[str]:
    """The command line that runs a module as a child; start it with `cwd="/"`.

    With -I only this package decides what root imports: the working directory, PYTHON* variables
    and a user's site-packages have no effect.
    """
    places = list(dict.fromkeys(str(package.parent) for package in code_view.packages()))
    return [sys.executable, "-I", "-c", _CODE.format(places=places, module=module), *arguments]


def as_user(command: Sequence[str], user: int, group: int) -> dict[str, Any]:
    """The arguments of `subprocess.Popen` that run a command of ours as an unprivileged user.

    If the user may not enter the folder of the code, code_view shows the code to the child.
    """
    if not code_view.hidden(code_view.needed(), user, group):
        about = {"user": user, "group": group, "extra_groups": []}
        return {"args": list(command), "cwd": "/", **about}
    view = python(code_view.__name__, str(user), str(group), *command)
    return {"args": view, "cwd": "/"}
