# SPDX-License-Identifier: GPL-2.0-or-later
"""Reads a store with the rights of its owner.

The store belongs to an unprivileged user, who could put a link to another file in its place. So a
child process of that user reads it, not root.
"""

import subprocess
import sys
from pathlib import Path

from xdpctl.base.system.children import as_user
from xdpctl.errors import StoreError

_OPEN = """
import sqlite3, sys
from urllib.parse import quote
store = sqlite3.connect(f"file:{quote(sys.argv[1])}?mode=ro", uri=True)
"""


def read_as_owner(database: Path, script: str, seconds: float, doing: str = "read") -> bytes:
    """What a Python script writes that reads `store`; StoreError if it fails or takes too long.

    `doing` says in an error what could not be done.
    """
    owner = database.parent.stat()
    command = [sys.executable, "-I", "-c", _OPEN + script, str(database.absolute())]
    try:
        done = subprocess.run(  # no shell; the script is a constant
            **as_user(command, owner.st_uid, owner.st_gid), capture_output=True, timeout=seconds
        )
    except subprocess.TimeoutExpired as error:
        raise StoreError(f"{database} cannot be {doing} within {seconds:g} s") from error
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        reason = said[-1] if said else f"exit status {done.returncode}"
        raise StoreError(f"{database} cannot be {doing}: {reason[:200]}")
    output: bytes = done.stdout
    return output
