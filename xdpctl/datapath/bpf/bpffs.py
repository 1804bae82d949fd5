# SPDX-License-Identifier: GPL-2.0-or-later
"""The bpffs that pins live on: found, mounted where there is none, and shared with a group."""

import errno
import os
import subprocess
from pathlib import Path

from xdpctl.errors import DatapathError


def share(path: Path, group: int, mode: int) -> None:
    """Root's, and the group's as far as `mode` lets it."""
    os.chown(path, 0, group)
    path.chmod(mode)


def is_bpffs(path: Path) -> bool:
    """Whether `path` (or, if it is not there yet, its parent) lies on a bpffs."""
    path = path.resolve()
    mounts = [line.split()[1:3] for line in Path("/proc/self/mounts").read_text().splitlines()]
    over = [(Path(at), kind) for at, kind in mounts if path.is_relative_to(at)]
    # of mounts on one point the last is the one that is seen
    return max(enumerate(over), key=lambda m: (len(m[1][0].parts), m[0]))[1][1] == "bpf"


def ensure(directory: Path) -> None:
    """Mount one at `directory` unless it lies on one already; DatapathError if that fails."""
    if is_bpffs(directory):
        return
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DatapathError(
            f"pin_dir {directory} is not on a bpffs and cannot be made: {error.strerror}"
        ) from error
    command = ["mount", "-t", "bpf", "bpf", str(directory)]
    mounted = subprocess.run(command, capture_output=True, text=True)  # noqa: S603  # no shell
    if mounted.returncode:
        raise DatapathError(
            f"{directory} is not on a bpffs and mounting one there failed: "
            f"{mounted.stderr.strip() or os.strerror(errno.EPERM)}"
        )
