# SPDX-License-Identifier: GPL-2.0-or-later
"""A copy of the store for a rehearsal."""

import os
import subprocess
import sys
from pathlib import Path

from xdpctl.base.system.children import as_user
from xdpctl.errors import ConfigError, StoreError

_COPY = """
import sqlite3, sys
live = sqlite3.connect(f"file:{sys.argv[1]}?mode=ro", uri=True)
whole = sqlite3.connect(":memory:")
live.backup(whole)
sys.stdout.buffer.write(whole.serialize())
"""
_STORE_MAX, _COPY_SECONDS = 1 << 30, 60


def copy_store(database: Path, to: Path) -> None:
    """Copy the store consistently, even while it is written to.

    The store belongs to an unprivileged user, so a child process of that user reads it, not root.
    """
    if not database.parent.is_dir() or not os.path.lexists(database):
        raise ConfigError(f"there is no store at {database}; give --rules FILE, or --state-dir")
    owner = database.parent.stat()
    command = [sys.executable, "-I", "-c", _COPY, str(database.absolute())]
    try:
        done = subprocess.run(  # no shell; the script is a constant
            **as_user(command, owner.st_uid, owner.st_gid),
            capture_output=True,
            timeout=_COPY_SECONDS,
        )
    except subprocess.TimeoutExpired as error:
        raise StoreError(f"{database} cannot be copied within {_COPY_SECONDS} s") from error
    if done.returncode or len(done.stdout) > _STORE_MAX:
        reason = done.stderr.decode(errors="replace").strip().splitlines()[-1:] or ["too large"]
        raise StoreError(f"{database} cannot be copied: {reason[0][:200]}")
    to.write_bytes(done.stdout)
