# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs a command in namespaces of its own for processes, mounts and names of network namespaces.

None of these outlives the command, even if it is killed; nor do filters on their interfaces. Files
stay. Where the namespaces cannot be had, as without root, the command runs without them.
"""

import signal
import subprocess
import sys

_NAMES = "/run/netns"
# the shell stays as the first process, which must reap orphaned processes
_INSIDE = f'mkdir -p {_NAMES} && mount -t tmpfs -o mode=755 tmpfs {_NAMES} && {{ "$@"; exit $?; }}'
_KILLED = ["setpriv", "--pdeathsig", "KILL", "--"]
_ALONE = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--"]


def main(command: list[str]) -> int:
    """Run the command, and return its exit status."""
    tried = subprocess.run([*_ALONE, "true"], capture_output=True, text=True)  # noqa: S603  # fixed
    if tried.returncode:
        problem = tried.stderr.strip()
        print(f"no namespaces, so what is interrupted may stay: {problem}", file=sys.stderr)
        return subprocess.run(command).returncode  # noqa: S603  # the command that was given
    inside = ["sh", "-c", _INSIDE, "sh", *command]
    child = subprocess.Popen([*_KILLED, *_ALONE, *inside])  # noqa: S603  # the same
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup has it
            signal.signal(number, lambda *_: child.kill())
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the command gets Ctrl-C by itself, and ends
    status = child.wait()
    return status if status >= 0 else 128 - status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
