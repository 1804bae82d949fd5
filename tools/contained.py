# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs a command so that whatever it leaves goes with it, even if it is killed.

It gets namespaces of its own for processes and mounts, and the names of network namespaces are a
mount. So no process, filter, mount or network namespace outlives it. Without root, it is run as it
is: then it can make none of these.
"""

import os
import signal
import subprocess
import sys

_NAMES = "/run/netns"
_INSIDE = f'mkdir -p {_NAMES} && mount -t tmpfs -o mode=755 tmpfs {_NAMES} && exec "$@"'
_KILLED = ["setpriv", "--pdeathsig", "KILL", "--"]
_ALONE = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--"]


def main(command: list[str]) -> int:
    """Run the command, and return its exit status."""
    if os.geteuid() != 0:
        return subprocess.run(command).returncode  # noqa: S603  # the command that was given
    inside = ["sh", "-c", _INSIDE, "sh", *command]
    child = subprocess.Popen([*_KILLED, *_ALONE, *inside])  # noqa: S603  # the same
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: child.kill())
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the command's, too, and it tells
    status = child.wait()
    return status if status >= 0 else 128 - status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
