# SPDX-License-Identifier: GPL-2.0-or-later
"""A copy of the store for a rehearsal."""

import os
from pathlib import Path

from xdpctl.control.store.as_owner import read_as_owner
from xdpctl.errors import ConfigError, StoreError

_COPY = """
whole = sqlite3.connect(":memory:")
store.backup(whole)
sys.stdout.buffer.write(whole.serialize())
"""
_STORE_MAX, _COPY_SECONDS = 1 << 30, 60.0


def copy_store(database: Path, to: Path) -> None:
    """Copy the store consistently, even while it is written to."""
    if not database.parent.is_dir() or not os.path.lexists(database):
        raise ConfigError(f"there is no store at {database}; give --rules FILE, or --state-dir")
    copied = read_as_owner(database, _COPY, _COPY_SECONDS, "copied")
    if len(copied) > _STORE_MAX:
        raise StoreError(f"{database} cannot be copied: it is too large")
    to.write_bytes(copied)
