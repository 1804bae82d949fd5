# SPDX-License-Identifier: GPL-2.0-or-later
"""When this node last backed the fleet up: root writes the note, and the control plane reads it."""

import time
from pathlib import Path

import msgspec

from xdpctl.base.durations import show_duration
from xdpctl.base.system.owned_folder import read_file
from xdpctl.fleet.settings import FleetSettings

KEPT = "backup.json"  # beside the node's certificate
_BYTES_MAX, _LATE_SECONDS = 8 << 10, 2 * 86_400.0


class LastBackup(msgspec.Struct, frozen=True):
    """The last backup that was written, at a Unix time, 0 for none; and why a later one failed."""

    at: float
    file: str
    problem: str = ""


def read_note(path: Path) -> LastBackup:
    """The note; one of no backup if there is none, or it cannot be read."""
    try:
        return msgspec.json.decode(read_file(path, _BYTES_MAX), type=LastBackup)
    except (OSError, msgspec.DecodeError):
        return LastBackup(0.0, "")


def missing(settings: FleetSettings) -> str:
    """A sentence, if this node is to write backups, and the last one is older than two days."""
    if settings.backups is None:
        return ""
    last = read_note(settings.file(KEPT))
    age = time.time() - last.at
    if last.at and age < _LATE_SECONDS:
        return ""
    since = f"for {show_duration(age)}" if last.at else "yet"
    why = f": {last.problem}" if last.problem else ": xdpctl fleet upkeep writes one, once a day"
    return f"the fleet was not backed up {since}{why}"
