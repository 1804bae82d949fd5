# SPDX-License-Identifier: GPL-2.0-or-later
"""Keeps the unchanged bodies that detectors sent for an incident, one line of JSON each."""

from pathlib import Path

import msgspec

from xdpctl.incidents.files import add

_BODY_MAX = 64 << 10
_FILE_MAX = 1 << 20  # beyond this, further events are counted, but their bodies are not kept


class Statement(msgspec.Struct, frozen=True, omit_defaults=True):
    """A body as received; `at` is Unix time, and `cut` says that the body was longer."""

    at: float
    detector: str
    body: str
    cut: bool = False


def keep(path: Path, at: float, detector: str, body: bytes) -> bool:
    """Append a body to the file; return whether there was room for it."""
    text = body[:_BODY_MAX].decode(errors="replace")
    line = msgspec.json.encode(Statement(at, detector, text, len(body) > _BODY_MAX))
    return add(path, line + b"\n", _FILE_MAX)
