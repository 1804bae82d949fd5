# SPDX-License-Identifier: GPL-2.0-or-later
"""One process per job: a file lock, which the kernel releases when its holder dies."""

import fcntl
import os
from pathlib import Path

from xdpctl.errors import ConfigError


def hold(path: Path, job: str) -> int:
    """Lock a file (created if missing) or a folder, until the returned descriptor is closed.

    ConfigError if another process holds the lock, or the path cannot be opened.
    """
    try:
        flags = os.O_RDONLY if path.is_dir() else os.O_RDWR | os.O_CREAT
        fd = os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, 0o640)
    except OSError as error:
        raise ConfigError(f"cannot open {path}: {error.strerror}") from error
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        raise ConfigError(
            f"another {job} has locked {path}. One at a time: stop the other one, or start this "
            "one with its own --state-dir, --pin-dir and --socket"
        ) from None
    return fd
