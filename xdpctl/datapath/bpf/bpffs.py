# SPDX-License-Identifier: GPL-2.0-or-later
"""The bpffs that holds the pins: find it, mount it if there is none, share it with a group."""

import errno
import os
import subprocess
from pathlib import Path

from xdpctl.errors import DatapathError


def share(path: Path, group: int, mode: int) -> None:
    """Set the owner to root and the group to `group`, with the permissions `mode`."""
    os.chown(path, 0, group)
    path.chmod(mode)


def is_bpffs(path: Path) -> bool:
    """Whether `path`, or its nearest existing parent, is on a bpffs."""
    path = path.resolve()
    mounts = [line.split()[1:3] for line in Path("/proc/self/mounts").read_text().splitlines()]
    over = [(Path(at), kind) for at, kind in mounts if path.is_relative_to(at)]
    # of several mounts on one mount point, the last one is visible
    return max(enumerate(over), key=lambda m: (len(m[1][0].parts), m[0]))[1][1] == "bpf"


def ensure(directory: Path) -> None:
    """Mount a bpffs at `directory` unless it is already on one; DatapathError if that fails."""
    if is_bpffs(directory):
        return
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DatapathError(
            f"pin_dir {directory} is not on a bpffs and cannot be created: {error.strerror}"
        ) from error
    command = ["mount", "-t", "bpf", "bpf", str(directory)]
    mounted = subprocess.run(command, capture_output=True, text=True)  # noqa: S603  # no shell
    if mounted.returncode:
        raise DatapathError(
            f"{directory} is not on a bpffs and mounting one there failed: "
            f"{mounted.stderr.strip() or os.strerror(errno.EPERM)}"
        )
